"""The mailbox over TLS, by STARTTLS and from the first byte: the server is checked, IDLE works there too."""

import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from addin_sim.mailbox.imap import ImapMailbox
from addin_sim.mailbox.interface import Folder, MailboxError
from addin_sim.outlook_settings import MailboxSettings
from tests.servers.dovecot import PASSWORD, Dovecot
from tests.servers.listening import free_port

ALICE = "alice@acme.example"
pytestmark = pytest.mark.xdist_group("dovecot")


@dataclass
class TlsServer:
    dovecot: Dovecot
    certificate: Path
    imaps_port: int

    def settings(self, tls: str, *, trusted: bool = True) -> MailboxSettings:
        return MailboxSettings(
            host="127.0.0.1",
            port=self.imaps_port if tls == "implicit" else self.dovecot.imap_port,
            user=ALICE,
            password=PASSWORD,
            tls=tls,  # type: ignore[arg-type]
            ca_file=self.certificate if trusted else None,
        )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsServer]:
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "server.pem", folder / "server.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    port = free_port()
    extra = (
        f"ssl = yes\nssl_cert = <{certificate}\nssl_key = <{key}\n"
        f"service imap-login {{\n  inet_listener imaps {{\n    port = {port}\n    ssl = yes\n  }}\n}}\n"
    )
    with Dovecot([ALICE], extra=extra) as dovecot:
        yield TlsServer(dovecot, certificate, port)


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_tls_works_and_idle_wakes_up(server: TlsServer, tls: str) -> None:
    mailbox = ImapMailbox(server.settings(tls))
    mailbox.with_header(Folder.INBOX, "Subject", "x")
    thread = threading.Thread(target=mailbox.wait, args=(60, lambda: False))
    thread.start()
    server.dovecot.deliver(ALICE, b"Subject: x\r\n\r\nhello\r\n")
    thread.join(20)
    assert not thread.is_alive()
    assert mailbox.with_header(Folder.INBOX, "Subject", "x")
    mailbox.close()


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_an_unknown_certificate_is_refused(server: TlsServer, tls: str) -> None:
    with pytest.raises(MailboxError, match="CERTIFICATE_VERIFY_FAILED"):
        ImapMailbox(server.settings(tls, trusted=False))


def test_starttls_is_never_skipped() -> None:
    """A server, or somebody in between, that does not offer TLS gets no password."""
    with Dovecot([ALICE]) as plain, pytest.raises(MailboxError, match="TLS"):
        ImapMailbox(
            MailboxSettings(host="127.0.0.1", port=plain.imap_port, user=ALICE, password=PASSWORD, tls="starttls")
        )
