"""A private Dovecot for tests: IMAP mailboxes, and LMTP to deliver into them.

    with Dovecot(["alice@acme.example", "bob@acme.example"]) as dovecot:
        dovecot.deliver("alice@acme.example", mail)
        with dovecot.imap("alice@acme.example") as client: ...

It listens on free ports of 127.0.0.1, keeps everything in a folder of its own under /tmp (UNIX socket
paths must stay short, and its processes must be able to reach it), touches no system instance and is
stopped by its process id. Needs root and the Debian packages dovecot-imapd and dovecot-lmtpd (2.3).
"""

import contextlib
import imaplib
import pwd
import shutil
import smtplib
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

from tests.servers.listening import free_port

PASSWORD = "secret"
"""Of every user."""

_MAIL_OWNER = "mail"
"""The system user of the mailboxes; every Debian has it (uid 8)."""

_CONFIGURATION = """
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
protocols = imap lmtp
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain login
default_internal_user = dovecot
default_login_user = dovenull
first_valid_uid = 1
first_valid_gid = 1
mail_location = maildir:~/Maildir
mail_fsync = never
mail_max_userip_connections = 100
passdb {{
  driver = passwd-file
  args = {folder}/users
}}
userdb {{
  driver = passwd-file
  args = {folder}/users
}}
namespace inbox {{
  inbox = yes
  separator = /
  mailbox "Sent Items" {{
    auto = subscribe
    special_use = \\Sent
  }}
  mailbox Drafts {{
    auto = subscribe
    special_use = \\Drafts
  }}
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {imap_port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {lmtp_port}
  }}
}}
protocol lmtp {{
  postmaster_address = postmaster@localhost
}}
{extra}
"""


class Dovecot:
    """One Dovecot with these mailboxes; `extra` ends its configuration, so it may overrule the rest."""

    def __init__(self, addresses: Sequence[str], *, extra: str = "") -> None:
        self.addresses = tuple(addresses)
        self.imap_port, self.lmtp_port = free_port(), free_port()
        self._extra = extra
        self._folder = Path(tempfile.mkdtemp(prefix="dovecot-", dir="/tmp"))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def folder(self) -> Path:
        """Everything that it writes: mailboxes, indexes, log."""
        return self._folder

    def start(self) -> None:
        """Start and return when IMAP and LMTP answer."""
        owner = pwd.getpwnam(_MAIL_OWNER)
        self._folder.chmod(0o755)
        for name in ("run", "state", "mail"):
            (self._folder / name).mkdir(exist_ok=True)
        shutil.chown(self._folder / "mail", _MAIL_OWNER)
        users = [
            f"{address}:{{PLAIN}}{PASSWORD}:{owner.pw_uid}:{owner.pw_gid}::{self._folder}/mail/{address}::\n"
            for address in self.addresses
        ]
        (self._folder / "users").write_text("".join(users))
        configuration = self._folder / "dovecot.conf"
        configuration.write_text(
            _CONFIGURATION.format(
                folder=self._folder, imap_port=self.imap_port, lmtp_port=self.lmtp_port, extra=self._extra
            )
        )
        self._process = subprocess.Popen(["/usr/sbin/dovecot", "-F", "-c", str(configuration)])
        for port, greeting in ((self.imap_port, b"* OK"), (self.lmtp_port, b"220")):
            self._wait_for(port, greeting)

    def stop(self) -> None:
        """Stop, wait for the end and remove everything."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=20)
            self._process = None
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> "Dovecot":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def deliver(self, address: str, mail: bytes, *, sender: str = "") -> None:
        """Put a mail into the Inbox, by LMTP (one recipient: smtplib reads one reply only)."""
        with smtplib.LMTP("127.0.0.1", self.lmtp_port) as lmtp:
            lmtp.sendmail(sender, [address], mail)

    @contextlib.contextmanager
    def imap(self, address: str) -> Iterator[imaplib.IMAP4]:
        """A logged-in IMAP connection."""
        client = imaplib.IMAP4("127.0.0.1", self.imap_port, timeout=20)
        try:
            client.login(address, PASSWORD)
            yield client
        finally:
            with contextlib.suppress(OSError, imaplib.IMAP4.error):
                client.logout()

    def empty(self, address: str) -> None:
        """Remove every mail of every folder."""
        with self.imap(address) as client:
            for folder in ("INBOX", '"Sent Items"', "Drafts"):
                client.select(folder)
                client.uid("STORE", "1:*", "+FLAGS", r"(\Deleted)")
                client.expunge()

    def mails(self, address: str, folder: str = "INBOX") -> list[bytes]:
        """Every mail of that folder as it is stored, oldest first."""
        with self.imap(address) as client:
            status, _ = client.select(f'"{folder}"', readonly=True)
            assert status == "OK", f"{address} has no folder {folder}"
            _, answer = client.uid("FETCH", "1:*", "(UID BODY.PEEK[])")
            return [element[1] for element in answer if isinstance(element, tuple)]

    def keywords(self, address: str, folder: str) -> list[frozenset[str]]:
        """The flags and keywords of each mail of that folder, oldest first."""
        with self.imap(address) as client:
            client.select(f'"{folder}"', readonly=True)
            _, answer = client.uid("FETCH", "1:*", "(UID FLAGS)")
            return [
                frozenset(flag.decode() for flag in imaplib.ParseFlags(line)) for line in answer if line is not None
            ]

    def log(self) -> str:
        """What Dovecot has logged so far."""
        return (self._folder / "log").read_text(errors="replace")

    def _wait_for(self, port: int, greeting: bytes) -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            assert self._process is not None
            assert self._process.poll() is None, f"dovecot ended: {self.log()}"
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as probe:
                if probe.recv(100).startswith(greeting):
                    return
            time.sleep(0.02)
        raise AssertionError(f"dovecot does not answer on port {port}: {self.log()}")
