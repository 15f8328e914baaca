"""The commands `addin-sim world …`: the small mail world for trying a gateway by hand."""

import contextlib
import re
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from addin_sim.terminal import refuse
from addin_sim.world.crowd import make_crowd
from addin_sim.world.mail_server import MailServer
from addin_sim.world.people import COMPANY, make_people, write_people, write_site

_RETRY_SECONDS = 2.0

world = typer.Typer(help="A small mail world: people with certificates, and a server that plays Exchange.")


@world.command()
def people(
    folder: Annotated[Path, typer.Argument(help="Where certificates, keys and SITE.toml are written.")],
    exchange: Annotated[str, typer.Option(help="HOST:PORT of the server that plays Exchange.")] = "127.0.0.1:2587",
    partner: Annotated[str, typer.Option(help="HOST:PORT of the partner's server.")] = "127.0.0.1:2588",
) -> None:
    """Make a demo CA, certificates and keys, the SITE.toml that tells a gateway about them, and the people.toml of
    those with whom `addin-sim rehearse` can play.
    """
    folder = folder.absolute()
    with _written_to(folder, unless="SITE-people.toml"):
        made = make_people(folder)
        write_site(folder / "SITE.toml", folder, exchange, partner)
        colleagues = [(person, files) for person, files in made.items() if person.address.endswith(f"@{COMPANY}")]
        write_people(folder / "people.toml", colleagues)
    for person, files in made.items():
        typer.echo(f"{person.address}: {files.certificate}")
    typer.echo(f"next: ime-gateway apply {folder / 'SITE.toml'}")


@world.command()
def crowd(
    folder: Annotated[Path, typer.Argument(help="Where keys, people.toml and SITE-people.toml are written.")],
    users: Annotated[int, typer.Option(help="How many people.", min=1, max=999)] = 20,
    domain: Annotated[str, typer.Option(help="The managed domain of their addresses.")] = COMPANY,
) -> None:
    """Make people for `addin-sim rehearse`: test certificates, test keys, and what the gateway must know of them.

    people.toml is for --people; SITE-people.toml holds the root and the certificates for the gateway's SITE.toml.
    Everybody needs a mailbox at the address; passwords are added to people.toml by hand, or all have that of the
    settings.
    """
    if not re.fullmatch(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+", domain):
        raise typer.BadParameter("must be a domain such as acme.example, in ASCII (xn--...)", param_hint="--domain")
    with _written_to(folder, unless="people.toml"):
        made = make_crowd(folder.absolute(), users, domain)
    typer.echo(f"{made.addresses[0]} to {made.addresses[-1]}: {made.people_file}")
    typer.echo(f"next: make their mailboxes, add {made.site_part} to SITE.toml, ime-gateway apply SITE.toml")
    typer.echo(f"then: addin-sim rehearse --people {made.people_file} --users {users} --minutes 2")


@world.command()
def serve(
    folder: Annotated[Path, typer.Argument(help="Where mailboxes and journal are kept.")],
    gateway: Annotated[str, typer.Option(help="HOST:PORT of the gateway's internal listener.")] = "127.0.0.1:2525",
    port: Annotated[int, typer.Option(help="Port of the server that plays Exchange.", min=0, max=65535)] = 2587,
    outside_port: Annotated[int, typer.Option(help="Port of the partner's server.", min=0, max=65535)] = 2588,
) -> None:
    """Play Exchange and the partner's server until Ctrl-C; mail that is not local goes to the gateway.

    What the gateway does not take for the moment is tried again every two seconds.
    """
    host, colon, gateway_port = gateway.rpartition(":")
    if not colon or not gateway_port.isdecimal():
        raise typer.BadParameter("must be HOST:PORT", param_hint="--gateway")
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    with _written_to(folder):
        server = MailServer(folder, [COMPANY], port=port, outside_port=outside_port, retry_seconds=_RETRY_SECONDS)
    server.route_to(host, int(gateway_port))
    try:
        server.start()
    except OSError as error:
        typer.echo(f"The mail world cannot listen: {error.strerror or error}", err=True)
        raise typer.Exit(1) from error
    typer.echo(f"Exchange 127.0.0.1:{server.port}, partner 127.0.0.1:{server.outside_port}; in outlook-settings.toml:")
    typer.echo(f'[submission]\nhost = "127.0.0.1"\nport = {server.port}')
    typer.echo(f'[world_mailbox]\nfolder = "{server.mailboxes.folder.absolute()}"')
    stopped.wait()
    server.stop()


@contextlib.contextmanager
def _written_to(folder: Path, *, unless: str = "") -> Iterator[None]:
    """Refuses a folder that cannot be written, and one in which the file `unless` tells of people made earlier: their
    CA would be replaced, and the passwords that were added by hand."""
    if unless and (folder / unless).exists():
        refuse(f"{folder / unless} is there already. Nothing was written. Choose a new folder, or remove this one.")
    try:
        yield
    except OSError as error:
        refuse(f"{error.filename or folder}: cannot be written: {error.strerror or error}. Choose another folder.")
