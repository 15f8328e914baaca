"""Everything that can be wrong with a key, against every mode of encryption: what is refused, with which words, and
that what had to be protected never stands in clear anywhere.

One gateway process with its listeners, its spool and its log; a next hop that keeps what comes; a CRL server. Each cell
sends one mail with a word of its own. Required protection that cannot be had is a refusal that names the fault; only
where protection is an opportunity does the mail leave in clear, and then the tracking says why.
"""

import http.server
import itertools
import smtplib
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from tests.canary import assert_lacks, files_below
from tests.openssl import decrypt
from tests.pki import DAY, NOW, Entity, key_usage, make_ca, make_user
from tests.servers.gateway import Gateway, free_port

pytestmark = pytest.mark.xdist_group("matrix")

MODES = ("mandatory", "on-request", "opportunistic")
REASONS = {
    "no-key": "no-certificate",
    "expired": "certificate-expired",
    "revoked": "certificate-revoked",
    "crl-unreachable": "revocation-unknown",
    "ctl-denied": "certificate-denied",
    "ca-denied": "certificate-denied",
    "sign-only": "certificate-unfit",
    "weak": "certificate-weak",
    "untrusted": "certificate-untrusted",
}
"""What is wrong with the only certificate, and the word that every refusal must say."""
KINDS = ("domain", "personal")
ASKING = {"unmarked": (), "marked": ("x-smenc: yes",), "keyword": ("Subject: [Confidential] figures",)}
PLAINLY = ("x-smplain: yes",)


class Kept:
    """A next hop that keeps what it takes, by recipient."""

    def __init__(self) -> None:
        self.mails: list[tuple[str, bytes]] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        self.mails += ((recipient, bytes(envelope.content or b"")) for recipient in envelope.rcpt_tos)
        return "250 2.0.0 taken"


@dataclass
class World:
    gateway: Gateway
    kept: Kept
    good: Entity
    canaries: list[bytes] = field(default_factory=list)
    protected: list[bytes] = field(default_factory=list)
    """Words that must not even be on the wire."""
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def send(self, to: str, *lines: str, may_be_clear: bool = False) -> tuple[int, str]:
        """One mail with a word of its own; the reply to its end."""
        canary = f"canary-{next(self.numbers):04d}-magnolia"
        self.canaries.append(canary.encode())
        if not may_be_clear:
            self.protected.append(canary.encode())
        subject = () if any(line.startswith("Subject:") for line in lines) else ("Subject: figures",)
        head = ("From: anna@acme.example", f"To: {to}", *subject, *lines)
        mail = "\r\n".join((*head, "", f"the word is {canary}", "")).encode()
        with smtplib.SMTP("127.0.0.1", self.gateway.port, timeout=60) as client:
            try:
                client.sendmail("anna@acme.example", [to], mail)
            except smtplib.SMTPDataError as error:
                return error.smtp_code, bytes(error.smtp_error).decode()
            return 250, ""

    def explained(self, to: str, *lines: str) -> Any:
        file = self.gateway.folder / f"explain-{next(self.numbers)}.eml"
        file.write_bytes("\r\n".join(("From: anna@acme.example", f"To: {to}", *lines, "", "hello", "")).encode())
        words = ("explain", str(file), "--listener", "internal", "--from", "anna@acme.example", "--to", to)
        return self.gateway.json(*words)["recipients"][0]


def crl(ca: Entity, revoked: list[Entity]) -> bytes:
    builder = x509.CertificateRevocationListBuilder().issuer_name(ca.x509.subject)
    builder = builder.last_update(NOW - timedelta(hours=1)).next_update(NOW + 7 * DAY)
    builder = builder.add_extension(x509.CRLNumber(1), critical=False)
    for one in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(one.x509.serial_number).revocation_date(NOW - DAY)
        builder = builder.add_revoked_certificate(entry.build())
    assert not hasattr(ca.key, "exchange")
    return builder.sign(ca.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)  # type: ignore[arg-type]


def points(url: str) -> list[tuple[x509.ExtensionType, bool]]:
    """A CRL distribution point (RFC 5280 section 4.2.1.13)."""
    name = x509.UniformResourceIdentifier(url)
    return [(x509.CRLDistributionPoints([x509.DistributionPoint([name], None, None, None)]), False)]


@pytest.fixture(scope="module")
def next_hop() -> Iterator[tuple[Kept, int]]:
    handler, port = Kept(), free_port()
    controller = Controller(handler, hostname="127.0.0.1", port=port)
    controller.start()
    yield handler, port
    controller.stop()


