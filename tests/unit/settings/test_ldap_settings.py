"""`[[ldap]]` of gateway.toml: what is taken, what is refused with which words, and that no password shows."""

import re
from pathlib import Path

import pytest

from ime_gateway.base.errors import ConfigurationError
from ime_gateway.lookup.ldap_certificates import covers
from ime_gateway.lookup.ldap_password import read_password
from ime_gateway.settings.annotate import annotated_gateway_toml
from ime_gateway.settings.load import WrongFileError, load_settings
from ime_gateway.settings.model import Ldap, Settings

GOOD = 'name = "corp"\nurl = "ldaps://dc.acme.example"\nbase = "DC=acme"\n'


def load(folder: Path, *tables: str) -> Settings:
    path = folder / "gateway.toml"
    head = '[smtp]\nhostname = "gw.acme.example"\n[[listener]]\nname = "x"\nrole = "internet"\nport = 25\n'
    path.write_text(head + "".join(f"[[ldap]]\n{table}\n" for table in tables))
    return load_settings(path, {})


def test_defaults_and_paths(tmp_path: Path) -> None:
    (one,) = load(tmp_path, GOOD + 'groups = true\nca_file = "ca.pem"\nbind_dn = "cn=x"\npassword_file = "pw"').ldap
    assert (one.host, one.port, one.encrypted, one.certificates) == ("dc.acme.example", 636, True, "candidates")
    assert (one.ca_file, one.password_file) == (tmp_path / "ca.pem", tmp_path / "pw")


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("ldap://dc.acme.example", "dc.acme.example", 389),
        ("ldap://10.1.2.3:3268/", "10.1.2.3", 3268),
        ("ldaps://[2001:db8::1]:3269", "2001:db8::1", 3269),
    ],
)
def test_urls(url: str, host: str, port: int) -> None:
    one = Ldap.model_validate({"name": "x", "url": url, "base": "dc=x", "certificates": "candidates"})
    assert (one.host, one.port) == (host, port)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (GOOD + 'certificates = "off"', "the directory would never be asked"),
        (GOOD + 'groups = true\nbind_dn = "cn=x"', "bind_dn and a password belong together"),
        (GOOD + 'groups = true\npassword = "p"', "bind_dn and a password belong together"),
        (GOOD + 'groups = true\nbind_dn = "cn=x"\npassword = "p"\npassword_env = "P"', "exclude each other"),
        (GOOD + "groups = true\nstarttls = true", "starttls belongs to ldap://"),
        (GOOD.replace("ldaps", "ldap") + "groups = true", "needs ldaps:// or starttls"),
        (GOOD.replace("ldaps", "ldap") + 'certificates = "trusted"', "needs ldaps:// or starttls"),
        (GOOD.replace("ldaps", "ldap") + 'certificates = "candidates"\nbind_dn = "x"\npassword = "s"', "in clear"),
        (GOOD.replace("ldaps", "https") + "groups = true", "must be ldaps://HOST"),
        (GOOD.replace("example", "example/dc=x?mail") + "groups = true", "must be ldaps://HOST"),
        (GOOD + 'certificates = "trust"', 'must be "off", "candidates" or "trusted"'),
        (GOOD + 'groups = true\nseconds = "never"', "seconds"),
        (GOOD + "group = true", 'unknown key; did you mean "groups"?'),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, table: str, words: str) -> None:
    with pytest.raises(WrongFileError) as caught:
        load(tmp_path, table)
    assert words in str(caught.value) and "line" in str(caught.value)


def test_two_of_one_name(tmp_path: Path) -> None:
    with pytest.raises(WrongFileError, match=r"two directories of \[\[ldap\]\] are called 'corp'"):
        load(tmp_path, GOOD + "groups = true", GOOD + "groups = true")


def test_the_example_that_init_writes_is_one_that_loads(tmp_path: Path) -> None:
    text = annotated_gateway_toml(hostname="gw.acme.example", store_url="sqlite:///gateway.db")
    before, _, example = text.partition("# [[ldap]]\n")
    path = tmp_path / "gateway.toml"
    path.write_text(f"{before}[[ldap]]\n" + re.sub(r"^# ([a-z_]+ = )", r"\1", example, flags=re.MULTILINE))
    (one,) = load_settings(path, {}).ldap
    assert (one.name, one.certificates) == ("corp", "candidates")


def test_no_password_is_shown() -> None:
    one = Ldap.model_validate(
        {"name": "x", "url": "ldaps://x", "base": "b", "groups": True, "bind_dn": "cn=x", "password": "s3cret"}
    )
    assert "s3cret" not in repr(one) and read_password(one, {}) == "s3cret"


def test_an_empty_password_is_never_sent(tmp_path: Path) -> None:
    """It would bind as nobody, and be called success (RFC 4513 section 5.1.2)."""
    empty = tmp_path / "empty"
    empty.write_text("\n")
    values = {"name": "x", "url": "ldaps://x", "base": "b", "groups": True, "bind_dn": "cn=x"}
    for way in ({"password_file": empty}, {"password_env": "NOT_SET"}, {"password_file": tmp_path / "none"}):
        with pytest.raises(ConfigurationError, match="password"):
            read_password(Ldap.model_validate(values | way), {})


@pytest.mark.parametrize(
    ("domains", "certificates", "domain", "managed", "asked"),
    [
        ((), "candidates", "elsewhere.example", False, True),
        ((), "off", "elsewhere.example", False, False),
        ((), "off", "acme.example", True, True),
        (("partner.example",), "off", "partner.example", False, True),
        (("partner.example",), "candidates", "acme.example", True, False),
        (("*.partner.example",), "candidates", "a.partner.example", False, True),
        (("*.partner.example",), "candidates", "partner.example", False, False),
        (("*.partner.example",), "candidates", "xpartner.example", False, False),
    ],
)
def test_which_domains_it_is_asked_about(
    domains: tuple[str, ...], certificates: str, domain: str, managed: bool, asked: bool
) -> None:
    values = {"name": "x", "url": "ldaps://x", "base": "b", "groups": True, "certificates": certificates}
    one = Ldap.model_validate({**values, "for_domains": domains})
    assert covers(one, domain, managed=managed) == asked
