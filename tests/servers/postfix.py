"""A private Postfix for tests: it plays the Exchange in the middle.

    with Postfix(local_domains=["acme.example"], lmtp_port=dovecot.lmtp_port,
                 routes={"imepseudodomain.local": gateway_port}) as postfix:
        ... submit to 127.0.0.1:postfix.port ...
        postfix.wait_until_empty()

It takes mail from 127.0.0.1 without questions, delivers `local_domains` by LMTP, hands the domains of
`routes` to another server on 127.0.0.1, and reports everything else as undeliverable (no DNS is ever
asked). Configuration, queue and data lie in a folder of its own under /tmp, whose processes must reach
it as user postfix; /etc/postfix and a system instance are never touched. Deferred mail is tried again
every second. Needs root and the Debian package postfix (3.7 or later).
"""

import contextlib
import json
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from tests.servers.listening import free_port

_MAIN = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
daemon_directory = /usr/lib/postfix/sbin
command_directory = /usr/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file = {folder}/maillog
maillog_file_prefixes = {folder}
syslog_name = {name}
myhostname = exchange.acme.example
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_recipient_restrictions =
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_peername_lookup = no
smtpd_tls_security_level = none
smtp_tls_security_level = none
smtp_host_lookup = native
smtp_dns_support_level = disabled
disable_dns_lookups = yes
alias_maps =
alias_database =
local_recipient_maps =
virtual_mailbox_domains = {local_domains}
virtual_mailbox_maps =
virtual_transport = lmtp:inet:127.0.0.1:{lmtp_port}
transport_maps = texthash:{folder}/config/transport
default_transport = error:5.4.4 this test has no route to there
relay_transport = error:5.4.4 this test has no route to there
append_dot_mydomain = no
biff = no
message_size_limit = 209715200
mailbox_size_limit = 0
minimal_backoff_time = 1s
maximal_backoff_time = 1s
queue_run_delay = 1s
transport_retry_time = 1s
smtp_connect_timeout = 5s
default_destination_concurrency_failed_cohort_limit = 0
lmtp_destination_recipient_limit = 1
{extra}
"""

_MASTER = """
{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
lmtp unix - - n - - lmtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
showq unix n - n - - showq
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
tlsmgr unix - - n 1000? 1 tlsmgr
postlog unix-dgram n - n - 1 postlogd
"""

_FLUSH_SECONDS = 5.0
"""A mail that is still locked by its last attempt ("skipped, still being delivered") is put off for minutes, on a slow
machine only; a flush ends that."""


class Postfix:
    """One Postfix on a free port of 127.0.0.1.

    `routes` maps a domain to a port of 127.0.0.1, or to a whole transport such as `discard:`; `extra`
    is added to main.cf.
    """

    def __init__(
        self,
        *,
        local_domains: Sequence[str],
        lmtp_port: int,
        routes: Mapping[str, int | str],
        extra: str = "",
    ) -> None:
        self.port = free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="postfix-", dir="/tmp"))
        self._settings = {
            "folder": self._folder,
            "name": self._folder.name,
            "local_domains": ", ".join(local_domains),
            "lmtp_port": lmtp_port,
            "extra": extra,
        }
        self._routes = dict(routes)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def configuration(self) -> Path:
        """The folder for `postfix -c`, `postqueue -c` and their like."""
        return self._folder / "config"

    @property
    def folder(self) -> Path:
        """Everything that it writes: queue, log, data."""
        return self._folder

    def start(self) -> None:
        """Start and return when SMTP answers."""
        self._folder.chmod(0o755)
        for name in ("config", "queue", "data"):
            (self._folder / name).mkdir(exist_ok=True)
        shutil.chown(self._folder / "data", "postfix")
        (self.configuration / "main.cf").write_text(_MAIN.format(**self._settings))
        (self.configuration / "master.cf").write_text(_MASTER.format(port=self.port))
        transports = [f"{domain} {_transport(target)}\n" for domain, target in self._routes.items()]
        (self.configuration / "transport").write_text("".join(transports))
        _run("postfix", "-c", str(self.configuration), "check")
        # In the foreground: its process is ours, so it is stopped by its own process id.
        self._process = subprocess.Popen(
            ["/usr/lib/postfix/sbin/master", "-d", "-c", str(self.configuration)],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._wait_for_greeting()

    def stop(self) -> None:
        """Stop, wait for the end and remove everything."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=20)
            self._process = None
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> "Postfix":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def queue(self) -> list[dict[str, object]]:
        """The mails that are not delivered yet, as `postqueue -j` describes them."""
        answer = _run("postqueue", "-c", str(self.configuration), "-j")
        return [json.loads(line) for line in answer.splitlines()]

    def flush(self) -> None:
        """Try all deferred mail now."""
        _run("postqueue", "-c", str(self.configuration), "-f")

    def wait_until_empty(self, seconds: float = 60.0) -> None:
        """Return when every mail is delivered or reported; fails with what is left and the log's end."""
        deadline = time.monotonic() + seconds
        flush_at = time.monotonic() + _FLUSH_SECONDS
        while left := self.queue():
            if time.monotonic() > deadline:
                raise AssertionError(f"postfix still holds {len(left)} mails: {left[:3]}\n{self.log()[-4000:]}")
            if time.monotonic() > flush_at:
                self.flush()
                flush_at = time.monotonic() + _FLUSH_SECONDS
            time.sleep(0.1)

    def log(self) -> str:
        """What Postfix has logged so far."""
        path = self._folder / "maillog"
        return path.read_text(errors="replace") if path.exists() else ""

    def accepted_by(self, port: int) -> list[str]:
        """The recipients for whom the server on that port answered 250, one entry for each acceptance."""
        sent = rf"to=<([^>]*)>.*relay=127\.0\.0\.1\[127\.0\.0\.1\]:{port},.*status=sent \(250 "
        return re.findall(sent, self.log())

    def _wait_for_greeting(self) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            assert self._process is not None
            assert self._process.poll() is None, f"postfix ended: {self.log()}"
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=5) as probe:
                if probe.recv(100).startswith(b"220"):
                    probe.sendall(b"QUIT\r\n")
                    return
            time.sleep(0.02)
        raise AssertionError(f"postfix does not answer: {self.log()}")


def _transport(target: int | str) -> str:
    return f"smtp:[127.0.0.1]:{target}" if isinstance(target, int) else target


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout
