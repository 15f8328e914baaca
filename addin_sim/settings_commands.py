"""The commands `addin-sim settings …`: the add-in's registry values, shown and written as a `.reg` file.

What is rehearsed here with a settings file is rolled out to real Outlooks by the registry; both must say the same.
"""

from pathlib import Path
from typing import Annotated

import typer

from addin_sim.outlook_settings import OutlookSettings, SettingsError, load
from addin_sim.registry_file import KNOWN_VALUES, RegistryFileError, key_path, registry_file
from addin_sim.terminal import DEFAULT_SETTINGS, AsJson, SettingsFile, print_json, write_out

settings_app = typer.Typer(help="The add-in's registry values.", no_args_is_help=True)

_HONEST = (
    "The key path of the real add-in is not public. Look it up on a computer that has it:",
    "reg query HKCU\\Software /s /f InternalRecipient /v  (and HKLM\\Software), then set registry.key_path or --key.",
)
Key = Annotated[str | None, typer.Option("--key", help="Path of the key; default: registry.key_path of the settings.")]


@settings_app.command("show")
def show(settings: SettingsFile = DEFAULT_SETTINGS, as_json: AsJson = False) -> None:
    """Show every value that the add-in is known to read, with its default."""
    outlook = load(settings)
    key = _key(outlook, None)
    values = _values(outlook)
    if as_json:
        known = [
            {"name": one.name, "value": values[one.name], "default": one.default, "meaning": one.meaning}
            for one in KNOWN_VALUES
        ]
        print_json({"key": key, "ime": f"{outlook.registry.ime_version}.0", "values": known})
        return
    typer.echo(key)
    for one in KNOWN_VALUES:
        value = values[one.name]
        typer.echo(f"  {one.name} = {value}" + (" (default)" if value.lower() == one.default else ""))
        typer.echo(f"    {one.meaning}; default {one.default}")
    typer.echo(f"  This Outlook uses IME {outlook.registry.ime_version}.0.")


@settings_app.command("export")
def export(
    settings: SettingsFile = DEFAULT_SETTINGS,
    out: Annotated[Path | None, typer.Option(help="The .reg file to write; default: standard output.")] = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Write the values as a .reg file for the registry editor, group policy or software distribution."""
    if as_json and out is None:
        raise typer.BadParameter("--json needs --out: standard output would hold the .reg file.", param_hint="--json")
    outlook = load(settings)
    path, values = _key(outlook, key), _values(outlook)
    standing_in = key is None and "key_path" not in outlook.registry.model_fields_set
    try:
        data = registry_file(path, values, _HONEST if standing_in else ())
    except RegistryFileError as error:
        raise SettingsError(str(error)) from error
    if standing_in:
        typer.echo("\n".join(_HONEST), err=True)
    write_out(data, out)
    if out is None:
        return
    if as_json:
        print_json({"file": str(out), "key": path, "values": values})
    else:
        typer.echo(f"{out}: {len(values)} value under {path}")


def _key(outlook: OutlookSettings, chosen: str | None) -> str:
    try:
        return key_path(chosen if chosen is not None else outlook.registry.key_path)
    except RegistryFileError as error:
        raise SettingsError(str(error)) from error


def _values(outlook: OutlookSettings) -> dict[str, str]:
    return {"InternalRecipient": outlook.registry.InternalRecipient}
