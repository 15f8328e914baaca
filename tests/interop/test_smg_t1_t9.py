"""T1 to T9: what the S/MIME Gateway profile asks of two gateways, each with a program of other make on the far side.

The profile (Open Group, 2004) was published as requirements only; the nine cases are derived from these (SMG-3 to
SMG-11): two ways to exchange certificates, old and present ciphers, mail that was encrypted at a desktop, partners who
encrypt nothing, and what lies between two gateways. `openssl cms` writes and reads for the other side.
"""

import json
import smtplib
import subprocess
from collections.abc import Callable, Iterator
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from ime_gateway.admin.candidate_desk import Comparison
from ime_gateway.app.cli.main import run
from ime_gateway.base.errors import UserError
from ime_gateway.base.outcome import Accepted, Refused
from ime_gateway.settings.site import PartnerDomain, Policy
from ime_gateway.smtp.replies import reply_for
from tests.canary import files_below
from tests.core import Delivered, close, person, root
from tests.exchange_world import ACME, BOLT, Gateway, authority, foreign_mail, make_gateway
from tests.incoming_world import ANNA, BOB, CANARY, DOMAIN, KIM, Incoming, incoming
from tests.openssl import decrypt, readers, verify
from tests.pki import Entity, make_user
from tests.servers.gateway import free_port
from tests.servers.postfix import Postfix
from tests.smime_mail import encrypted, mail, signed, text_entity

STRANGER = "sam@stranger.example"
RAW = (
    "From: Kim Kern <kim@partner.example>\n"
    "to:  bob@acme.example,\n\t carol@acme.example\n"
    "X-Odd:\tfolded \n  twice\n"
    "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= [...]\n"
    "Message-ID: <raw@partner.example>\n"
    "MIME-Version: 1.0 (made by hand)\n"
)
"""A header block that any program which writes it anew would change."""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Incoming]:
    made = incoming(tmp_path)
    yield made
    close(made.core)


def letter(*to: str, text: str = CANARY, fields: str = "") -> bytes:
    head = f"From: Anna <{ANNA}>\nTo: {', '.join(to)}\nSubject: figures\nMessage-ID: <{abs(hash(text))}@acme.example>\n"
    return f"{head}{fields}\nThe marker is {text}.\n".encode()


def crlf(data: bytes) -> bytes:
    return data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def body(wire: bytes) -> bytes:
    return wire.partition(b"\r\n\r\n")[2]


def by_recipient(copies: list[Delivered]) -> dict[str, Delivered]:
    return {copy.recipient: copy for copy in copies}


# T1 and T2: the partner's certificate


def test_t1_certificate_from_a_signed_mail_waits_for_the_thumbprint(tmp_path: Path) -> None:
    """SMG-4: signed mail to a known address, and a person who compares before it is used."""
    acme, theirs = make_gateway(tmp_path, ACME), authority(BOLT)
    acme.core.configure(lambda live: live.put_partner_domain(PartnerDomain(name=BOLT, encryption="mandatory"), ()))
    offer = foreign_mail(theirs, f"postmaster@{BOLT}", acme.exchange)
    assert isinstance(acme.takes(f"postmaster@{BOLT}", acme.exchange, offer), Accepted)
    [waiting] = acme.candidates()
    assert (waiting.owner, waiting.certificate, waiting.state) == (BOLT, theirs.certificate, "pending")

    outcome, _ = _to_bolt(acme)
    assert isinstance(outcome, Refused) and outcome.reason == "no-certificate", "used before anybody approved it"
    thumbprint = theirs.certificate.thumbprint
    mistyped = thumbprint[:-1] + ("0" if thumbprint[-1] != "0" else "1")
    with pytest.raises(UserError, match="group 16 of 16"):
        acme.candidate_desk.approve(thumbprint, Comparison(mistyped), "admin")
    assert isinstance(_to_bolt(acme)[0], Refused)

    acme.candidate_desk.approve(thumbprint, Comparison(_spoken(theirs), "Bob Bolt", "phone"), "admin")
    outcome, [copy] = _to_bolt(acme)
    assert isinstance(outcome, Accepted)
    assert (copy.protection, copy.reason) == ("smime-domain", "domain-certificate")
    assert CANARY.encode() in (decrypt(copy.wire, theirs) or b"")
    close(acme.core)


def _to_bolt(gateway: Gateway) -> tuple[Any, list[Delivered]]:
    return gateway.core.send(letter(f"bob@{BOLT}"), ANNA, [f"bob@{BOLT}"])


