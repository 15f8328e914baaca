"""The commands `addin-sim world …`: the small mail world for trying a gateway by hand."""

import signal
import threading
from pathlib import Path
from typing import Annotated

import typer

from addin_sim.world.mail_server import MailServer
from addin_sim.world.people import COMPANY, make_people, write_site

_RETRY_SECONDS = 2.0

world = typer.Typer(help="A small mail world: people with certificates, and a server that plays Exchange.")


@world.command()
def people(
    folder: Annotated[Path, typer.Argument(help="Where certificates, keys and SITE.toml are written.")],
    exchange: Annotated[str, typer.Option(help="HOST:PORT of the server that plays Exchange.")] = "127.0.0.1:2587",
    partner: Annotated[str, typer.Option(help="HOST:PORT of the partner's server.")] = "127.0.0.1:2588",
) -> None:
    """Make a demo CA, certificates and keys, and the SITE.toml that tells a gateway about them."""
    folder = folder.absolute()
    made = make_people(folder)
    write_site(folder / "SITE.toml", folder, exchange, partner)
    for person, files in made.items():
        typer.echo(f"{person.address}: {files.certificate}")
    typer.echo(f"next: ime-gateway apply {folder / 'SITE.toml'}")


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
