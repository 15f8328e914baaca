"""Selection and validation of recipients: cached, among 100,000 certificates, and cold.

In the process, over a real SQLite store, generation checked each time, revocation judged (hard-fail, from a CRL in the
store), as a message would have it. Filler certificates are rows only: they are stored and indexed, and never asked for.
"""

import asyncio
import datetime
import secrets
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ime_gateway.app.assemble import build_planner
from ime_gateway.app.installation import Installation
from ime_gateway.app.system_clock import SystemClock
from ime_gateway.certs.certificate import Certificate
from ime_gateway.certs.crl import Crl, crl_finding
from ime_gateway.certs.revocation import Finding, Link, RevocationMode
from ime_gateway.certs.trust import Anchors
from ime_gateway.keys.usable import judge
from ime_gateway.mail.address import parse_path
from ime_gateway.pipeline.prepared import Prepared
from ime_gateway.ports.reception import SessionInfo, Submission, SubmittedRecipient
from ime_gateway.ports.revocation import StoredAnswer
from ime_gateway.settings.model import Settings
from ime_gateway.settings.site import ManagedDomain, PartnerDomain, Policy
from ime_gateway.store.database import Store, open_store

PEOPLE = 20
FILLER = 100_000
ROUNDS = 1000
CRL_URL = "http://crl.example/issuing.crl"
CACHED_LIMIT, COLD_LIMIT, CHANGE_LIMIT = 50e-6, 5e-3, 0.20
_NOW = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
_DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Pki:
    """A root, a CA below it, people of partner.example, and the CRL of each CA."""

    root: x509.Certificate
    issuing: x509.Certificate
    people: list[x509.Certificate]
    lists: dict[str, bytes]


def run() -> list[dict[str, object]]:
    """The rows of the table."""
    pki = make_pki()
    with tempfile.TemporaryDirectory() as folder:
        few = asyncio.run(_measure(Path(folder) / "few", pki, 0))
        many = asyncio.run(_measure(Path(folder) / "many", pki, FILLER))
    change = many.cached / few.cached - 1
    cold = _cold(pki)
    return [
        _row("cached recipient", few.cached, CACHED_LIMIT),
        _row("the only cached recipient of a message", few.single, CACHED_LIMIT),
        _row(f"the same among {FILLER:,} certificates", many.cached, CACHED_LIMIT),
        {"what": "change", "time": f"{change:+.0%}", "asked": f"< {CHANGE_LIMIT:.0%}", "held": change < CHANGE_LIMIT},
        _row("recipient whose certificate is not in memory", many.fetched, COLD_LIMIT),
        _row("path of two links, both CRLs asked, nothing kept", cold, COLD_LIMIT),
    ]


@dataclass(frozen=True)
class Times:
    """Seconds for one recipient."""

    cached: float
    """In a message to many."""
    single: float
    """In a message to one: what is asked once for a message counts in full."""
    fetched: float


async def _measure(folder: Path, pki: Pki, filler: int) -> Times:
    with _installation(folder, pki, filler) as installation:
        store = installation.store
        now = time.time()
        for url, der in pki.lists.items():
            ends = Crl.read(der).next_update
            await store.revocations.keep(StoredAnswer("crl", url, der, now, ends, now, "", now))
        planner = build_planner(installation, store.containers)

        async def prepared(people: range) -> Prepared:
            """What a message is before anything is asked about its recipients."""
            submission = _submission([f"p{number}@partner.example" for number in people])
            view = await store.directory.view()
            made = await planner._prepared(submission, installation.settings.listener[0], view)
            assert isinstance(made, Prepared)
            return made

        async def once(message: Prepared, moment: float) -> float:
            began = time.perf_counter()
            facts, _ = await planner.facts.gather(message, await store.directory.view(), moment)
            took = time.perf_counter() - began
            assert all(one.personal[0].usable for one in facts.recipients)
            return took / len(facts.recipients)

        alone, together = await prepared(range(1)), await prepared(range(1, PEOPLE))
        await once(alone, now)  # brings the lists into memory, which all share
        fetched = await once(together, now)
        cached = _quiet([await once(together, now + 1) for _ in range(ROUNDS)])
        single = _quiet([await once(alone, now + 1) for _ in range(ROUNDS)])
        return Times(cached, single, fetched)


def _quiet(times: list[float]) -> float:
    """The first decile: what it costs when nobody else wants the machine at that moment."""
    return statistics.quantiles(times, n=10)[0]


def _cold(pki: Pki) -> float:
    """Reading a certificate and judging it with everything that a path needs, the lists indexed before."""
    lists = [Crl.read(der) for der in pki.lists.values()]

    class Book:
        mode: RevocationMode = "hard-fail"

        def finding(self, link: Link, moment: float) -> Finding:
            return crl_finding(link, lists, moment, 0.0)

    moment = time.time()
    took = []
    for one in pki.people * 10:
        der = one.public_bytes(Encoding.DER)
        issuing, root = (Certificate.from_der(ca.public_bytes(Encoding.DER)) for ca in (pki.issuing, pki.root))
        anchors = Anchors([root], [issuing], {}, Book())
        began = time.perf_counter()
        verdict = judge(Certificate.from_der(der), anchors, moment, "personal")
        took.append(time.perf_counter() - began)
        assert verdict.usable, verdict.detail
    return _quiet(took)