def _spoken(entity: Entity) -> str:
    """The thumbprint as openssl of the other side prints it."""
    command = ["openssl", "x509", "-noout", "-fingerprint", "-sha256"]
    shown = subprocess.run(command, input=entity.pem, capture_output=True, check=True).stdout.decode()
    return shown.partition("=")[2].strip()


@pytest.fixture
def keyboard(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Commands of a fresh installation; what they say."""
    monkeypatch.setattr("sys.excepthook", lambda *_: None)  # run() sets its own; put back afterwards
    monkeypatch.setenv("IMEGW_CONFIG", str(tmp_path / "gw" / "gateway.toml"))

    def command(*words: str) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            run(words)
        said = capsys.readouterr()
        assert not ended.value.code, said.err
        return said.out

    command("init", str(tmp_path / "gw"))
    return command


@pytest.mark.parametrize("form", ["pem", "der", "pkcs7-pem", "pkcs7-der"])
def test_t2_certificate_from_a_file(tmp_path: Path, keyboard: Callable[..., str], form: str) -> None:
    """SMG-5: a file in a standard format, as openssl of the other side writes it."""
    theirs, file = authority(BOLT), tmp_path / "their-certificate"
    source, _ = theirs.write(tmp_path, "source")
    kind, _, encoding = form.rpartition("-")
    command = ["crl2pkcs7", "-nocrl", "-certfile"] if kind else ["x509", "-in"]
    subprocess.run(["openssl", *command, str(source), "-outform", encoding, "-out", str(file)], check=True)

    def known() -> list[tuple[str, bool]]:
        shown = json.loads(keyboard("domain", "show", BOLT, "--json"))
        return [(one["thumbprint"], one["usable"]) for one in shown["certificates"]]

    keyboard("domain", "add", BOLT, "encryption=mandatory", "--certificate", str(file))
    assert known() == [(theirs.certificate.thumbprint, False)], "imported is not trusted"
    spoken = _spoken(theirs)
    keyboard("trust", "verify", str(file), "--with", "Bob Bolt", "--how", "phone", "--confirm", spoken)
    keyboard("trust", "allow", str(file), "--note", "compared by telephone")
    assert known() == [(theirs.certificate.thumbprint, True)]


# T3 and T4: ciphers


def test_t3_old_ciphers_open_behind_the_switch_and_are_never_sent(world: Incoming) -> None:
    """SMG-3: 3DES, RSA-1024 and SHA-1 were the least that every product had to have; today they are history."""
    ours, theirs = make_user(DOMAIN, key_bits=1024), make_user(KIM, root(), key_bits=1024)
    strange = make_user("domain-confidentiality-authority@old.example", root(), key_bits=1024)
    world.configure(lambda live: live.domain_keys.put(ACME, ours.certificate, ours.key_der, "current"))
    world.partner("old.example", [strange], encryption="mandatory")
    content = signed(text_entity(CANARY), theirs, digest="sha1")
    old = mail(encrypted(content, ours, cipher="des3"), KIM, BOB)

    outcome, copies = world.arrive(old)
    assert isinstance(outcome, Accepted)
    assert body(copies[BOB].wire) == body(crlf(old)), "sealed, as it came"
    assert "[secure]" not in copies[BOB].head

    world.policy(legacy_decryption=True)
    _, copies = world.arrive(old)
    assert CANARY.encode() in copies[BOB].wire
    assert copies[BOB].reason == "decrypted"
    assert "cipher=3des-cbc" in copies[BOB].unfolded and "legacy=yes" in copies[BOB].unfolded
    assert "[signed OK]" not in copies[BOB].head, "SHA-1 proves nothing any more"

    outcome, sent = world.core.send(letter("kim@old.example"), ANNA, ["kim@old.example"])
    assert isinstance(outcome, Refused) and outcome.reason == "certificate-weak"
    assert not sent
    _, [copy] = world.core.send(letter(KIM), ANNA, [KIM])
    structure = readers(copy.wire)
    assert "aes-256" in structure
    assert not any(word in structure for word in ("des-ede3-cbc", "rc2", "sha1WithRSA"))


@pytest.mark.parametrize("cipher", ["aes-128-cbc", "aes-192-cbc", "aes-256-cbc", "aes-128-gcm", "aes-256-gcm"])
def test_t4_aes_from_the_other_side_is_opened(world: Incoming, cipher: str) -> None:
    _, copies = world.arrive(mail(encrypted(text_entity(CANARY), person(DOMAIN), cipher=cipher), KIM, BOB))
    assert copies[BOB].reason == "decrypted"
    assert f"cipher={cipher}" in copies[BOB].unfolded
    assert CANARY.encode() in copies[BOB].wire


@pytest.mark.parametrize(("cipher", "holder"), [("aes-256-cbc", "EnvelopedData"), ("aes-256-gcm", "AuthEnvelopedData")])
def test_t4_aes_of_ours_is_read_by_the_other_side(world: Incoming, cipher: str, holder: str) -> None:
    world.policy(content_cipher=cipher)
    outcome, [copy] = world.core.send(letter("kim@partner.example"), ANNA, ["kim@partner.example"])
    assert isinstance(outcome, Accepted)
    structure = readers(copy.wire)
    assert cipher in structure and holder.lower() in structure.lower()
    assert CANARY.encode() in (decrypt(copy.wire, person("domain-confidentiality-authority@partner.example")) or b"")
    assert CANARY.encode() not in copy.wire


# T5 and T6: mail that was encrypted at a desktop


def desktop_mail(kind: str) -> bytes:
    """From one desktop to another: openssl for the writer, keys that are on no gateway."""
    entity = text_entity(CANARY)
    made = signed(entity, person(KIM)) if kind == "signed" else encrypted(entity, person(BOB), cipher=kind)
    return RAW.encode() + made.replace(b"MIME-Version: 1.0\n", b"", 1)


@pytest.mark.parametrize("kind", ["aes-256-cbc", "aes-256-gcm", "signed"])
def test_t5_desktop_mail_from_outside_passes_byte_identical(world: Incoming, kind: str) -> None:
    """SMG-8: what two people do with keys of their own is not opened, and nothing of it changes."""
    came = desktop_mail(kind)
    outcome, copies = world.arrive(came)
    assert isinstance(outcome, Accepted)
    assert body(copies[BOB].wire) == body(crlf(came))
    if kind == "signed":
        assert CANARY.encode() in (verify(copies[BOB].wire, person(KIM)) or b""), "the signature still holds"
    else:
        assert crlf(came).partition(b"\r\n\r\n")[0] + b"\r\n" in copies[BOB].wire, "its header block, too"
        assert CANARY.encode() in (decrypt(copies[BOB].wire, person(BOB)) or b"")
        assert "[secure]" not in copies[BOB].head


@pytest.mark.parametrize("kind", ["aes-256-cbc", "signed"])
def test_t5_desktop_mail_to_the_outside_passes_byte_identical(world: Incoming, kind: str) -> None:
    entity = text_entity(CANARY)
    made = signed(entity, person(ANNA)) if kind == "signed" else encrypted(entity, person(STRANGER), cipher=kind)
    sent = mail(made, ANNA, STRANGER, "hello")
    outcome, [copy] = world.core.send(sent, ANNA, [STRANGER])
    assert isinstance(outcome, Accepted)
    assert copy.protection == "none"
    assert copy.wire.endswith(crlf(sent))


@pytest.mark.parametrize("kind", ["aes-256-cbc", "aes-256-gcm"])
def test_t6_policy_refuses_desktop_mail(world: Incoming, kind: str) -> None:
    """SMG-9: whoever must scan everything refuses what cannot be scanned; everything else passes."""
    world.policy(desktop_encrypted="refuse")
    outcome, copies = world.arrive(desktop_mail(kind))
    assert isinstance(outcome, Refused) and not copies
    assert reply_for(outcome).startswith(f"550 5.7.1 <{BOB}>") and "desktop-encrypted" in reply_for(outcome)

    for passes in (
        mail(encrypted(text_entity("for the gateway"), person(DOMAIN), cipher=kind), KIM, BOB),
        desktop_mail("signed"),
        mail(text_entity("clear"), KIM, BOB),
    ):
        assert isinstance(world.arrive(passes)[0], Accepted)


# T7 to T9: who else is there


def test_t7_partner_without_encryption_is_unaffected(world: Incoming) -> None:
    """SMG-7: the gateway lives beside mail that nobody encrypts."""
    text = b"From: anna@acme.example\nTO:  sam@stranger.example\nX-Odd:\tfolded \n\twice\n\n.dot\ntrailing \t\n\n"
    outcome, [copy] = world.core.send(text, ANNA, [STRANGER])
    assert isinstance(outcome, Accepted)
    assert (copy.protection, copy.reason) == ("none", "not-required")
    assert copy.wire.endswith(crlf(text)), "not a byte changed"
    added = BytesHeaderParser().parsebytes(copy.wire.removesuffix(crlf(text)))
    assert added.keys() == ["Received", "X-IMEGW-Trace"], "as every relay, and no word about encryption"

    answer = b"From: sam@stranger.example\nTO:  bob@acme.example\nX-Odd:\tfolded \n\twice\n\n.dot\ntrailing \t\n\n"
    outcome, copies = world.arrive(answer, sender=STRANGER)
    assert isinstance(outcome, Accepted)
    assert body(copies[BOB].wire) == body(crlf(answer))
    assert crlf(answer).partition(b"\r\n\r\n")[0] in copies[BOB].wire
    assert "[" not in copies[BOB].unfolded.partition("Subject:")[2]


def test_t8_one_mail_to_partners_of_every_kind(world: Incoming) -> None:
    """SMG-10: the sending edge decides, for each recipient; who needs it gets ciphertext, the others the mail."""
    keys = {name: authority(f"{name}.example", issuer=root()) for name in ("partner", "friend", "shy")}
    world.partner("partner.example", [keys["partner"]], encryption="mandatory")
    world.partner("friend.example", [keys["friend"]], encryption="opportunistic")
    world.partner("bare.example", encryption="opportunistic")
    world.partner("shy.example", [keys["shy"]], encryption="never")
    to = ["kim@partner.example", "fay@friend.example", "ben@bare.example", "shaw@shy.example", STRANGER]
    outcome, copies = world.core.send(letter(*to), ANNA, to)
    assert isinstance(outcome, Accepted)
    found = by_recipient(copies)
    assert {name: (copy.protection, copy.reason) for name, copy in found.items()} == {
        "kim@partner.example": ("smime-domain", "domain-certificate"),
        "fay@friend.example": ("smime-domain", "domain-certificate"),
        "ben@bare.example": ("none", "not-required"),
        "shaw@shy.example": ("none", "not-required"),
        STRANGER: ("none", "not-required"),
    }
    for name, entity in (("kim@partner.example", keys["partner"]), ("fay@friend.example", keys["friend"])):
        assert CANARY.encode() not in found[name].wire
        assert CANARY.encode() in (decrypt(found[name].wire, entity) or b"")
        assert decrypt(found[name].wire, keys["shy"]) is None
    for name in to[2:]:
        assert found[name].wire.endswith(crlf(letter(*to)))

    world.partner("bare.example", encryption="mandatory")
    outcome, copies = world.core.send(letter(*to), ANNA, to)
    assert isinstance(outcome, Refused) and (outcome.address, outcome.reason) == ("ben@bare.example", "no-certificate")
    assert not copies, "one who cannot be protected stops the mail before anybody gets it"


class NextGateway:
    """The far side of the relay: puts off the first attempt, so that the relay has to keep the mail on its disk."""

    def __init__(self) -> None:
        self.relay: Postfix | None = None
        self.queued = b""
        self.arrived: list[bytes] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        assert self.relay is not None
        if not self.queued:
            self.queued = _files(self.relay)
            return "451 4.3.0 later"
        self.arrived.append(bytes(envelope.content or b""))
        return "250 2.0.0 taken"


def test_t9_relay_between_the_gateways_carries_ciphertext(tmp_path: Path) -> None:
    """SMG-11: a Postfix on the way stores and forwards what it cannot read, and it opens at the other end."""
    (tmp_path / "acme").mkdir()
    (tmp_path / "bolt").mkdir()
    acme, bolt = make_gateway(tmp_path / "acme", ACME), make_gateway(tmp_path / "bolt", BOLT)
    acme.knows(bolt)
    acme.core.configure(lambda live: live.put_policy(Policy(protect_subject="always")))
    to = f"bob@{BOLT}"
    outcome, [copy] = acme.core.send(letter(to), ANNA, [to])
    assert isinstance(outcome, Accepted)
    far = NextGateway()
    port = free_port()
    far.relay = relay = Postfix(local_domains=["relay.example"], lmtp_port=9, routes={BOLT: port})
    controller = Controller(far, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        with relay, smtplib.SMTP("127.0.0.1", relay.port, timeout=60) as client:
            client.sendmail(ANNA, [to], copy.wire)
            relay.wait_until_empty()
            left = _files(relay)
    finally:
        controller.stop()
    [arrived] = far.arrived
    assert ANNA.encode() in far.queued, "the relay's queue was looked at"
    for secret in (CANARY.encode(), b"figures"):
        assert secret not in far.queued + left + arrived
    assert CANARY.encode() in (decrypt(arrived, bolt.key) or b""), "openssl reads it at the end"

    outcome, [opened] = bolt.core.send(arrived, ANNA, [to], "internet")
    assert isinstance(outcome, Accepted)
    assert opened.reason == "decrypted"
    assert CANARY.encode() in opened.wire and "Subject: figures [secure]" in opened.unfolded
    for one in (acme.core, bolt.core):
        close(one)


def _files(relay: Postfix) -> bytes:
    """All that is in the relay's folders: queue files, log."""
    return b"".join(files_below(relay.folder).values())
