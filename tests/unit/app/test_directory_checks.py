"""`check` of directories: wrong files and passwords are errors, a directory that does not answer is a warning."""

from pathlib import Path
from typing import Any

import pytest

from ime_gateway.app.preflight.directory_checks import check_directories, reach_directories
from ime_gateway.lookup.ldap_entries import LdapSession, LdapTrouble, RawEntry
from ime_gateway.settings.model import Ldap, Settings
from tests.pki import make_ca


def settings(**changes: object) -> Settings:
    table = {"name": "corp", "url": "ldaps://dc.acme.example", "base": "dc=acme", "groups": True, **changes}
    listener = {"name": "x", "role": "internet", "port": 25}
    return Settings.model_validate({"smtp": {"hostname": "gw.acme.example"}, "listener": [listener], "ldap": [table]})


def found(**changes: object) -> dict[str, str]:
    return {one.key: one.level for one in check_directories(settings(**changes), {"LDAP_PW": "secret"})}


def test_what_is_named_must_be_there(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(make_ca().pem)
    (tmp_path / "rubbish.pem").write_text("rubbish")
    (tmp_path / "pw").write_text("secret\n")
    (tmp_path / "pw").chmod(0o600)
    who = {"bind_dn": "cn=x"}
    assert found(ca_file=tmp_path / "ca.pem", password_file=tmp_path / "pw", **who) == {"ldap.corp.ca_file": "ok"}
    assert found(ca_file=tmp_path / "rubbish.pem") == {"ldap.corp.ca_file": "error"}
    assert found(ca_file=tmp_path / "none.pem") == {"ldap.corp.ca_file": "error"}
    assert found(password_file=tmp_path / "none", **who) == {"ldap.corp.password": "error"}
    assert found(password_env="NONE", **who) == {"ldap.corp.password": "error"}
    assert found(password_env="LDAP_PW", **who) == {}
    (tmp_path / "pw").chmod(0o644)
    assert found(password_file=tmp_path / "pw", **who) == {"ldap.corp.password_file": "warning"}


def test_clear_connections_are_named() -> None:
    open_one = {"url": "ldap://dc.acme.example", "groups": False, "certificates": "candidates"}
    assert found(**open_one) == {"ldap.corp.url": "warning"}
    assert found(**open_one, starttls=True) == {}


class Session:
    def __init__(self, entries: list[RawEntry] | None) -> None:
        self.entries = entries
        self.closed = False

    def search(self, *_: Any) -> list[RawEntry]:
        if self.entries is None:
            raise LdapTrouble("operationsError")
        return self.entries

    def close(self) -> None:
        self.closed = True

    def cut(self) -> None: ...


@pytest.mark.parametrize(
    ("entries", "key", "level"),
    [([RawEntry("dc=acme", {})], "ldap.corp", "ok"), ([], "ldap.corp.base", "warning"), (None, "ldap.corp", "warning")],
)
def test_whether_it_answers(entries: list[RawEntry] | None, key: str, level: str) -> None:
    session = Session(entries)

    def connect(directory: Ldap, seconds: float) -> LdapSession:
        return session

    assert [(one.key, one.level) for one in reach_directories(settings(), connect, set())] == [(key, level)]
    assert session.closed


def test_what_is_wrong_already_is_not_tried_and_trouble_is_no_error() -> None:
    def nobody(directory: Ldap, seconds: float) -> LdapSession:
        raise LdapTrouble("nobody listens")

    assert list(reach_directories(settings(), nobody, {"ldap.corp.password"})) == []
    (only,) = reach_directories(settings(), nobody, set())
    assert only.level == "warning" and "nobody listens" in only.message
