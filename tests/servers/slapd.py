"""A private OpenLDAP server for tests, with the names of RFC 4519 or with those of Active Directory and Exchange.

    with Slapd(ad=False, entries=[(f"cn=Bob,{SUFFIX}", {"objectClass": [...], "mail": ["bob@acme.example"]})]) as slapd:
        ... ask ldap://127.0.0.1:slapd.port, with StartTLS, or ldaps://127.0.0.1:slapd.tls_port as READER ...

The suffix and the reader are there already. No password is taken in clear, as by Active Directory; anonymous users see
everything where `anonymous` is given. Needs the Debian package slapd.
"""

import base64
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from tests.servers.listening import free_port, wait_until_listening

SUFFIX = "dc=acme,dc=example"
READER = f"cn=reader,{SUFFIX}"
PASSWORD = "Passw0rd.Read3r"
Entry = tuple[str, Mapping[str, Sequence[str | bytes]]]

_CONF = """
{includes}
pidfile {folder}/slapd.pid
argsfile {folder}/slapd.args
modulepath /usr/lib/ldap
moduleload back_mdb
TLSCACertificateFile {folder}/tls.pem
TLSCertificateFile {folder}/tls.pem
TLSCertificateKeyFile {folder}/tls.key
security simple_bind=64
sizelimit 1000
database mdb
maxsize 104857600
suffix "{suffix}"
directory {folder}/db
dbnosync
index objectClass eq
access to attrs=userPassword by anonymous auth by * none
access to * by users read by anonymous {anonymous}
"""

_AD_SCHEMA = """
attributetype ( 2.5.4.4 NAME 'sn' SUP name )
attributetype ( 0.9.2342.19200300.100.1.25 NAME 'dc' EQUALITY caseIgnoreIA5Match
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.26 SINGLE-VALUE )
attributetype ( 0.9.2342.19200300.100.1.3 NAME 'mail' EQUALITY caseIgnoreMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.15{256} SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.2.210 NAME 'proxyAddresses' EQUALITY caseIgnoreMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.15{1123} )
attributetype ( 1.2.840.113556.1.2.352 NAME 'targetAddress' EQUALITY caseIgnoreMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.15{1123} SINGLE-VALUE )
attributetype ( 2.5.4.36 NAME 'userCertificate' EQUALITY octetStringMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.40 )
attributetype ( 2.16.840.1.113730.3.140 NAME 'userSMIMECertificate' EQUALITY octetStringMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.40 )
attributetype ( 2.5.4.31 NAME 'member' SUP distinguishedName )
objectclass ( 1.2.840.113556.1.5.67 NAME 'domainDNS' SUP top STRUCTURAL MUST dc )
objectclass ( 1.2.840.113556.1.5.9 NAME 'user' SUP top STRUCTURAL MUST cn
  MAY ( sn $ mail $ proxyAddresses $ targetAddress $ userCertificate $ userSMIMECertificate $ userPassword ) )
objectclass ( 1.2.840.113556.1.5.15 NAME 'contact' SUP top STRUCTURAL MUST cn
  MAY ( sn $ mail $ proxyAddresses $ targetAddress $ userCertificate $ userSMIMECertificate ) )
objectclass ( 1.2.840.113556.1.5.8 NAME 'group' SUP top STRUCTURAL MUST cn MAY ( mail $ proxyAddresses $ member ) )
objectclass ( 1.2.840.113556.1.5.7000.62.50 NAME 'msExchDynamicDistributionList' SUP top STRUCTURAL MUST cn
  MAY ( mail $ proxyAddresses ) )
"""


class Slapd:
    """One slapd on free ports of 127.0.0.1; its certificate, which is its own CA, is `ca_file`."""

    def __init__(self, *, ad: bool, entries: Sequence[Entry], anonymous: bool = False) -> None:
        self.port, self.tls_port = free_port(), free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="slapd-", dir="/tmp"))
        self.ca_file = self.folder / "tls.pem"
        self._ad = ad
        self._entries = entries
        self._anonymous = anonymous
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Fill it, start it, and return when it answers."""
        (self.folder / "db").mkdir(exist_ok=True)
        _run(
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-days", "30", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
            *("-keyout", str(self.folder / "tls.key"), "-out", str(self.ca_file)),
        )
        (self.folder / "ad.schema").write_text(_AD_SCHEMA)
        names = (
            ["{folder}/ad.schema"]
            if self._ad
            else [f"/etc/ldap/schema/{n}.schema" for n in ("core", "cosine", "inetorgperson", "misc")]
        )
        includes = "\n".join(f"include {name}".format(folder=self.folder) for name in names)
        anonymous = "read" if self._anonymous else "auth"
        conf = _CONF.format(includes=includes, folder=self.folder, suffix=SUFFIX, anonymous=anonymous)
        (self.folder / "slapd.conf").write_text(conf)
        (self.folder / "seed.ldif").write_text("\n".join(_ldif(*one) for one in (*self._own(), *self._entries)))
        _run("slapadd", "-q", "-f", str(self.folder / "slapd.conf"), "-l", str(self.folder / "seed.ldif"))
        self.resume()

    def resume(self) -> None:
        """Start the process, with what is stored already."""
        urls = f"ldap://127.0.0.1:{self.port} ldaps://127.0.0.1:{self.tls_port}"
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["slapd", "-f", str(self.folder / "slapd.conf"), "-h", urls, "-d", "stats"], stdout=log, stderr=log
            )
        wait_until_listening(self._process, "127.0.0.1", (self.port, self.tls_port), self.log)

    def stop(self) -> None:
        """End the process; what is stored stays until the context ends."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=20)
            self._process = None

    def __enter__(self) -> "Slapd":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def log(self) -> str:
        """What it has logged so far, operations included."""
        return (self.folder / "log").read_text(errors="replace")

    def _own(self) -> list[Entry]:
        top = ["domainDNS"] if self._ad else ["organization", "dcObject"]
        suffix = {"objectClass": top, "dc": ["acme"]} | ({} if self._ad else {"o": ["Acme"]})
        classes = ["user"] if self._ad else ["person"]
        return [
            (SUFFIX, suffix),
            (READER, {"objectClass": classes, "cn": ["reader"], "sn": ["reader"], "userPassword": [PASSWORD]}),
        ]


def _ldif(dn: str, attributes: Mapping[str, Sequence[str | bytes]]) -> str:
    lines = [f"dn:: {_b64(dn)}"]
    lines += [f"{name}:: {_b64(value)}" for name, values in attributes.items() for value in values]
    return "\n".join(lines) + "\n"


def _b64(value: str | bytes) -> str:
    return base64.b64encode(value.encode() if isinstance(value, str) else value).decode()


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words[0]}: {done.stderr}"
