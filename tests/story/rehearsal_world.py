"""The world of a rehearsal: Postfix as Exchange, Dovecot mailboxes, an address list, a gateway, and a crowd with keys.

The IME contact is published in the address list before; nobody's settings name its certificate.
"""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from addin_sim.world.crowd import Crowd, make_crowd
from tests.servers.ad_world import PLACE, READER, READER_PASSWORD, SUFFIX, WRITER, WRITER_PASSWORD
from tests.servers.dovecot import PASSWORD, Dovecot
from tests.servers.gateway import COMMANDS, Gateway
from tests.servers.postfix import Postfix
from tests.servers.slapd_ad import SlapdAd

DOMAIN = "acme.example"
IME_ADDRESS = f"domain-confidentiality-authority@ime.{DOMAIN}"
NO_LIMITS = """
maildir_very_dirty_syncs = yes
service imap {
  process_limit = 400
  client_limit = 1
}
service imap-login {
  service_count = 0
  process_limit = 200
}
"""


@dataclass
class RehearsalWorld:
    """Everything that runs."""

    folder: Path
    postfix: Postfix
    dovecot: Dovecot
    gateway: Gateway
    crowd: Crowd
    settings: Path


@contextmanager
def open_rehearsal(
    folder: Path, users: int, *, signers: str = "confirm", policy: str = "", postfix: str = ""
) -> Iterator[RehearsalWorld]:
    """All servers up; `signers`: how the gateway learns who signs containers; `postfix`: added to its main.cf."""
    crowd = make_crowd(folder / "crowd", users, DOMAIN)
    with ExitStack() as stack:
        gateway = Gateway(folder)
        directory = stack.enter_context(SlapdAd())
        dovecot = stack.enter_context(Dovecot(crowd.addresses, extra=NO_LIMITS))
        exchange = stack.enter_context(
            Postfix(
                local_domains=[DOMAIN],
                lmtp_port=dovecot.lmtp_port,
                routes=dict.fromkeys(("imepseudodomain.local", f"ime.{DOMAIN}"), gateway.port),
                extra=postfix,
            )
        )
        gateway.configure(next_hop=exchange.port)
        gateway.apply(
            f'[policy]\nprotect_subject = "ime2"\n{policy}\n[[managed_domain]]\nname = "{DOMAIN}"\n'
            f'deliver_to = "smtp://127.0.0.1:{exchange.port}"\nime_address = "{IME_ADDRESS}"\nime_key = "generate"\n'
            f'ime_signers = "{signers}"\n' + crowd.site_part.read_text()
        )
        stack.callback(gateway.stop)
        gateway.start()
        settings = _settings(folder, exchange, dovecot, crowd, directory)
        _publish(folder, gateway, settings)
        yield RehearsalWorld(folder, exchange, dovecot, gateway, crowd, settings)


def _settings(folder: Path, postfix: Postfix, dovecot: Dovecot, crowd: Crowd, directory: SlapdAd) -> Path:
    path = folder / "outlook.toml"
    path.write_text(
        f'[account]\naddress = "{crowd.addresses[0]}"\n'
        f'[submission]\nhost = "127.0.0.1"\nport = {postfix.port}\n'
        f'[registry]\nInternalRecipient = "{IME_ADDRESS}"\n'
        f'[mailbox]\nhost = "127.0.0.1"\nport = {dovecot.imap_port}\nuser = "{crowd.addresses[0]}"\n'
        f'password = "{PASSWORD}"\n'
        f'[address_list.ldap]\nurl = "{directory.url}"\nca_file = "{directory.ca_file}"\nbase = "{SUFFIX}"\n'
        f'place = "{PLACE}"\nuser = "{READER}"\npassword = "{READER_PASSWORD}"\n'
    )
    return path


def _publish(folder: Path, gateway: Gateway, settings: Path) -> None:
    gateway.command("ime", "export-contact", DOMAIN, "--out", str(folder / "contact"))
    publisher = folder / "publisher.toml"
    login = settings.read_text().replace(READER_PASSWORD, WRITER_PASSWORD).replace(READER, WRITER)
    publisher.write_text(login)
    words = ["publish", "--backend", "ldap", "--contact", str(folder / "contact"), "--settings", str(publisher)]
    done = subprocess.run([COMMANDS / "addin-sim", *words], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
