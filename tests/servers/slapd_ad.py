"""A private slapd that plays Active Directory, with Exchange's schema or without, for the quick address list tests.

    with SlapdAd(exchange=True, contacts=1000) as ad:
        ... ad.url (ldaps://…) or ad.plain_url (StartTLS) with ad.ca_file, as WRITER, place PLACE, base SUFFIX ...
        read(ad, f"CN=_IME,{PLACE}")

Suffix, people and rights are those of ad_world.py. As in Active Directory: no password is taken in clear, at most
`sizelimit` entries come at once (page by page all of them), octet strings instead of RFC 4523's `;binary`. Not as
there: implied object classes, objectGUID, anr, "data 52e" in answers. `client.pem` logs in by SASL EXTERNAL as WRITER.
"""

import base64
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from tests.servers import ad_world as world
from tests.servers.ad_world import ADMIN, ADMIN_PASSWORD, PEOPLE, PLACE, SUFFIX, USERS, WRITER
from tests.servers.listening import free_port, wait_until_listening

Entry = tuple[str, Mapping[str, Sequence[str | bytes]]]
ENTRY_CLASSES = {
    "contact": ["top", "person", "organizationalPerson", "contact"],
    "user": ["top", "person", "organizationalPerson", "user"],
    "group": ["top", "group"],
}
"""What slapd must be told of an entry; Active Directory implies all but the last."""

_HERE = Path(__file__).parent
_MAIL = "mail $ displayName $ displayNamePrintable $ proxyAddresses $ legacyExchangeDN $ textEncodedORAddress $ info"
_MAIL += " $ showInAddressBook $ userCertificate $ userSMIMECertificate $ objectGUID $ description"
_EXCHANGE = "mailNickname $ targetAddress $ extensionAttribute1 $ msExchHideFromAddressLists $ mAPIRecipient"
_EXCHANGE += " $ msExchRecipientDisplayType $ msExchRecipientTypeDetails $ internetEncoding"
_CLASSES = """
objectclass ( 1.2.840.113556.1.5.67 NAME 'domainDNS' SUP top STRUCTURAL MUST dc )
objectclass ( 2.5.6.5 NAME 'organizationalUnit' SUP top STRUCTURAL MUST ou MAY description )
objectclass ( 1.2.840.113556.1.3.23 NAME 'container' SUP top STRUCTURAL MUST cn MAY description )
objectclass ( 2.5.6.6 NAME 'person' SUP top ABSTRACT MUST cn MAY ( sn $ userPassword ) )
objectclass ( 2.5.6.7 NAME 'organizationalPerson' SUP person ABSTRACT MAY ( givenName $ o $ ou $ {mail} ) )
objectclass ( 1.2.840.113556.1.5.15 NAME 'contact' SUP organizationalPerson STRUCTURAL )
objectclass ( 1.2.840.113556.1.5.9 NAME 'user' SUP organizationalPerson STRUCTURAL
  MAY ( sAMAccountName $ userPrincipalName $ primaryGroupID ) )
objectclass ( 1.2.840.113556.1.5.8 NAME 'group' SUP top STRUCTURAL MUST cn
  MAY ( sAMAccountName $ member $ groupType $ {mail} ) )
objectclass ( 1.2.840.113556.1.5.7000.62.50 NAME 'msExchDynamicDistributionList' SUP top STRUCTURAL MUST cn
  MAY ( {mail} ) )
"""
_CONF = """
include {folder}/ad.schema
pidfile {folder}/slapd.pid
argsfile {folder}/slapd.args
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload sssvlv
index_substr_if_minlen 1
{referral}
TLSCACertificateFile {folder}/ca.pem
TLSCertificateFile {folder}/server.pem
TLSCertificateKeyFile {folder}/server.key
TLSVerifyClient try
authz-regexp "^cn=imesvc$" "{writer}"
security simple_bind=64
database mdb
maxsize 2147483648
suffix "{suffix}"
rootdn "{admin}"
rootpw {admin_password}
directory {folder}/db
{copy}
dbnosync
limits * size.soft={sizelimit} size.hard={sizelimit} size.pr={sizelimit} size.prtotal=unlimited
index objectClass,mail,proxyAddresses,sAMAccountName{exchange_indexes} eq
index displayName eq,subinitial
access to attrs=userPassword by anonymous auth by * none
access to dn.subtree="{place}" by dn.exact="{writer}" write by users read by anonymous auth
access to * by users read by anonymous auth
overlay sssvlv
"""
_COPY = """
syncrepl rid=1 provider={original} type=refreshOnly searchbase="{suffix}" bindmethod=simple retry="3600 +"
updateref {original}
"""