def _row(what: str, seconds: float, limit: float) -> dict[str, object]:
    def unit(value: float) -> str:
        return f"{value * 1e6:.0f} µs" if limit < 1e-3 else f"{value * 1e3:.2f} ms"

    return {"what": what, "time": unit(seconds), "asked": f"<= {unit(limit)}", "held": seconds <= limit}


def make_pki() -> Pki:
    """Keys are made once and shared: only the shape counts here."""
    keys = [rsa.generate_private_key(65537, 2048) for _ in range(3)]
    root = _certificate("Bench Root", keys[0], None, keys[0], ca=True, crl="")
    issuing = _certificate("Bench Issuing", keys[1], root, keys[0], ca=True, crl=f"{CRL_URL}.root")
    people = [
        _certificate(f"p{number}@partner.example", keys[2], issuing, keys[1], ca=False, crl=CRL_URL)
        for number in range(PEOPLE)
    ]
    return Pki(root, issuing, people, {CRL_URL: _crl(issuing, keys[1]), f"{CRL_URL}.root": _crl(root, keys[0])})


def _certificate(
    name: str,
    key: rsa.RSAPrivateKey,
    issuer: x509.Certificate | None,
    issuer_key: rsa.RSAPrivateKey,
    *,
    ca: bool,
    crl: str,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_NOW - _DAY)
        .not_valid_after(_NOW + 365 * _DAY)
        .add_extension(x509.BasicConstraints(ca, None), True)
        .add_extension(x509.KeyUsage(not ca, False, not ca, False, False, ca, ca, False, False), True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), False)
    )
    if crl:
        point = x509.DistributionPoint([x509.UniformResourceIdentifier(crl)], None, None, None)
        builder = builder.add_extension(x509.CRLDistributionPoints([point]), False)
    if not ca:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.RFC822Name(name)]), False)
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False)
    return builder.sign(issuer_key, hashes.SHA256())


def _crl(ca: x509.Certificate, key: rsa.RSAPrivateKey, entries: int = 1000) -> bytes:
    builder = x509.CertificateRevocationListBuilder().issuer_name(ca.subject)
    builder = builder.last_update(_NOW - _DAY).next_update(_NOW + 7 * _DAY)
    for number in range(entries):
        entry = x509.RevokedCertificateBuilder().serial_number(number + 1).revocation_date(_NOW - _DAY)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


@contextmanager
def _installation(folder: Path, pki: Pki, filler: int) -> Iterator[Installation]:
    folder.mkdir()
    settings = Settings.model_validate(
        {
            "store": {"url": f"sqlite:///{folder}/gateway.db"},
            "smtp": {"hostname": "gw.acme.example"},
            "listener": [{"name": "internal", "role": "internal", "port": 0, "allow": ["127.0.0.0/8"]}],
        }
    )
    key = secrets.token_bytes(32)
    store = open_store(settings.store.url, key, folder, SystemClock(), secrets.token_bytes)
    store.migrate()
    try:
        with store.registry.transaction(write=True) as live:
            live.put_policy(Policy(revocation="hard-fail"))
            live.put_managed_domain(ManagedDomain(name="acme.example", deliver_to="smtp://127.0.0.1:9"), ())
            live.put_partner_domain(PartnerDomain(name="partner.example", encryption="mandatory"), ())
            live.put_root(Certificate.from_der(pki.root.public_bytes(Encoding.DER)))
            live.put_certificate(Certificate.from_der(pki.issuing.public_bytes(Encoding.DER)), (), None)
            for number, one in enumerate(pki.people):
                found = Certificate.from_der(one.public_bytes(Encoding.DER))
                live.put_certificate(found, (f"p{number}@partner.example",), None)
        _fill(store, pki.people[0].public_bytes(Encoding.DER), filler)
        yield Installation(folder / "gateway.toml", settings, key, store)
    finally:
        store.close()


def _fill(store: Store, der: bytes, count: int) -> None:
    rows = [(f"sha256:{number:064x}", f"CN=f{number}", der, f"f{number}@partner.example") for number in range(count)]
    with store._connections.write_group() as transaction:
        transaction.insert(
            "INSERT INTO certificates (thumbprint, subject, is_ca, der, imported_at) VALUES [(?, ?, FALSE, ?, 0)]",
            [row[:3] for row in rows],
        )
        transaction.insert(
            "INSERT INTO certificate_addresses (address, thumbprint) VALUES [(?, ?)]",
            [(row[3], row[0]) for row in rows],
        )


def _submission(recipients: list[str]) -> Submission:
    people = [parse_path(one) for one in recipients]
    text = f"From: anna@acme.example\r\nTo: {', '.join(recipients)}\r\nSubject: x\r\n\r\nx\r\n"
    return Submission(
        session=SessionInfo("internal", "internal", "127.0.0.1", "exchange"),
        sender=parse_path("anna@acme.example"),
        recipients=tuple(SubmittedRecipient(one, "", "") for one in people),
        data=bytearray(text.encode()),
        received_at=time.time(),
    )


if __name__ == "__main__":
    for line in run():
        print(line)
