"""A whole company on one machine: real Active Directory, Postfix, Dovecot, a double of Exchange's EWS, and a gateway.

    python -m tests.story.company [DIR]    as root (`make company`); prints what to type where, and ends all at Ctrl-C

Anna's mailbox is in Dovecot, Emma's behind EWS; both Outlooks and the publisher have their settings in DIR. Nobody has
published the IME contact yet: the walk-through of README.md and docs/address-list.md begin here.
"""

import argparse
import os
import shlex
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.servers.ad_world import PEOPLE, PLACE, SUFFIX, WRITER_PASSWORD, as_admin, ldap3
from tests.servers.dovecot import PASSWORD
from tests.servers.ews.mail_doors import relay
from tests.servers.ews.server import EwsServer
from tests.servers.gateway import COMMANDS
from tests.servers.samba_ad import HOST_NAME, SambaAd
from tests.story.exchange import open_exchange
from tests.story.world import IME_ADDRESS, NAMES, World, open_world

NEEDS_ROOT = "A Samba Active Directory, Postfix and Dovecot are started here, which needs root."
READER, READER_PASSWORD = "reader@ad.ime.test", "Passw0rd.Read3r"
EMMA = "emma@acme.example"
_FLUSH_SECONDS = 2.0
"""How often Postfix is told to try again what it keeps."""
_EWS_FOLDERS = {"INBOX": "inbox", "Sent Items": "sentitems"}
MAIL = """\
Subject: Quincunx merger
To: bob@acme.example
Cc: carol@acme.example
Bcc: dora@acme.example
Content-Type: text/plain; charset=utf-8

The code is {text}.
"""


@dataclass
class Company:
    """Everything that runs."""

    folder: Path
    """Where lines are typed: settings, mail.eml, people.toml, all keys, `mailboxes` (Dovecot's), `environment`."""
    ad: SambaAd
    world: World
    ews: EwsServer

    @property
    def exports(self) -> dict[str, str]:
        """What a shell needs to know besides its PATH."""
        return {
            "IMEGW_CONFIG": str(self.world.gateway.config),
            "IMESVC_PASSWORD": WRITER_PASSWORD,
            "READER_PASSWORD": READER_PASSWORD,
            "LDAPURI": self.ad.url,  # of OpenLDAP's own tools, ldap.conf(5)
            "LDAPTLS_CACERT": str(self.folder / "ca.pem"),
            "LDAPBASE": SUFFIX,
            "LDAPBINDDN": READER,
        }

    @property
    def environment(self) -> dict[str, str]:
        """What the lines are typed with."""
        return {**os.environ, **self.exports, "PATH": f"{COMMANDS}{os.pathsep}{os.environ.get('PATH', '')}"}

    def mails(self, name: str, folder: str = "INBOX") -> list[bytes]:
        """What is in somebody's `INBOX` or `Sent Items`, oldest first."""
        address = self.world.address(name)
        return (
            self.ews.mails(address, _EWS_FOLDERS[folder])
            if address == EMMA
            else self.world.dovecot.mails(address, folder)
        )


@contextmanager
def open_company(
    folder: Path, *, exchange: bool = True, text: str = "periwinkle-anvil-4417", archive: bool = False
) -> Iterator[Company]:
    """All servers up, nothing published.

    `exchange`: the directory has Exchange's schema. `text`: what nobody may read in the mails. `archive`: Postfix keeps
    a copy of all that passes, as a curious administrator could.
    """
    ad = SambaAd(exchange=exchange)
    with (
        _starting(ad) as started,
        open_exchange([EMMA], ad) as (ews, door),
        open_world(folder, workers=1, archive=archive, elsewhere={"emma": door.port}) as world,
    ):
        ews.transport.on_send = relay(ews, "127.0.0.1", world.postfix.port, everything=True)
        company = Company(folder, ad, world, ews)
        started.result()
        _employ(ad, world.people)
        _furnish(company, text)
        yield company


@contextmanager
def _starting(ad: SambaAd) -> Iterator[Future[None]]:
    """Ten seconds that the other servers need not wait for."""
    with ThreadPoolExecutor(1) as aside:
        started = aside.submit(ad.start)
        try:
            yield started
        finally:
            started.exception()  # stopped only when nothing more is started
            ad.__exit__(None, None, None)