class SlapdAd:
    """One slapd on free ports of 127.0.0.1.

    `contacts` are put there besides (Person 000000 …, a mail contact each, in PEOPLE); `referral` is the LDAP URL
    where it sends everybody who asks for something outside SUFFIX, `copy_of` that of the server where it sends whoever
    wants to change something: it is a read-only copy then, as a read-only domain controller is.
    """

    def __init__(
        self,
        *,
        exchange: bool = True,
        entries: Sequence[Entry] = (),
        contacts: int = 0,
        sizelimit: int = 1000,
        referral: str = "",
        copy_of: str = "",
    ) -> None:
        self.exchange = exchange
        self.host = "127.0.0.1"
        self.port, self.tls_port = free_port(), free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="slapd-ad-", dir="/tmp"))
        self.ca_file, self.other_ca_file = self.folder / "ca.pem", self.folder / "other-ca.pem"
        self.client_certificate = self.folder / "client.pem"
        self._entries, self._contacts = entries, contacts
        self._sizelimit, self._referral, self._copy_of = sizelimit, referral, copy_of
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """With TLS from the first byte."""
        return f"ldaps://{self.host}:{self.tls_port}"

    @property
    def plain_url(self) -> str:
        """For StartTLS, and for refusals."""
        return f"ldap://{self.host}:{self.port}"

    def start(self) -> None:
        """Fill it, start it, and return when it answers."""
        (self.folder / "db").mkdir(exist_ok=True)
        world.write_tls(self.folder, ["localhost", self.host])
        exchange = (_HERE / "ad-exchange.schema").read_text() if self.exchange else ""
        mail = f"{_MAIL} $ {_EXCHANGE}" if self.exchange else _MAIL
        schema = (_HERE / "ad-min.schema").read_text() + exchange + _CLASSES.format(mail=mail)
        (self.folder / "ad.schema").write_text(schema)
        (self.folder / "slapd.conf").write_text(
            _CONF.format(
                folder=self.folder,
                suffix=SUFFIX,
                admin=ADMIN,
                admin_password=ADMIN_PASSWORD,
                writer=WRITER,
                place=PLACE,
                sizelimit=self._sizelimit,
                referral=f"referral {self._referral}" if self._referral else "",
                copy=_COPY.format(original=self._copy_of, suffix=SUFFIX) if self._copy_of else "",
                exchange_indexes=",mailNickname" if self.exchange else "",
            )
        )
        with (self.folder / "seed.ldif").open("w") as seed:
            for one in (*_own_entries(), *self._entries):
                seed.write(_ldif(*one))
            for one in _many_contacts(self._contacts, exchange=self.exchange):
                seed.write(_ldif(*one))
        words = ["slapadd", "-q", "-f", str(self.folder / "slapd.conf"), "-l", str(self.folder / "seed.ldif")]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        self.resume()

    def resume(self) -> None:
        """Start the process, with what is stored already."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["slapd", "-f", str(self.folder / "slapd.conf"), "-h", f"{self.plain_url} {self.url}", "-d", "stats"],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_until_listening(self._process, self.host, (self.port, self.tls_port), self.log)

    def stop(self) -> None:
        """End the process; what is stored stays until the context ends."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it in the middle of whatever it does."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """It still listens and takes connections, and answers nothing; `thaw` wakes it up."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED)  # all its threads

    def thaw(self) -> None:
        """Go on after `freeze`."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self.thaw()
            self._process.send_signal(how)
            self._process.wait(timeout=20)
            self._process = None

    def __enter__(self) -> "SlapdAd":
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
        """What it has logged so far, operations included."""
        return (self.folder / "log").read_text(errors="replace")


def contact(name: str, address: str, place: str = PEOPLE, **more: Sequence[str | bytes]) -> Entry:
    """A mail contact, for `entries`; `name` must need no escaping in a DN."""
    attributes = {"cn": [name], "displayName": [name], "mail": [address], "proxyAddresses": [f"SMTP:{address}"]}
    return f"CN={name},{place}", {"objectClass": ENTRY_CLASSES["contact"], **attributes, **more}


def user(name: str, address: str, place: str = PEOPLE, **more: Sequence[str | bytes]) -> Entry:
    """A user with a mailbox, for `entries`; `name` must need no escaping in a DN."""
    dn, attributes = contact(name, address, place)
    own = {"objectClass": ENTRY_CLASSES["user"], "sAMAccountName": [name.replace(" ", ".").lower()]}
    return dn, {**attributes, **own, **more}


def group(name: str, address: str, members: Sequence[str], place: str = PEOPLE, **more: Sequence[str | bytes]) -> Entry:
    """A distribution group with the DNs of its members, for `entries`; `address` may be empty."""
    dn, attributes = contact(name, address, place)
    kept = attributes if address else {"cn": [name], "displayName": [name]}
    own: dict[str, Sequence[str | bytes]] = {"objectClass": ENTRY_CLASSES["group"], "groupType": ["8"]}
    return dn, {**kept, **own, **({"member": members} if members else {}), **more}


def _own_entries() -> list[Entry]:
    def account(dn: str, name: str, password: str) -> Entry:
        return dn, {
            "objectClass": ENTRY_CLASSES["user"],
            "cn": [name],
            "sAMAccountName": [name],
            "userPrincipalName": [f"{name}@ad.ime.test"],
            "userPassword": [password],
        }

    return [
        (SUFFIX, {"objectClass": ["top", "domainDNS"], "dc": ["ad"]}),
        (USERS, {"objectClass": ["top", "container"], "cn": ["Users"]}),
        (PLACE, {"objectClass": ["top", "organizationalUnit"], "ou": ["IME"]}),
        (PEOPLE, {"objectClass": ["top", "organizationalUnit"], "ou": ["People"]}),
        account(world.READER, "reader", world.READER_PASSWORD),
        account(WRITER, "imesvc", world.WRITER_PASSWORD),
    ]


def _many_contacts(count: int, *, exchange: bool) -> Iterator[Entry]:
    for number in range(count):
        nickname = {"mailNickname": [f"person{number:06}"]} if exchange else {}
        yield contact(f"Person {number:06}", f"person{number:06}@acme.example", **nickname)


def _ldif(dn: str, attributes: Mapping[str, Sequence[str | bytes]]) -> str:
    lines = [f"dn:: {_b64(dn)}"]
    lines += [f"{name}:: {_b64(value)}" for name, values in attributes.items() for value in values]
    return "\n".join(lines) + "\n\n"


def _b64(value: str | bytes) -> str:
    return base64.b64encode(value.encode() if isinstance(value, str) else value).decode()
