"""The `.reg` file: read again by a reader of its own, and by Samba's, which knows the format from Windows."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addin_sim.outlook_settings import Registry
from addin_sim.registry_file import KNOWN_VALUES, RegistryFileError, key_path, registry_file

KEY = r"HKEY_CURRENT_USER\Software\addin-sim"
TEXT = st.text(st.characters(blacklist_categories=["Cs"], min_codepoint=32, blacklist_characters="\x7f"), max_size=20)


def values_in(data: bytes) -> dict[str, str | int]:
    """What Windows would take from it."""
    assert data[:2] == b"\xff\xfe"
    header, *lines = data[2:].decode("utf-16-le").split("\r\n")
    assert header == "Windows Registry Editor Version 5.00" and lines[-1] == ""
    found: dict[str, str | int] = {}
    for line in lines:
        if not line or line[0] in ";[":
            continue
        match = re.fullmatch(
            r'"((?:[^"\\]|\\.)*)"=(?:"((?:[^"\\]|\\.)*)"|dword:([0-9a-f]{8})|hex\(1\):([0-9a-f,]+))', line
        )
        assert match, line
        name, text, number, octets = match.groups()
        if number:
            value: str | int = int(number, 16)
        elif octets:
            value = bytes.fromhex(octets.replace(",", "")).decode("utf-16-le").removesuffix("\0")
        else:
            value = re.sub(r"\\(.)", r"\1", text)
        found[re.sub(r"\\(.)", r"\1", name)] = value
    return found


def test_the_whole_file() -> None:
    data = registry_file(KEY, {"InternalRecipient": "dca@ime.acme.example", "Number": 7}, ("a remark",))
    assert data.decode("utf-16") == (
        "Windows Registry Editor Version 5.00\r\n\r\n; a remark\r\n[HKEY_CURRENT_USER\\Software\\addin-sim]\r\n"
        '"InternalRecipient"="dca@ime.acme.example"\r\n"Number"=dword:00000007\r\n\r\n'
    )


@given(st.dictionaries(TEXT, TEXT | st.integers(0, 2**32 - 1), max_size=5))
def test_whatever_is_written_is_read(values: dict[str, str | int]) -> None:
    assert values_in(registry_file(KEY, values)) == values


@given(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=20))
def test_control_characters_travel_in_hexadecimal(text: str) -> None:
    assert values_in(registry_file(KEY, {"a": text})) == {"a": text}


def test_control_characters_as_the_registry_editor_writes_them() -> None:
    """REG_SZ in octets: UTF-16LE with the zero that ends it."""
    text = registry_file(KEY, {"a": "x\ty"}).decode("utf-16")
    assert text.splitlines()[-2] == '"a"=hex(1):78,00,09,00,79,00,00,00'


def test_a_remark_cannot_become_a_line() -> None:
    assert values_in(registry_file(KEY, {}, ('x\r\n"Evil"="1"',))) == {}


@pytest.mark.parametrize("path", ["hkcu\\Software\\x", "HKEY_CURRENT_USER\\Software\\x"])
def test_short_names_of_roots_are_written_out(path: str) -> None:
    assert key_path(path) == "HKEY_CURRENT_USER\\Software\\x"


def test_the_longest_part_of_a_key() -> None:
    assert key_path("HKCU\\" + 255 * "x").endswith("\\" + 255 * "x")


@pytest.mark.parametrize(
    "path",
    [
        "",
        "Software\\x",
        "HKCU",
        "HKCU\\",
        "HKCU\\a\\\\b",
        "-HKCU\\x",
        "HKCR\\x",
        "HKCU\\a\r\n[HKLM\\x",
        "HKCU\\a\u2028[HKLM\\x",
        "HKCU\\a\udcff",
        "HKCU\\" + 256 * "x",
    ],
)
def test_no_key(path: str) -> None:
    with pytest.raises(RegistryFileError, match=r"is no registry key: .* nothing was written"):
        registry_file(path, {})


def test_bad_names_and_numbers() -> None:
    with pytest.raises(RegistryFileError, match="control character"):
        registry_file(KEY, {"a\nb": "x"})
    for number in (-1, 2**32):
        with pytest.raises(RegistryFileError, match="is no number"):
            registry_file(KEY, {"a": number})


def test_the_known_defaults_are_those_of_the_settings() -> None:
    assert {one.name: one.default for one in KNOWN_VALUES} == {"InternalRecipient": Registry().InternalRecipient}


def test_sambas_registry_reads_it(tmp_path: Path) -> None:
    if shutil.which("net") is None:
        pytest.fail("Debian package samba-common-bin is missing")
    (tmp_path / "in.reg").write_bytes(registry_file(KEY, {"InternalRecipient": 'a"\\b@ime.acme.example'}, ("remark",)))
    (tmp_path / "smb.conf").write_text(
        f"[global]\nprivate dir={tmp_path}\nstate directory={tmp_path}\ncache directory={tmp_path}\n"
        f"lock directory={tmp_path}\n"
    )
    subprocess.run(
        ["net", "-s", tmp_path / "smb.conf", "registry", "convert", tmp_path / "in.reg", tmp_path / "out.reg"],
        check=True, capture_output=True,
    )  # fmt: skip
    out = (tmp_path / "out.reg").read_bytes()
    text = out.decode("utf-16" if out[:2] == b"\xff\xfe" else "utf-8")
    assert f"[{KEY}]" in text and r'"InternalRecipient"="a\"\\b@ime.acme.example"' in text
