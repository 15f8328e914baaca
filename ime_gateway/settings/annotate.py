"""Writes an annotated `gateway.toml` out of the model, so that file and documentation cannot drift.

`ime-gateway init` writes it for a new installation and `config/gateway.toml` is one. Every setting
stands in it: the chosen ones in force, all others commented out at their defaults.
"""

import ast
import inspect
import json
import textwrap
from collections.abc import Iterator, Mapping
from typing import Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ime_gateway.settings import model
from ime_gateway.settings.model import Ldap, Listener, Settings

_WIDTH = 110
_INTRODUCTION = """\
# gateway.toml: what is fixed while ime-gateway runs. Domains, certificates and policy are live data: SITE.toml.
# A line that is commented out shows the default. An unknown key is an error. Relative paths are relative to
# this file. Environment variables override: IMEGW_SMTP__WORKERS=4, IMEGW_LISTENER__internal__PORT=25.
# After a change: ime-gateway check -c THIS_FILE, then restart (SIGHUP suffices for all but addresses and ports).
"""


def annotated_gateway_toml(*, hostname: str, store_url: str) -> str:
    """A complete file for one machine, reachable from itself only until its listeners are opened."""
    notes = _documentation()
    listeners: tuple[Mapping[str, object], ...] = (
        {"name": "internal", "role": "internal", "address": "127.0.0.1", "port": 2525, "allow": ["127.0.0.0/8"]},
        {"name": "internet", "role": "internet", "address": "127.0.0.1", "port": 2526},
    )
    chosen: dict[str, Mapping[str, object]] = {
        "store": {"url": store_url},
        "secrets": {"master_key_file": "master.key"},
        "smtp": {"hostname": hostname},
    }
    parts = [_INTRODUCTION]
    for name, field in Settings.model_fields.items():
        if name == "listener":
            parts.append(_table("[[listener]]", Listener, listeners[0], notes, explained=True))
            parts.append(_table("[[listener]]", Listener, listeners[1], notes, explained=False))
        elif name == "ldap":
            parts.append(_example("[[ldap]]", Ldap, _LDAP_EXAMPLE, notes))
        elif isinstance(field.annotation, type):
            parts.append(_table(f"[{name}]", field.annotation, chosen.get(name, {}), notes, explained=True))
    return "\n".join(parts)


_LDAP_EXAMPLE: Mapping[str, object] = {
    "name": "corp",
    "url": "ldaps://dc.acme.example",
    "base": "DC=acme,DC=example",
    "certificates": "candidates",
}


def _example(
    header: str, section: type[BaseModel], values: Mapping[str, object], notes: Mapping[tuple[str, str], str]
) -> str:
    """A table that is not in force: every line of it is commented out."""
    table = _table(header, section, values, notes, explained=True)
    return "".join(line if line.startswith("#") else f"# {line}" for line in table.splitlines(keepends=True))


def _table(
    header: str,
    section: type[BaseModel],
    chosen: Mapping[str, object],
    notes: Mapping[tuple[str, str], str],
    *,
    explained: bool,
) -> str:
    lines = [*_comment(notes[section.__name__, ""]), header] if explained else [header]
    for name, field in section.model_fields.items():
        if explained:
            lines += _comment(notes[section.__name__, name] + _choices(field))
        elif name not in chosen:
            continue
        value = chosen.get(name, None if field.is_required() else field.get_default(call_default_factory=True))
        lines.append(f"{'' if name in chosen else '# '}{name} = {_toml(value)}")
    return "\n".join(lines) + "\n"


def _comment(text: str) -> Iterator[str]:
    for line in textwrap.wrap(" ".join(text.replace("`", "").split()), _WIDTH):
        yield f"# {line}"


def _choices(field: FieldInfo) -> str:
    """The words that may stand there."""
    if get_origin(field.annotation) is not Literal:
        return ""
    return " One of: " + ", ".join(json.dumps(word) for word in get_args(field.annotation)) + "."


def _toml(value: object) -> str:
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    return json.dumps("" if value is None else str(value), ensure_ascii=False)


def _documentation() -> dict[tuple[str, str], str]:
    """The docstrings of the model's classes and fields; Python keeps those of fields in the source only."""
    notes: dict[tuple[str, str], str] = {}
    for node in ast.parse(inspect.getsource(model)).body:
        if isinstance(node, ast.ClassDef):
            notes[node.name, ""] = ast.get_docstring(node) or ""
            for before, after in zip(node.body, node.body[1:], strict=False):
                if (
                    isinstance(before, ast.AnnAssign)
                    and isinstance(before.target, ast.Name)
                    and isinstance(after, ast.Expr)
                    and isinstance(after.value, ast.Constant)
                ):
                    notes[node.name, before.target.id] = str(after.value.value)
    return notes
