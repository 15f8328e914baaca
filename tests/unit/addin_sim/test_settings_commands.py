"""`addin-sim settings`: the values that are rehearsed here are those that are rolled out to real Outlooks."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from addin_sim.address_list.errors import AddressListError
from addin_sim.address_list.ldap_directory import LdapDirectory
from addin_sim.cli import run
from addin_sim.outlook_settings import load
from tests.full_disk import FullDisk

TEXT = """[account]
address = "anna@acme.example"
[submission]
host = "127.0.0.1"
[registry]
{registry}
"""
IME2 = 'InternalRecipient = "dca@ime.acme.example"'
OWN_KEY = "HKEY_CURRENT_USER\\Software\\addin-sim"
NOT_PUBLIC = "The key path of the real add-in is not public."
Typed = Callable[..., tuple[int, bytes, str]]


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]) -> Typed:
    """Exit status, standard output and standard error of `addin-sim settings WORDS` over a file with `registry`."""

    def type_it(*words: str, registry: str = IME2) -> tuple[int, bytes, str]:
        monkeypatch.chdir(tmp_path)
        Path("anna.toml").write_text(TEXT.format(registry=registry))
        monkeypatch.setattr(sys, "argv", ["addin-sim", "settings", *words, "--settings", "anna.toml"])
        with pytest.raises(SystemExit) as ended:
            run()
        out, err = capsysbinary.readouterr()
        return int(ended.value.code or 0), out, err.decode()

    return type_it


def exported(data: bytes) -> str:
    """The text of a .reg file, which is UTF-16LE with a byte order mark, each line ended by CRLF."""
    assert data.startswith(b"\xff\xfe")
    text = data[2:].decode("utf-16-le")
    assert text.endswith("\r\n") and text.count("\r") == text.count("\n") == text.count("\r\n")
    return text.replace("\r\n", "\n")


def test_a_file_for_every_outlook(typed: Typed) -> None:
    status, out, err = typed("export", "--out", "ime.reg")
    assert (status, out.decode()) == (0, f"ime.reg: 1 value under {OWN_KEY}\n")
    assert NOT_PUBLIC in err
    text = exported(Path("ime.reg").read_bytes())
    assert text.startswith("Windows Registry Editor Version 5.00\n\n; " + NOT_PUBLIC)
    assert text.endswith(f'[{OWN_KEY}]\n"InternalRecipient"="dca@ime.acme.example"\n\n')


def test_a_full_disk_leaves_the_file_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings, out = tmp_path / "anna.toml", tmp_path / "ime.reg"
    settings.write_text(TEXT.format(registry=IME2))
    out.write_bytes(b"rolled out last week")
    monkeypatch.setattr(
        sys, "argv", ["addin-sim", "settings", "export", "--settings", str(settings), "--out", str(out)]
    )
    with FullDisk() as disk:
        disk.fill()
        with pytest.raises(SystemExit):
            run()
    assert "ime.reg: cannot be written: File too large. What was there before is unchanged." in capsys.readouterr().err
    assert out.read_bytes() == b"rolled out last week"


def test_standard_output_is_the_very_file(typed: Typed) -> None:
    typed("export", "--out", "ime.reg")
    assert typed("export")[:2] == (0, Path("ime.reg").read_bytes())


@pytest.mark.parametrize("how", ["option", "setting"])
def test_the_key_of_the_real_add_in(typed: Typed, how: str) -> None:
    words = ["--key", r"hklm\Software\Vendor\Add-in"] if how == "option" else []
    registry = IME2 + ("" if how == "option" else "\nkey_path = 'HKLM\\Software\\Vendor\\Add-in'")
    status, out, err = typed("export", *words, registry=registry)
    assert (status, err) == (0, "")
    assert exported(out) == (
        "Windows Registry Editor Version 5.00\n\n[HKEY_LOCAL_MACHINE\\Software\\Vendor\\Add-in]\n"
        '"InternalRecipient"="dca@ime.acme.example"\n\n'
    )


def test_the_default_means_ime1(typed: Typed) -> None:
    assert '"InternalRecipient"="ime@imepseudodomain.local"' in exported(typed("export", registry="")[1])
    shown = typed("show", registry="")[1].decode()
    assert "InternalRecipient = ime@imepseudodomain.local (default)" in shown and "uses IME 1.0" in shown
    assert "(default)" not in typed("show")[1].decode()


def test_machines_read_it_too(typed: Typed) -> None:
    shown = json.loads(typed("show", "--json")[1])
    assert (shown["key"], shown["ime"]) == (OWN_KEY, "2.0")
    (value,) = shown["values"]
    assert (value["name"], value["value"]) == ("InternalRecipient", "dca@ime.acme.example")
    assert value["default"] == "ime@imepseudodomain.local"
    made = json.loads(typed("export", "--json", "--out", "ime.reg")[1])
    assert made == {"file": "ime.reg", "key": OWN_KEY, "values": {"InternalRecipient": "dca@ime.acme.example"}}
    status, out, err = typed("export", "--json")
    assert (status, out) == (2, b"") and "--out" in err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["export", "--key", "Software\\x"], "is no registry key"),
        (["export", "--out", "no/such/folder/ime.reg"], "ime.reg: cannot be written: No such file or directory."),
    ],
)
def test_a_refusal_is_a_sentence(typed: Typed, words: list[str], sentence: str) -> None:
    status, out, err = typed(*words)
    assert (status, out) == (1, b"") and sentence in err and "Traceback" not in err
    assert not Path("ime.reg").exists()


def test_a_value_that_the_add_in_does_not_know_is_refused(typed: Typed) -> None:
    status, _, err = typed("show", registry='InternalRecipents = "a@b.example"')
    assert status == 1 and "InternalRecipents" in err


def test_the_password_of_a_server_that_is_not_asked_may_be_missing(
    typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("IMESVC_PASSWORD", raising=False)
    login = 'user = "imesvc"\npassword_env = "IMESVC_PASSWORD"'
    tables = (
        f'[address_list.ldap]\nurl = "ldaps://127.0.0.1:1"\nbase = "DC=acme"\n{login}\n'
        f'[address_list.ews]\nurl = "https://127.0.0.1:1/EWS/Exchange.asmx"\n{login}'
    )
    assert typed("show", registry=f"{IME2}\n{tables}")[0] == 0
    settings = load(Path("anna.toml")).address_list
    assert settings.ldap is not None and settings.ews is not None
    with pytest.raises(
        AddressListError, match=r"^\[address_list.ldap\]: password_env names IMESVC_PASSWORD, which is not"
    ):
        LdapDirectory(settings.ldap)
    with pytest.raises(AddressListError, match=r"^\[address_list.ews\]: .* nothing was changed\. Export that variable"):
        _ = settings.ews.secret
    monkeypatch.setenv("IMESVC_PASSWORD", "")
    with pytest.raises(AddressListError, match="names IMESVC_PASSWORD, which is empty"):
        LdapDirectory(settings.ldap)
