"""A private Active Directory for tests: Samba as domain controller, with Exchange's schema or without.

    with SambaAd(exchange=True) as ad:
        ... ad.url (ldaps://…) or ad.plain_url (StartTLS) with ad.ca_file, as WRITER, place PLACE, base SUFFIX ...

Names, people and rights are those of ad_world.py; WRITER is made by the very commands of docs/address-list.md.
A domain is founded once per process (8 seconds) and copied for each server (up in 1.5 seconds, 3 with Exchange's
schema). Its ports cannot be chosen, so each server has a loopback address of its own. Needs root and the Debian
packages samba, samba-ad-provision, samba-dsdb-modules, samba-vfs-modules and ldb-tools; no service of the system is
touched, nor anything below /etc/samba or /var/lib/samba.
"""

import atexit
import contextlib
import os
import random
import re
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from types import TracebackType

from tests.servers import ad_world as world
from tests.servers import exchange_schema
from tests.servers.ad_world import ADMIN_PASSWORD, SUFFIX
from tests.servers.listening import wait_until_listening

REALM = "AD.IME.TEST"
HOST_NAME = "dc1.ad.ime.test"
_PAGE = Path(__file__).parents[2] / "docs" / "address-list.md"


class SambaAd:
    """One domain controller on an address of its own in 127.77.0.0/16; only its LDAP runs."""

    port, tls_port = 389, 636

    def __init__(self, *, exchange: bool = True) -> None:
        self.exchange = exchange
        self.host = _free_address()
        self.folder = Path(tempfile.mkdtemp(prefix="samba-ad-", dir="/tmp"))
        self.ca_file, self.other_ca_file = self.folder / "ca.pem", self.folder / "other-ca.pem"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """With TLS from the first byte."""
        return f"ldaps://{self.host}"

    @property
    def plain_url(self) -> str:
        """For StartTLS, and for refusals."""
        return f"ldap://{self.host}"

    def start(self) -> None:
        """Copy the domain, start it, and return when it answers."""
        domain = self.folder / "domain"
        shutil.copytree(_founded(), domain, ignore=_sockets)
        conf = domain / "etc/smb.conf"
        conf.write_text(conf.read_text().replace(str(_founded()), str(domain)))
        if self.exchange:
            for step in (exchange_schema.attributes_ldif, exchange_schema.classes_ldif):
                (self.folder / "schema.ldif").write_text(step(SUFFIX))
                words = ["--option=dsdb:schema update allowed=true", f"--configfile={conf}"]
                _run("ldbmodify", "-H", f"{domain}/private/sam.ldb", *words, str(self.folder / "schema.ldif"))
        world.write_tls(self.folder, [HOST_NAME, "localhost", self.host])
        tls = domain / "private/tls"
        tls.mkdir(mode=0o700, exist_ok=True)
        tls.chmod(0o700)
        for source, name in (("ca.pem", "ca.pem"), ("server.pem", "cert.pem"), ("server.key", "key.pem")):
            shutil.copy(self.folder / source, tls / name)
        self.resume()

    def resume(self) -> None:
        """Start the process, with what is stored already."""
        run = self.folder / "run"
        run.mkdir(exist_ok=True)
        options = {
            "server services": "ldap",
            "interfaces": f"{self.host}/8",
            "bind interfaces only": "yes",
            "pid directory": run,
            "ncalrpc dir": run / "ncalrpc",
            "winbindd socket directory": run / "winbindd",
            "ntp signd socket directory": run / "ntp",
            "log file": self.folder / "samba.log",
        }
        words = ["/usr/sbin/samba", "-i", "-M", "single", "--no-process-group", "--debug-stdout", "-d1"]
        words += ["-s", str(self.folder / "domain/etc/smb.conf")]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*words, *(f"--option={name}={value}" for name, value in options.items())],
                stdin=subprocess.PIPE,  # it ends itself when it finds its input closed
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_until_listening(self._process, self.host, (self.port, self.tls_port), self.log, seconds=40)

    def stop(self) -> None:
        """End the process; what is stored stays until the context ends."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(timeout=20)
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process = None

    def __enter__(self) -> "SambaAd":
        try:
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def log(self) -> str:
        """What it has logged so far."""
        return (self.folder / "log").read_text(errors="replace")


@cache
def _founded() -> Path:
    """A domain with the people and rights of ad_world.py, to be copied; gone at the end of the process."""
    if given := os.environ.get("FOUNDED_DOMAIN"):
        return Path(given)  # by the test that started this process
    folder = Path(tempfile.mkdtemp(prefix="samba-domain-", dir="/tmp"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    _run(
        *("samba-tool", "domain", "provision", f"--targetdir={folder}", f"--realm={REALM}", "--domain=IMETEST"),
        *("--server-role=dc", "--dns-backend=NONE", f"--adminpass={ADMIN_PASSWORD}", "--host-ip=127.0.0.1"),
        *("--host-name=dc1", "--option=interfaces=lo 127.0.0.1", "--option=bind interfaces only=yes"),
        f"--option=log file={folder}/provision.log",
    )
    _tool(folder, "ou", "create", world.PEOPLE)
    _tool(folder, "user", "create", "reader", world.READER_PASSWORD)
    _delegate(folder)
    return folder


def _delegate(domain: Path) -> None:
    """What the page has typed at a domain controller; SID is what its third line prints, the password is asked for."""
    typed = re.findall(r"^dc\$ samba-tool (.+)$", _PAGE.read_text(), re.MULTILINE)
    assert len(typed) == 5, typed
    sid = "SID"
    for line in typed:
        words = shlex.split(line.replace("DC=acme,DC=example", SUFFIX).replace("SID)", f"{sid})"))
        shown = _tool(domain, *words, *([world.WRITER_PASSWORD] if words[:2] == ["user", "create"] else []))
        sid = next((one.split()[1] for one in shown.splitlines() if one.startswith("objectSid:")), sid)


def _tool(domain: Path, *words: str) -> str:
    database = f"{domain}/private/sam.ldb"
    return _run("samba-tool", *words, "-H", database, f"--configfile={domain}/etc/smb.conf")


def _run(*words: str) -> str:
    """Without the system's own configuration of Samba."""
    environment = {**os.environ, "SMB_CONF_PATH": "/dev/null"}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stdout}{done.stderr}"
    return done.stdout


def _sockets(folder: str, names: list[str]) -> set[str]:
    return {name for name in names if (Path(folder) / name).is_socket() or name == "ldap_priv"}


def _free_address() -> str:
    """A loopback address on which nobody has the LDAP ports."""
    for _ in range(100):
        host = f"127.77.{random.randrange(256)}.{random.randrange(1, 255)}"
        with socket.socket() as plain, socket.socket() as tls, contextlib.suppress(OSError):
            plain.bind((host, SambaAd.port))
            tls.bind((host, SambaAd.tls_port))
            return host
    raise AssertionError("no free address in 127.77.0.0/16 for a domain controller")
