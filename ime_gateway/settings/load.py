"""Reads `gateway.toml` and `SITE.toml`: text in, frozen settings out, or an error that says where.

The administrator's files are the only door through which settings come. A wrong one stops the
program before it takes mail: file, line and key are named, and an unknown key is an error, since a
misspelt `encryption = "mandatory"` that is ignored would be clear text on the wire.
"""

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ime_gateway.base.errors import ConfigurationError
from ime_gateway.settings.model import Listener, Settings
from ime_gateway.settings.site import Site
from ime_gateway.settings.toml_lines import KeyPath, LineIndex

AnySection = TypeVar("AnySection", bound=BaseModel)

PREFIX = "IMEGW_"
"""Environment variables `IMEGW_SECTION__KEY` override the file; names without `__` are not settings."""

_PASSWORD_FILES = {"password_file", "ime_key_password_file", "domain_key_password_file"}
_OPTIONAL_PATHS = {"certificate", "key", "client_ca", "ca_file", *_PASSWORD_FILES, "next_domain_key"}


class WrongFileError(ConfigurationError):
    """A file cannot be used; `problems` has one sentence for each thing that is wrong."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class SiteFile:
    """A SITE.toml that was read, with the way back to its lines."""

    path: Path
    site: Site
    lines: LineIndex

    def where(self, *key: str | int) -> str:
        """`FILE, line N: KEY` for an error about a key."""
        return _where(self.path, self.lines, key)

    def beside(self, file: Path) -> Path:
        """A path of the file made absolute: relative paths are relative to the file."""
        return self.path.absolute().parent / file


def load_settings(path: Path, environment: Mapping[str, str]) -> Settings:
    """Read `gateway.toml`, with the overrides of `environment`.

    All paths, and a SQLite URL, come back absolute. Raises WrongFileError (a ConfigurationError).
    """
    text, data = _read_toml(path)
    overridden = _override(data, environment)
    lines = LineIndex.of(text)
    try:
        settings = Settings.model_validate(data)
    except ValidationError as error:
        raise WrongFileError(_problems(error, Settings, path, lines, data, overridden)) from None
    return _with_absolute_paths(settings, path.absolute().parent)


def load_site(path: Path) -> SiteFile:
    """Read `SITE.toml`; its certificate files are not opened yet. Raises WrongFileError."""
    text, data = _read_toml(path)
    lines = LineIndex.of(text)
    try:
        return SiteFile(path, Site.model_validate(data), lines)
    except ValidationError as error:
        raise WrongFileError(_problems(error, Site, path, lines, data, {})) from None


def table_problems(error: ValidationError, model: type[BaseModel]) -> tuple[str, ...]:
    """What is wrong with a single table that was read by `model` from elsewhere than a file, in the same words."""
    found: dict[str, None] = {}
    for detail in error.errors(include_url=False):
        key = ".".join(str(step) for step in detail["loc"] if isinstance(step, int) or step in model.model_fields)
        found[f"{key}: {_sentence(detail, model)}" if key else _sentence(detail, model)] = None
    return tuple(found)


def _read_toml(path: Path) -> tuple[str, dict[str, Any]]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise WrongFileError((f"{path}, line {line}: the file is not UTF-8 text",)) from None
    except OSError as error:
        raise WrongFileError((f"{path}: cannot be read: {os.strerror(error.errno or 0)}",)) from None
    try:
        return text, _without_empty_paths(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        found = re.fullmatch(r"(.*) \(at (?:line (\d+), column \d+|end of document)\)", str(error), re.DOTALL)
        sentence = found.group(1) if found else str(error)
        line = int(found.group(2)) if found and found.group(2) else text.count("\n") + 1
        raise WrongFileError((f"{path}, line {line}: not correct TOML: {sentence}",)) from None
    except RecursionError:
        raise WrongFileError((f"{path}: values are nested too deeply",)) from None


def _without_empty_paths(table: dict[str, Any]) -> dict[str, Any]:
    """`certificate = ""` means none; as a path it would be the current folder."""
    for key, value in list(table.items()):
        if value == "" and key in _OPTIONAL_PATHS:
            del table[key]
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, dict):
                _without_empty_paths(inner)
    return table


def _override(data: dict[str, Any], environment: Mapping[str, str]) -> dict[KeyPath, str]:
    """Put environment values into `data`; returns which variable gave which key."""
    given: dict[KeyPath, str] = {}
    for variable, value in sorted(environment.items()):
        if not variable.startswith(PREFIX) or "__" not in variable:
            continue
        names = [part.lower() for part in variable.removeprefix(PREFIX).split("__")]
        path = _listener_path(names, data, variable) if names[0] == "listener" else tuple(names)
        model: type[BaseModel] | None = Listener if path[0] == "listener" else _section(str(path[0]))
        key = str(path[-1])
        if model is None or len(path) != (3 if model is Listener else 2) or key not in model.model_fields:
            raise WrongFileError((f"environment variable {variable}: there is no such setting",))
        table: Any = data
        for step in path[:-1]:
            table = table[step] if isinstance(step, int) else table.setdefault(step, {})
        if not isinstance(table, dict):
            continue  # the file is wrong there; validation says so, with the line
        table[key] = _environment_value(value, model.model_fields[key].annotation)
        given[path] = variable
    return given


def _section(name: str) -> type[BaseModel] | None:
    field = Settings.model_fields.get(name)
    return field.annotation if field is not None and isinstance(field.annotation, type) else None


def _listener_path(names: list[str], data: Mapping[str, Any], variable: str) -> KeyPath:
    """`listener`, position, key; a shell variable cannot carry `-`, so `_` stands for it too."""
    listeners = data.get("listener")
    if len(names) == 3 and isinstance(listeners, list):
        for position, listener in enumerate(listeners):
            name = listener.get("name") if isinstance(listener, dict) else None
            if isinstance(name, str) and name.lower().replace("-", "_") == names[1].replace("-", "_"):
                return ("listener", position, names[2])
    raise WrongFileError((f"environment variable {variable}: must be IMEGW_LISTENER__<name>__<KEY> of a listener",))


def _environment_value(value: str, annotation: object) -> object:
    """A list is written with commas (or as a TOML array); everything else is read by its type."""
    if get_origin(annotation) is not tuple:
        return value
    if value.lstrip().startswith("["):
        try:
            return tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            return value
    return [part.strip() for part in value.split(",") if part.strip()]


def _with_absolute_paths(settings: Settings, folder: Path) -> Settings:
    listeners = tuple(_beside(folder, one, "certificate", "key", "client_ca") for one in settings.listener)
    directories = tuple(_beside(folder, one, "ca_file", "password_file") for one in settings.ldap)
    secrets = settings.secrets.model_copy(update={"master_key_file": folder / settings.secrets.master_key_file})
    store = settings.store
    file = store.url.removeprefix("sqlite:///")
    if file != store.url:
        store = store.model_copy(update={"url": f"sqlite:///{folder / file}"})
    return settings.model_copy(update={"listener": listeners, "secrets": secrets, "store": store, "ldap": directories})


def _beside(folder: Path, section: AnySection, *names: str) -> AnySection:
    found = {name: folder / value for name in names if (value := getattr(section, name)) is not None}
    return section.model_copy(update=found)


def _problems(
    error: ValidationError,
    model: type[BaseModel],
    path: Path,
    lines: LineIndex,
    data: Mapping[str, Any],
    overridden: Mapping[KeyPath, str],
) -> tuple[str, ...]:
    by_key: dict[KeyPath, list[str]] = {}
    for detail in error.errors(include_url=False):
        sentence = _sentence(detail, model)
        by_key.setdefault(_key_meant(_within_file(detail["loc"], data), sentence, data), []).append(sentence)
    found: list[tuple[int, str]] = []
    for key, sentences in by_key.items():
        if any(other[: len(key)] == key for other in by_key if other != key):
            continue  # what is wrong inside says it better than what follows from it outside
        sentence = max(sentences, key=len)  # of a union of types each branch complains
        variable = next((overridden[key[:n]] for n in range(len(key), 0, -1) if key[:n] in overridden), None)
        if variable is not None:
            found.append((0, f"environment variable {variable}: {sentence}"))
        else:
            found.append((lines.find(key), f"{_where(path, lines, key)}: {sentence}"))
    return tuple(text for _, text in sorted(found))


def _within_file(location: tuple[str | int, ...], data: Any) -> KeyPath:
    """The part of pydantic's location that stands in the file; union branches do not.

    The last step may name a key that is missing; it stays.
    """
    path: list[str | int] = []
    for position, step in enumerate(location):
        if isinstance(data, Mapping) and isinstance(step, str):
            path.append(step)
            if step not in data:
                break
            data = data[step]
        elif isinstance(data, list) and isinstance(step, int) and step < len(data):
            path.append(step)
            data = data[step]
        elif position:
            break
    return tuple(path)


def _key_meant(key: KeyPath, sentence: str, data: Any) -> KeyPath:
    """A rule about a whole table begins with the key that breaks it; that key's line is the one to look at."""
    for step in key:
        try:
            data = data[step]
        except (LookupError, TypeError):
            return key
    word = re.match(r"\[*([a-z0-9_]+)", sentence)
    return (*key, word.group(1)) if word and isinstance(data, Mapping) and word.group(1) in data else key


