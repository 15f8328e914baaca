"""The kit's `.reg` file, read by Samba's reader, which knows the format from Windows."""

import shutil
import subprocess
from pathlib import Path

import pytest

from ime_gateway.admin.exchange_kit.registry_file import registry_file
from ime_gateway.base.errors import UserError

KEY = r"HKEY_LOCAL_MACHINE\SOFTWARE\Vendor\Add-In"
RECIPIENT = 'a"\\b@ime.acme.example'
AS_WRITTEN = r'"InternalRecipient"="a\"\\b@ime.acme.example"'


def converted(folder: Path, data: bytes) -> str:
    """What Samba makes of the file, as such a file again."""
    if shutil.which("net") is None:
        pytest.fail("Debian package samba-common-bin is missing")
    (folder / "in.reg").write_bytes(data)
    places = "".join(f"{kind} = {folder}\n" for kind in ("private dir", "state directory", "cache directory"))
    (folder / "smb.conf").write_text(f"[global]\n{places}lock directory = {folder}\n")
    words = ["net", "-s", folder / "smb.conf", "registry", "convert", folder / "in.reg", folder / "out.reg"]
    subprocess.run(words, check=True, capture_output=True)
    out = (folder / "out.reg").read_bytes()
    return out.decode("utf-16" if out[:2] == b"\xff\xfe" else "utf-8")


def test_a_foreign_reader_takes_key_and_value(tmp_path: Path) -> None:
    text = converted(tmp_path, registry_file(RECIPIENT, KEY, "for everybody"))
    assert f"[{KEY}]" in text and AS_WRITTEN in text


def test_without_a_key_nothing_is_imported(tmp_path: Path) -> None:
    data = registry_file(RECIPIENT, "", "for everybody")
    assert f"; {AS_WRITTEN}" in data.decode("utf-16")
    read = converted(tmp_path, data).splitlines()
    assert [line for line in read[1:] if line and not line.startswith(";")] == []


@pytest.mark.parametrize(
    "key",
    [
        *("HKLM\\SOFTWARE\\x", "HKEY_LOCAL_MACHINE", KEY + "\\", KEY + "]", KEY + "\\[x", KEY + "\r\n[x"),
        *(KEY + 256 * "x", KEY + "\u2028[x", KEY + "\udcff"),
    ],
)
def test_what_is_no_key(key: str) -> None:
    with pytest.raises(UserError, match="is no registry key"):
        registry_file(RECIPIENT, key, "for everybody")
