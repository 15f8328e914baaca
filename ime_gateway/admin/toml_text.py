"""Writes TOML 1.0 (tomllib only reads it): the few forms that a SITE.toml needs."""

import json
from collections.abc import Iterable


def toml_value(value: object) -> str:
    """A string, boolean, number or list as TOML text; raises TypeError for anything else."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        # A JSON string is a TOML basic string, save for DEL, which TOML wants escaped.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    raise TypeError(f"no TOML form for {type(value).__name__}")


def toml_table(header: str, pairs: Iterable[tuple[str, object]]) -> str:
    """A table with its header line, `[policy]` or `[[root]]`, and a line for each key."""
    return "\n".join([header, *(f"{key} = {toml_value(value)}" for key, value in pairs)]) + "\n"
