"""Writes the add-in's registry values as a `.reg` file, so that an administrator can roll them out to every Outlook.

`InternalRecipient` decides whether mail is encrypted by IME 1.0 or 2.0, and where it goes; group policy and software
distribution take such files. Format: what the registry editor of Windows writes ("Windows Registry Editor Version
5.00"): UTF-16LE with a byte order mark, CRLF, backslash and quotation mark escaped by a backslash.

Publicly known of the real add-in are the value name `InternalRecipient` and its default, no other name and not the path
of the key: so the path is a setting, and its default is a key of our own, where the values do no harm.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from addin_sim.outlook_settings import IME1_RECIPIENT

_HEADER = "Windows Registry Editor Version 5.00"
_ROOTS = {
    "HKCU": "HKEY_CURRENT_USER",
    "HKLM": "HKEY_LOCAL_MACHINE",
    "HKEY_CURRENT_USER": "HKEY_CURRENT_USER",
    "HKEY_LOCAL_MACHINE": "HKEY_LOCAL_MACHINE",
}
_LONGEST_NAME = 255
"""Characters of one part of a key's path; the registry's own limit."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class RegistryFileError(Exception):
    """A key or a value cannot be written; the text is one sentence."""


@dataclass(frozen=True, slots=True)
class KnownValue:
    """A value that the add-in reads."""

    name: str
    default: str
    meaning: str


KNOWN_VALUES = (
    KnownValue(
        "InternalRecipient",
        IME1_RECIPIENT,
        "where internally encrypted mail goes; the default means IME 1.0, any other address IME 2.0",
    ),
)
"""All value names that are publicly known."""


def key_path(path: str) -> str:
    """The path with its root written out; `RegistryFileError` when it is none below HKCU or HKLM."""
    root, _, rest = path.partition("\\")
    parts = rest.split("\\")
    if root.upper() not in _ROOTS or any(not part or len(part) > _LONGEST_NAME for part in parts):
        raise RegistryFileError(
            f"{path!r} is no registry key: it must be HKEY_CURRENT_USER\\Software\\… or "
            "HKEY_LOCAL_MACHINE\\Software\\…; nothing was written."
        )
    if not path.isprintable():
        raise RegistryFileError(f"{path!r} is no registry key: it holds a control character; nothing was written.")
    return "\\".join((_ROOTS[root.upper()], *parts))


def registry_file(path: str, values: Mapping[str, str | int], remarks: tuple[str, ...] = ()) -> bytes:
    """The whole file: one key with its values (texts as REG_SZ, numbers as REG_DWORD), `remarks` as comments before it.

    Raises `RegistryFileError`.
    """
    lines = [_HEADER, ""]
    lines += [f"; {_CONTROL.sub(' ', remark)}" for remark in remarks]
    lines.append(f"[{key_path(path)}]")
    lines += [f"{_quoted(name)}={_data(value)}" for name, value in values.items()]
    return b"\xff\xfe" + "".join(f"{line}\r\n" for line in (*lines, "")).encode("utf-16-le")


def _data(value: str | int) -> str:
    if isinstance(value, int):
        if not 0 <= value < 2**32:
            raise RegistryFileError(f"{value} is no number that the registry holds; nothing was written.")
        return f"dword:{value:08x}"
    if not _CONTROL.search(value):
        return _quoted(value)
    return "hex(1):" + ",".join(f"{byte:02x}" for byte in (value + "\0").encode("utf-16-le"))


def _quoted(text: str) -> str:
    if _CONTROL.search(text):
        raise RegistryFileError(f"{text!r} is no value name: it holds a control character; nothing was written.")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