@pytest.fixture(scope="module")
def crl_server() -> Iterator[tuple[dict[str, bytes], int]]:
    """What it serves, by path, and its port."""
    served: dict[str, bytes] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = served.get(self.path)
            self.send_response(404 if found is None else 200)
            self.send_header("Content-Length", str(len(found or b"")))
            self.end_headers()
            self.wfile.write(found or b"")

        def log_message(self, *_: object) -> None:
            """No words on standard error."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield served, server.server_port
        server.shutdown()
        thread.join()


def faulty(fault: str, address: str, roots: dict[str, Entity], port: int) -> Entity | None:
    """The certificate of that address with that fault."""
    extra = points(f"http://127.0.0.1:{port}/root.crl")
    match fault:
        case "no-key":
            return None
        case "expired":
            return make_user(address, roots["root"], expired=True, extra=extra)
        case "sign-only":
            return make_user(address, roots["root"], ku=key_usage(digital_signature=True), extra=extra)
        case "weak":
            return make_user(address, roots["root"], key_bits=1024, extra=extra)
        case "untrusted":
            return make_user(address, roots["stranger"], extra=extra)
        case "ca-denied":
            return make_user(address, roots["fallen"], extra=points(f"http://127.0.0.1:{port}/fallen.crl"))
        case "crl-unreachable":
            return make_user(address, roots["root"], extra=points(f"http://127.0.0.1:{free_port()}/gone.crl"))
        case _:
            return make_user(address, roots["root"], extra=extra)


@pytest.fixture(scope="module")
def world(
    tmp_path_factory: pytest.TempPathFactory, next_hop: tuple[Kept, int], crl_server: tuple[dict[str, bytes], int]
) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("matrix")
    served, port = crl_server
    roots = {name: make_ca(f"{name} CA") for name in ("root", "fallen", "stranger")}
    good = make_user("good@good.example", roots["root"], extra=points(f"http://127.0.0.1:{port}/root.crl"))
    good.write(folder, "good")
    for name in ("root", "fallen"):
        roots[name].write(folder, name)
    site = [
        '[policy]\nrevocation = "hard-fail"\n',
        f'[[managed_domain]]\nname = "acme.example"\ndeliver_to = "smtp://127.0.0.1:{next_hop[1]}"\n',
        'sign_outgoing = "on-request"\n',
        '[[root]]\nfile = "root.pem"\n[[root]]\nfile = "fallen.pem"\n',
        '[[trust]]\nfile = "fallen.pem"\nverdict = "deny"\n',
    ]
    revoked = []
    for fault, kind in itertools.product((*REASONS, "good"), KINDS):
        entity = good if fault == "good" else faulty(fault, f"kim@{fault}.{kind}.example", roots, port)
        if entity is not None:
            entity.write(folder, f"{fault}-{kind}")
        if fault == "revoked" and entity is not None:
            revoked.append(entity)
        site += _tables(fault, kind, has_key=entity is not None)
    served.update({"/root.crl": crl(roots["root"], revoked), "/fallen.crl": crl(roots["fallen"], [])})
    gateway = Gateway(folder)
    gateway.configure(
        next_hop=next_hop[1], workers=1, more='[lookup]\nallow_networks = ["127.0.0.0/8"]\nfetch_seconds = 5\n'
    )
    gateway.apply("".join(site))
    gateway.start()
    world = World(gateway, next_hop[0], good)
    yield world
    search(world)  # whatever order the cells had, and once more when the last file is written
    gateway.stop()
    search(world)


def _tables(fault: str, kind: str, *, has_key: bool) -> Iterator[str]:
    """Partner domains of each mode with that certificate, for the domain or for its one address."""
    file = f'"{fault}-{kind}.pem"'
    for mode in MODES:
        yield f'[[partner_domain]]\nname = "{mode}.{fault}.{kind}.example"\nencryption = "{mode}"\n'
        if has_key and kind == "domain":
            yield f"smime_certificates = [{file}]\n"
    if not has_key:
        return
    if kind == "personal":
        addresses = ", ".join(f'"kim@{mode}.{fault}.{kind}.example"' for mode in MODES)
        yield f"[[certificate]]\nfile = {file}\naddresses = [{addresses}]\n"
    if fault == "ctl-denied":
        yield f'[[trust]]\nfile = {file}\nverdict = "deny"\n'


CELLS = [
    (fault, kind, mode, asking)
    for fault, kind, mode, asking in itertools.product(REASONS, KINDS, MODES, ASKING)
    if mode == "mandatory" or asking != "unmarked"
]
"""Where mail must be protected: by a mandatory partner, or because its sender asks."""


@pytest.mark.parametrize(("fault", "kind", "mode", "asking"), CELLS)
def test_what_must_be_protected_and_cannot_is_refused_by_name(
    world: World, fault: str, kind: str, mode: str, asking: str
) -> None:
    to = f"kim@{mode}.{fault}.{kind}.example"
    code, words = world.send(to, *ASKING[asking], *PLAINLY)
    # What is unknown now may be known later: the mail server keeps the mail and tries again.
    expected = "451 4.7.5" if fault == "crl-unreachable" else "550 5.7.1"
    assert f"{code} {words}".startswith(f"{expected} <{to}> {REASONS[fault]}: "), words
    assert "id=" in words


@pytest.mark.parametrize(("fault", "kind"), list(itertools.product(REASONS, KINDS)))
def test_an_opportunity_that_fails_leaves_in_clear_and_says_why(world: World, fault: str, kind: str) -> None:
    to = f"kim@opportunistic.{fault}.{kind}.example"
    assert world.send(to, may_be_clear=True)[0] == 250
    plan = world.explained(to, "Subject: hello")
    assert (plan["protection"], plan["reason"]) == ("none", "not-required")
    assert REASONS[fault] in [entry["reason"] for entry in plan["not_taken"]]
    candidates = [(one["usable"], one["reason"], one["protection"]) for one in plan["candidates"]]
    assert candidates == ([] if fault == "no-key" else [(False, REASONS[fault], f"smime-{kind}")])


@pytest.mark.parametrize(("fault", "kind"), list(itertools.product(REASONS, KINDS)))
def test_on_request_and_nobody_asks(world: World, fault: str, kind: str) -> None:
    assert world.send(f"kim@on-request.{fault}.{kind}.example", may_be_clear=True)[0] == 250


@pytest.mark.parametrize(("kind", "mode", "asking"), list(itertools.product(KINDS, MODES, ASKING)))
def test_with_a_good_certificate_the_same_mail_is_protected(world: World, kind: str, mode: str, asking: str) -> None:
    """So that the matrix above is about the faults and nothing else."""
    to = f"kim@{mode}.good.{kind}.example"
    clear = mode == "on-request" and asking == "unmarked"
    assert world.send(to, *ASKING[asking], may_be_clear=clear)[0] == 250
    world.gateway.wait_until_empty()
    canary = world.canaries[-1]
    (wire,) = [mail for recipient, mail in world.kept.mails if recipient == to and _is_of(mail, canary, world.good)]
    assert (canary in wire) is clear


def _is_of(mail: bytes, canary: bytes, reader: Entity) -> bool:
    return canary in mail or canary in (decrypt(mail, reader) or b"")


@pytest.mark.parametrize("request_header", ["x-smsign: yes", "Subject: [sign] figures"])
@pytest.mark.parametrize("mode", MODES)
def test_a_signature_that_cannot_be_made_is_a_refusal(world: World, mode: str, request_header: str) -> None:
    """There is no key that signs for anybody in acme.example."""
    code, words = world.send(f"kim@{mode}.good.domain.example", request_header)
    assert (code, "no-sender-certificate" in words) == (550, True), words


def test_a_locked_store_defers_everything(world: World) -> None:
    """Even mail that would leave in clear: nothing is accepted that is not durable."""
    targets = [f"kim@{mode}.good.{kind}.example" for mode, kind in itertools.product(MODES, KINDS)]
    database = next(world.gateway.config.parent.glob("*.db"))
    with closing(sqlite3.connect(database, isolation_level=None, timeout=30)) as shell:
        shell.execute("BEGIN IMMEDIATE")
        with ThreadPoolExecutor(len(targets)) as senders:
            replies = list(senders.map(lambda to: world.send(to, *ASKING["marked"]), targets))
        shell.execute("ROLLBACK")
    for code, words in replies:
        assert f"{code} {words}".startswith("451 4.3.0"), words
        assert "store-unavailable" in words


def test_nothing_of_all_this_stands_anywhere_in_clear(world: World) -> None:
    """Runs alone as well: it sends a few mails of its own, then searches disk, log and wire."""
    for mode, asking in itertools.product(MODES, ("marked", "keyword")):
        world.send(f"kim@{mode}.expired.domain.example", *ASKING[asking])
        world.send(f"kim@{mode}.good.domain.example", *ASKING[asking])
    world.gateway.wait_until_empty()
    search(world)


def search(world: World) -> None:
    """Disk, log and wire, for every canary that was sent so far."""
    files = files_below(world.gateway.folder)
    assert len(files) > 3
    for path, content in files.items():
        assert_lacks(content, world.canaries, str(path))
    for recipient, mail in world.kept.mails:
        assert_lacks(mail, world.protected, f"mail to {recipient}")