def _employ(ad: SambaAd, names: Mapping[str, object]) -> None:
    """Everybody of them, and a group of all, in the address list."""
    group = f"CN=Everybody,{PEOPLE}"
    everybody = {"mail": "everybody@acme.example", "sAMAccountName": "everybody", "displayName": "Everybody"}
    with as_admin(ad) as connection:
        for name in names:
            shown, address = f"{name.title()} Adler", f"{name}@acme.example"
            known = {"sAMAccountName": name, "displayName": shown, "mail": address, "proxyAddresses": f"SMTP:{address}"}
            connection.add(f"CN={shown},{PEOPLE}", ["user"], known)
        connection.add(group, ["group"], everybody)
        members = [f"CN={name.title()} Adler,{PEOPLE}" for name in names]
        connection.modify(group, {"member": [(ldap3.MODIFY_ADD, members)]})


def _furnish(company: Company, text: str) -> None:
    """The files of the folder."""
    folder, world = company.folder, company.world
    shutil.copy(company.ad.ca_file, folder / "ca.pem")
    shutil.copy(company.ews.ca_file, folder / "ews-ca.pem")
    for name, person in world.people.items():
        person.write(folder, name)
    (folder / "mailboxes").symlink_to(world.dovecot.folder / "mail")
    people = [
        f'[[person]]\naddress = "{name}@acme.example"\ncertificate = "{name}.pem"\nkey = "{name}.key"\n'
        for name in NAMES
    ]
    (folder / "people.toml").write_text("\n".join(people))
    (folder / "mail.eml").write_text(MAIL.format(text=text), "utf-8")
    smtp = f'[submission]\nhost = "127.0.0.1"\nport = {world.postfix.port}\n'
    writer = 'user = "imesvc@ad.ime.test"\npassword_env = "IMESVC_PASSWORD"\n'
    reader = f'user = "{READER}"\npassword_env = "READER_PASSWORD"\n'
    (folder / "publisher.toml").write_text(_account("anna") + smtp + _list(company.ad, writer))
    (folder / "anna.toml").write_text(_account("anna") + smtp + _imap(world) + _list(company.ad, reader))
    (folder / "emma.toml").write_text(_account("emma") + _ews(company.ews) + _list(company.ad, reader))
    path = f"export PATH={shlex.quote(str(COMMANDS))}:$PATH\n"
    (folder / "environment").write_text(
        path + "".join(f"export {name}={shlex.quote(value)}\n" for name, value in company.exports.items())
    )


def _account(name: str) -> str:
    return (
        f'[account]\naddress = "{name}@acme.example"\ndisplay_name = "{name.title()} Adler"\n'
        f'[registry]\nInternalRecipient = "{IME_ADDRESS}"\n'
    )


def _imap(world: World) -> str:
    return (
        f'[mailbox]\nhost = "127.0.0.1"\nport = {world.dovecot.imap_port}\nuser = "anna@acme.example"\n'
        f'password = "{PASSWORD}"\n'
    )


def _ews(ews: EwsServer) -> str:
    """Exchange takes her mail, has her mailbox, and shows the address list."""
    login = f'url = "{ews.url}"\nca_file = "ews-ca.pem"\nuser = "{EMMA}"\npassword = "{PASSWORD}"\n'
    return f'[submission]\nprotocol = "ews"\n[mailbox]\nprotocol = "ews"\n{login}[address_list.ews]\n{login}'


def _list(ad: SambaAd, login: str) -> str:
    where = f'[address_list.ldap]\nurl = "{ad.url}"\nca_file = "ca.pem"\nbase = "{SUFFIX}"\nplace = "{PLACE}"\n'
    return where + login


def main() -> None:
    """Run it until Ctrl-C."""
    parser = argparse.ArgumentParser(description="A whole company on one machine.")
    parser.add_argument("folder", type=Path, nargs="?", help="new or empty; default: one in /tmp")
    given: Path | None = parser.parse_args().folder
    if os.geteuid() != 0:
        sys.exit(f"{NEEDS_ROOT} Nothing was started; type: sudo make company")
    folder = given.absolute() if given else Path(tempfile.mkdtemp(prefix="ime-company-"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        sys.exit(f"{folder} cannot be made: {error.strerror}; nothing was started; name a new folder")
    if any(folder.iterdir()):
        sys.exit(f"{folder} is not empty; nothing was started; name a new folder")
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    print("Starting Active Directory, Postfix, Dovecot and the gateway: about 20 seconds", file=sys.stderr)
    with open_company(folder) as company:
        print(
            f"{HOST_NAME} is {company.ad.url}, Exchange's EWS (our double) is {company.ews.url},\n"
            f"the gateway's pages are at http://127.0.0.1:{company.world.gateway.web_port}\n"
            f"In a second terminal, as root:\n\n  cd {folder} && . ./environment\n\n"
            "and then the lines of README.md's walk-through. Ctrl-C here ends all of it.",
            flush=True,
        )
        while not stopped.wait(_FLUSH_SECONDS):
            company.world.postfix.flush()  # else what waits for an answer would be tried after minutes only


if __name__ == "__main__":
    main()