def _where(path: Path, lines: LineIndex, key: KeyPath) -> str:
    name = "".join(f"[{step + 1}]" if isinstance(step, int) else f".{step}" for step in key).removeprefix(".")
    return f"{path}, line {lines.find(key)}" + (f": {name}" if name else "")


def _sentence(detail: ErrorDetails, model: type[BaseModel]) -> str:
    """Pydantic's finding in words for an administrator; a value is never repeated, it may be a secret."""
    match detail["type"]:
        case "extra_forbidden":
            known = _known_keys(model, detail["loc"][:-1])
            near = difflib.get_close_matches(str(detail["loc"][-1]), known, n=1)
            return "unknown key" + (f'; did you mean "{near[0]}"?' if near else "")
        case "missing":
            return "is missing"
        case "tuple_type" if isinstance(detail["input"], Mapping):
            name = detail["loc"][-1]
            return f"there can be several: write [[{name}]] instead of [{name}]"
        case "literal_error":
            return "must be " + str(detail["ctx"]["expected"]).replace("'", '"')
        case "ip_v4_network" | "ip_v6_network":
            return "must be a network such as 10.1.2.0/24, with nothing after the prefix"
        case "value_error":
            return str(detail["ctx"]["error"])
        case _:
            message = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
            return message.replace("Input should be", "should be")


def _known_keys(model: type[BaseModel], location: tuple[str | int, ...]) -> list[str]:
    current: Any = model
    for step in location:
        if isinstance(step, str) and isinstance(current, type) and issubclass(current, BaseModel):
            field = current.model_fields.get(step)
            annotation = field.annotation if field is not None else None
            current = get_args(annotation)[0] if get_origin(annotation) is tuple else annotation
    return list(current.model_fields) if isinstance(current, type) and issubclass(current, BaseModel) else []
