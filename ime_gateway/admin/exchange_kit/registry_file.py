"""The add-in's setting as a file for regedit: `InternalRecipient`, the address to which internally encrypted mail
goes.

The name of the value and its default are documented by the add-in's vendor, the key below which it stands is not
public. So without `--registry-key` the lines are comments: a guessed key would be imported without complaint and do
nothing.
"""

import re

from ime_gateway.base.errors import UserError

_KEY = re.compile(r"HKEY_(CURRENT_USER|LOCAL_MACHINE)(\\[^\\\[\]\x00-\x1f]{1,255})+")


def registry_file(recipient: str, key: str, purpose: str) -> bytes:
    """A .reg file of version 5.00 (UTF-16 little-endian with BOM, CRLF, an empty line at its end, without which readers
    leave out the last value); `purpose` stands in its first comment.

    Raises UserError when the key is none."""
    if key and not (_KEY.fullmatch(key) and key.isprintable()):
        raise UserError(f"{key} is no registry key; it looks like: HKEY_LOCAL_MACHINE\\SOFTWARE\\...")
    value = recipient.replace("\\", "\\\\").replace('"', '\\"')
    lines = ["Windows Registry Editor Version 5.00", "", f"; {purpose}"]
    if key:
        lines += [f"[{key}]", f'"InternalRecipient"="{value}"']
    else:
        lines += [
            "; The add-in's key is not public. Find it on a computer that has the add-in:",
            ";   reg query HKLM\\SOFTWARE /s /f InternalRecipient /v",
            ";   reg query HKCU\\Software /s /f InternalRecipient /v",
            "; then put it into the next line and take away the semicolons, or make the kit again with --registry-key.",
            "; [HKEY_LOCAL_MACHINE\\SOFTWARE\\PUT-THE-KEY-HERE]",
            f'; "InternalRecipient"="{value}"',
        ]
    return b"\xff\xfe" + ("\r\n".join(lines) + "\r\n\r\n").encode("utf-16-le")
