"""`ime-gateway exchange-kit`: scripts and files that set up Exchange and Outlook, made from live data."""

import secrets
from pathlib import Path
from typing import Annotated

import typer
from cryptography import x509

from ime_gateway.admin.exchange_kit.facts import Wishes, chosen_listener
from ime_gateway.admin.exchange_kit.kit import ExchangeKitDesk, Kit, kit_json
from ime_gateway.admin.ime_contact import FILE_NAMES
from ime_gateway.app.cli.options import ConfigOption, JsonOption, actor, config_path
from ime_gateway.app.cli.output_files import write_new
from ime_gateway.app.cli.show import as_json, say, say_error
from ime_gateway.app.installation import open_current_installation
from ime_gateway.app.system_clock import SystemClock
from ime_gateway.base.errors import UnreadableMail, UserError
from ime_gateway.mail.address import parse_path
from ime_gateway.settings.model import Listener

_MARK = "README.txt"
_MADE = b"Made by `ime-gateway exchange-kit`"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("exchange-kit")(exchange_kit)


def exchange_kit(
    context: typer.Context,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="New, empty, or an earlier kit.")],
    gateway_address: Annotated[
        list[str] | None,
        typer.Option(
            "--gateway-address",
            metavar="IP",
            help="From where this gateway connects to Exchange; may be given again. Default: the listener's address.",
            show_default=False,
        ),
    ] = None,
    gateway_name: Annotated[
        str, typer.Option("--gateway-name", metavar="NAME", help="Default: [smtp] hostname.", show_default=False)
    ] = "",
    listener: Annotated[
        str, typer.Option("--listener", metavar="NAME", help="The internal listener for Exchange.", show_default=False)
    ] = "",
    registry_key: Annotated[
        str, typer.Option("--registry-key", metavar="KEY", help="The add-in's key; not public.", show_default=False)
    ] = "",
    test_sender: Annotated[
        str, typer.Option("--test-sender", metavar="ADDRESS", help="Who writes the test mails.", show_default=False)
    ] = "",
    test_recipient: Annotated[
        str, typer.Option("--test-recipient", metavar="ADDRESS", help="Who gets them.", show_default=False)
    ] = "",
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Write PowerShell for Exchange Server and Exchange Online, roll-back, contact, registry file and test mails."""
    _require_own_folder(out)
    wishes = Wishes(
        addresses=tuple(gateway_address or ()),
        name=gateway_name,
        listener=listener,
        registry_key=registry_key,
        test_sender=_address("--test-sender", test_sender),
        test_recipient=_address("--test-recipient", test_recipient),
    )
    with open_current_installation(config_path(context, config)) as installation:
        settings = installation.settings
        desk = ExchangeKitDesk(installation.store.registry, settings, SystemClock(), secrets.token_bytes)
        certificate = _shown_certificate(chosen_listener(settings, listener))
        kit = desk.make(wishes, certificate, actor())
    _write(kit, out)
    if json:
        as_json(kit_json(kit, str(out)))
        return
    say(f"Wrote {len(kit.files)} files to {out}; begin with README.txt there.")
    for note in kit.facts.notes:
        say_error(f"note: {note}")


def _shown_certificate(listener: Listener) -> x509.Certificate | None:
    """The certificate that Exchange will see; None when there is none that can be read (`check` says why)."""
    if listener.certificate is None:
        return None
    try:
        return x509.load_pem_x509_certificates(listener.certificate.read_bytes())[0]
    except (OSError, ValueError):
        return None


def _address(option: str, text: str) -> str:
    if not text:
        return ""
    try:
        found = parse_path(text)
    except UnreadableMail as error:
        raise UserError(f"{option}: {text} is no mail address: {error}") from None
    if not text.isascii() or not text.isprintable():
        raise UserError(f"{option}: {text} must be plain ASCII, so that every program can send the test mail")
    return f"{found.local}@{found.domain}"


def _require_own_folder(folder: Path) -> None:
    """Nothing of others may lie there, nor may a link lead there: somebody would run or delete the wrong files."""
    try:
        inside = (folder / "test-mails", folder / "contact", *folder.glob("contact/*"))
        if links := [path for path in inside if path.is_symlink()]:
            raise UserError(f"{links[0]} is a link to another place; nothing was written; choose a new folder")
        names = {path.name for path in folder.iterdir()}
        if names and (_MARK not in names or _MADE not in (folder / _MARK).read_bytes()):
            raise UserError(f"{folder} holds other files ({min(names)}); nothing was written; choose a new folder")
    except FileNotFoundError:
        return
    except OSError as error:
        raise UserError(f"{folder} cannot be used: {error.strerror}") from None


def _write(kit: Kit, folder: Path) -> None:
    """README.txt first, so that a kit that was cut off is known as one; each file whole or not at all."""
    try:
        for name, content in kit.files.items():
            path = folder.joinpath(*name.split("/"))
            path.parent.mkdir(parents=True, exist_ok=True)
            write_new(path, content, replace=True)
        _forget_older(kit, folder)
    except (OSError, UserError) as error:
        reason = str(error) if isinstance(error, UserError) else f"{folder} cannot be written: {error.strerror}"
        raise UserError(
            f"{reason}; what lies in {folder} may be half of this kit and half of an earlier one, so run none of its"
            " scripts; see to it, then run the same command again"
        ) from None


def _forget_older(kit: Kit, folder: Path) -> None:
    """What an earlier kit had and this one has not would be published by mistake; what others put there stays."""
    wanted = {folder.joinpath(*name.split("/")) for name in kit.files}
    places = ("contact/*/*", "test-mails/*.eml", "registry*.reg")
    for path in [path for place in places for path in folder.glob(place)]:
        if path not in wanted and path.is_file() and _is_of_a_kit(path):
            path.unlink()


def _is_of_a_kit(path: Path) -> bool:
    """By its name, and by what a kit writes into it where a person might choose such a name."""
    if path.suffix == ".eml":
        return b"\r\nSubject: IME test " in path.read_bytes()
    if path.suffix == ".reg":
        domain = path.stem.removeprefix("registry").removeprefix("-")
        return not domain or f"; IME 2.0 for the users of {domain}.".encode("utf-16-le") in path.read_bytes()
    return path.name in FILE_NAMES
