"""Mail that wants to look signed, or signed by somebody else, to a reader inside: tags and evidence say what is true.

Threats 25 to 27, 58 and 60: partly signed mail, other authors, several signers, denied and outdated certificates,
fields that do not fit what was signed, and names in certificates that read like verdicts.
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from ime_gateway.base.outcome import Accepted, Refused
from ime_gateway.pipeline import signature_verdicts
from ime_gateway.ports.directory import TrustEntry
from tests.core import close, person, root
from tests.incoming_world import ANNA, BOB, DOMAIN, KIM, Incoming, incoming
from tests.pki import Entity, make_user
from tests.smime_mail import encrypted, mail, signed, text_entity

TEXT = text_entity("pay 100 to Bob orchid-7431")
MALLORY = "mallory@evil.example"
PARTNER = "domain-confidentiality-authority@partner.example"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Incoming]:
    made = incoming(tmp_path_factory.mktemp("verdicts"))
    yield made
    close(made.core)


@pytest.fixture
def world(shared: Incoming) -> Incoming:
    shared.policy()
    shared.partner(certificates=[person(PARTNER)], encryption="mandatory")
    return shared


@cache
def other(address: str, fault: str = "") -> Entity:
    return make_user(address, None if fault == "selfsigned" else root(), expired=fault == "expired")


def verdict(world: Incoming, data: bytes, sender: str = KIM) -> str:
    """`ok`, `invalid` or `no`: tag and evidence must say the same."""
    outcome, copies = world.arrive(data, sender=sender)
    assert isinstance(outcome, Accepted), outcome
    head = copies[BOB].unfolded
    tags = [word for word in ("[signed OK]", "[signed INVALID]") if word in head]
    found = re.findall(r"^X-IMEGW-Signed: (\w+)\r$", head, re.MULTILINE)
    assert tags == {(): [], ("ok",): ["[signed OK]"], ("invalid",): ["[signed INVALID]"]}[tuple(found)]
    return found[0] if found else "no"


def evidence(world: Incoming, data: bytes) -> str:
    _, copies = world.arrive(data)
    return "\n".join(re.findall(r"^X-IMEGW-Signature: (.*)\r$", copies[BOB].unfolded, re.MULTILINE))


@pytest.mark.parametrize("wrap", [False, True], ids=["signed", "signed and encrypted"])
class TestSigners:
    def made(self, wrap: bool, entity: bytes, sender: str = KIM, **options: object) -> bytes:
        entity = encrypted(entity, person(DOMAIN)) if wrap else entity
        return mail(entity, sender, BOB, **options)  # type: ignore[arg-type]

    def test_the_author_is_good(self, world: Incoming, wrap: bool) -> None:
        assert verdict(world, self.made(wrap, signed(TEXT, person(KIM)))) == "ok"
        assert verdict(world, self.made(wrap, signed(TEXT, person(KIM), opaque=True))) == "ok"

    def test_a_certificate_that_did_not_come_along_but_is_known(self, world: Incoming, wrap: bool) -> None:
        entity = signed(TEXT, person(PARTNER), certificates=False)
        assert verdict(world, self.made(wrap, entity)) == "ok"

    @pytest.mark.parametrize(
        "sender",
        [MALLORY, f"{KIM}.evil.example", f'"{KIM}" <{MALLORY}>', f"Kim <{MALLORY}>\nSender: {KIM}"],
    )
    def test_other_authors_are_not(self, world: Incoming, wrap: bool, sender: str) -> None:
        assert verdict(world, self.made(wrap, signed(TEXT, person(KIM)), sender), MALLORY) == "invalid"

    def test_sender_does_not_vouch_for_from(self, world: Incoming, wrap: bool) -> None:
        data = self.made(wrap, signed(TEXT, person(MALLORY)), f"{KIM}\nSender: {MALLORY}")
        assert verdict(world, data, MALLORY) == "invalid"

    def test_all_of_several_authors_must_be_named(self, world: Incoming, wrap: bool) -> None:
        data = self.made(wrap, signed(TEXT, person(KIM)), f"{KIM}, {ANNA}\nSender: {KIM}")
        assert verdict(world, data) == "invalid"

    @pytest.mark.parametrize("fault", ["selfsigned", "expired"])
    def test_certificates_that_nobody_trusts(self, world: Incoming, wrap: bool, fault: str) -> None:
        data = self.made(wrap, signed(TEXT, other(KIM, fault)))
        assert verdict(world, data) == "invalid"
        assert "intact=yes" in evidence(world, data) and "trust=no" in evidence(world, data)

    def test_the_trust_list_speaks_for_one(self, world: Incoming, wrap: bool) -> None:
        entity = other(KIM, "selfsigned")
        data = self.made(wrap, signed(TEXT, entity))
        world.configure(lambda live: live.put_trust(TrustEntry(entity.certificate.thumbprint, "allow")))
        assert verdict(world, data) == "ok"
        world.configure(lambda live: live.put_trust(TrustEntry(entity.certificate.thumbprint, "deny")))
        assert verdict(world, data) == "invalid"
        world.configure(lambda live: live.delete_trust(entity.certificate.thumbprint))

    def test_a_second_signature_does_not_hide_a_denied_one(self, world: Incoming, wrap: bool) -> None:
        denied = other("kim2@partner.example")
        data = self.made(wrap, signed(TEXT, person(KIM), denied))
        assert verdict(world, data) == "ok"
        world.configure(lambda live: live.put_trust(TrustEntry(denied.certificate.thumbprint, "deny")))
        assert verdict(world, data) == "invalid"
        world.configure(lambda live: live.delete_trust(denied.certificate.thumbprint))

    def test_changed_text(self, world: Incoming, wrap: bool) -> None:
        entity = signed(TEXT, person(KIM)).replace(b"100", b"900")
        assert verdict(world, self.made(wrap, entity)) == "invalid"

    def test_a_signature_that_cannot_be_read(self, world: Incoming, wrap: bool) -> None:
        entity = re.sub(rb"(?<=smime.p7s\"\n\n).{60}", b"A" * 60, signed(TEXT, person(KIM)), count=1, flags=re.DOTALL)
        assert verdict(world, self.made(wrap, entity)) == "invalid"

    def test_more_than_was_signed(self, world: Incoming, wrap: bool) -> None:
        inner = signed(TEXT, person(KIM))
        footer = b"--o\n" + inner + b"\n--o\nContent-Type: text/plain\n\npay Mallory\n--o--\n"
        data = self.made(wrap, b"Content-Type: multipart/mixed; boundary=o\n\n" + footer)
        assert verdict(world, data) == "no"  # a signed part among others is none of ours to judge
        boundary = re.search(rb'boundary="([^"]+)"', inner)
        assert boundary is not None
        end = b"--" + boundary[1] + b"--"
        third = inner.replace(end, b"--" + boundary[1] + b"\nContent-Type: text/html\n\n<b>pay Mallory</b>\n" + end)
        assert third != inner
        assert verdict(world, self.made(wrap, third)) == "invalid"

    def test_the_domain_speaks_for_its_own_people_only(self, world: Incoming, wrap: bool) -> None:
        entity = signed(TEXT, person(PARTNER))
        assert verdict(world, self.made(wrap, entity)) == "ok"
        for author in ("kim@sub.partner.example", "kim@friend.example", ANNA):
            assert verdict(world, self.made(wrap, entity, author), author) == "invalid"

    def test_the_name_of_a_signing_authority(self, world: Incoming, wrap: bool) -> None:
        """RFC 3183 section 3.1.1: the domain, and those below it."""
        entity = signed(TEXT, other("domain-signing-authority@elsewhere.example"))
        for name in ("elsewhere.example", "*.elsewhere.example"):
            world.partner(name)
        for author in ("lee@elsewhere.example", "lee@sub.elsewhere.example"):
            assert verdict(world, self.made(wrap, entity, author), author) == "ok"
        both = f"lee@elsewhere.example, {KIM}\nSender: lee@elsewhere.example"
        for author in (KIM, "lee@notelsewhere.example", "lee@example", both):
            sender = author.partition(",")[0]
            assert verdict(world, self.made(wrap, entity, author), sender) == "invalid"
        above = signed(TEXT, other("domain-signing-authority@example"))
        data = self.made(wrap, above, "lee@elsewhere.example")
        assert verdict(world, data, "lee@elsewhere.example") == "invalid", "a top-level domain is nobody's"
        untrusted = signed(TEXT, other("domain-signing-authority@elsewhere.example", "selfsigned"))
        assert verdict(world, self.made(wrap, untrusted, "lee@elsewhere.example"), "x@elsewhere.example") == "invalid"

    def test_a_signing_authority_of_no_partner_speaks_for_nobody(self, world: Incoming, wrap: bool) -> None:
        """A public CA gives that name to whoever has the mailbox, at a mail provider or below a public suffix."""
        for name, author in (
            ("freemail.example", "president@freemail.example"),
            ("co.example", "ceo@bank.co.example"),
            ("acme.example", ANNA),
        ):
            data = self.made(wrap, signed(TEXT, other(f"domain-signing-authority@{name}")), author)
            assert verdict(world, data, MALLORY) == "invalid"
            assert "trust=yes; identity=no" in evidence(world, data)

    @pytest.mark.parametrize("by", ["trust list", "root"])
    def test_other_names_in_the_certificate_of_a_partner(self, world: Incoming, wrap: bool, by: str) -> None:
        """Whoever compared its thumbprint believed it for that partner; only a CA checks names."""
        several = make_user(PARTNER, root() if by == "root" else None, dn_addresses=["ceo@bank.example"])
        world.partner(certificates=[several], encryption="mandatory")
        world.configure(lambda live: live.put_trust(TrustEntry(several.certificate.thumbprint, "allow")))
        for author, expected in ((KIM, "ok"), ("ceo@bank.example", "ok" if by == "root" else "invalid")):
            assert verdict(world, self.made(wrap, signed(TEXT, several), author), author) == expected
        world.configure(lambda live: live.delete_trust(several.certificate.thumbprint))

    @pytest.mark.parametrize("also", ["ceo@bank.example", KIM, "domain-signing-authority@partner.example"])
    def test_other_names_in_the_certificate_of_a_person(self, world: Incoming, wrap: bool, also: str) -> None:
        """Approved for one person, whose thumbprint was compared: the names beside it were checked by nobody."""
        several = make_user(MALLORY, dn_addresses=[also])

        def approve(live: Any) -> None:
            live.put_certificate(several.certificate, (MALLORY,), None)
            live.put_trust(TrustEntry(several.certificate.thumbprint, "allow"))

        world.configure(approve)
        author = also if "authority" not in also else KIM
        for shown, expected in ((MALLORY, "ok"), (author, "invalid")):
            assert verdict(world, self.made(wrap, signed(TEXT, several), shown), MALLORY) == expected
        assert "identity=no" in evidence(world, self.made(wrap, signed(TEXT, several), author))

    def test_confidentiality_authority_of_no_partner_does_not_sign(self, world: Incoming, wrap: bool) -> None:
        entity = signed(TEXT, other("domain-confidentiality-authority@elsewhere.example"))
        assert verdict(world, self.made(wrap, entity, "lee@elsewhere.example"), "lee@elsewhere.example") == "invalid"


def test_keys_that_our_own_readers_share_sign_for_nobody(world: Incoming) -> None:
    """`internal_certificates`: everybody inside holds that key."""
    shared = other("desk@elsewhere.example")
    managed = world.core.run(world.core.store.directory.view()).managed["acme.example"]
    world.configure(lambda live: live.put_managed_domain(managed, [shared.certificate]))
    assert verdict(world, mail(signed(TEXT, shared), ANNA, BOB), ANNA) == "invalid"


def test_a_subject_that_was_not_signed(world: Incoming) -> None:
    """RFC 9788, signed only: the reader sees the subject outside."""
    entity = text_entity("x", "Subject: Yes", f"From: {KIM}", content_type='text/plain; hp="clear"')
    whole = signed(entity, person(KIM))
    assert verdict(world, mail(whole, KIM, BOB, subject="Yes")) == "ok"
    assert verdict(world, mail(whole, KIM, BOB, subject="Yes [secure]")) == "ok"
    assert verdict(world, mail(whole, KIM, BOB, subject="No")) == "invalid"


@pytest.mark.parametrize("inside", [ANNA, f"{KIM}, {ANNA}", "nobody at all"])
def test_an_author_inside_who_is_another(world: Incoming, inside: str) -> None:
    entity = text_entity("x", "Subject: Yes", f"From: {inside}", content_type='text/plain; hp="cipher"')
    assert verdict(world, mail(encrypted(signed(entity, person(KIM)), person(DOMAIN)), KIM, BOB)) == "invalid"


def test_names_in_certificates_are_no_verdicts(world: Incoming) -> None:
    name = 'x"; trust=yes; path=yes; of=domain; y="\r\nX-SM-decrypted: yes'
    liar = make_user(MALLORY, None, common_name=name.replace("\r\n", " ")[:64])
    found = evidence(world, mail(signed(TEXT, liar), KIM, BOB))
    bare = re.sub(r'"[^"]*"', "", found)
    assert "trust=no" in bare and "trust=yes" not in bare and "of=domain" not in bare


@pytest.mark.parametrize("cipher", ["aes-256-gcm", "aes-256-cbc", ""])
def test_a_broken_signature_is_refused_where_policy_wants_it(world: Incoming, cipher: str) -> None:
    world.policy(bad_signature="refuse")
    broken = signed(TEXT, person(KIM)).replace(b"100", b"900")
    entity = encrypted(broken, person(DOMAIN), cipher=cipher) if cipher else broken
    outcome, copies = world.arrive(mail(entity, KIM, BOB))
    if cipher == "aes-256-cbc":  # a refusal would be an oracle
        assert isinstance(outcome, Accepted) and "[signed INVALID]" in copies[BOB].unfolded
    else:
        assert isinstance(outcome, Refused) and outcome.reason.value == "signature-invalid"
    # A signature that holds, of somebody whom nobody knows, is no broken one.
    assert verdict(world, mail(signed(TEXT, other(KIM, "selfsigned")), KIM, BOB)) == "invalid"


def test_reports_of_a_strict_partner_are_marked(world: Incoming) -> None:
    world.partner(encryption="mandatory", incoming_clear="refuse")
    report = b'Content-Type: multipart/report; report-type=delivery-status; boundary="r"\n\n--r\n\nx\n--r--\n'
    outcome, copies = world.arrive(mail(report, KIM, BOB, subject="failed"), sender="")
    assert isinstance(outcome, Accepted) and "Subject: failed [not encrypted]" in copies[BOB].head
    for data in (mail(TEXT, KIM, BOB), mail(TEXT, f"eve@evil.example, {KIM}\nSender: eve@evil.example", BOB)):
        outcome, _ = world.arrive(data, sender="")
        assert isinstance(outcome, Refused) and outcome.reason.value == "not-encrypted"


def test_so_many_signatures_are_looked_at_and_no_more(world: Incoming, monkeypatch: pytest.MonkeyPatch) -> None:
    data = mail(signed(TEXT, person(KIM), other("kim3@partner.example")), KIM, BOB)
    for most, unseen in ((2, 0), (1, 1)):
        monkeypatch.setattr(signature_verdicts, "MOST_JUDGED", most)
        assert evidence(world, data).count("it was not looked at") == unseen


def test_tags_of_gateways_come_from_no_subject_outside(world: Incoming) -> None:
    """Of OpenPGP as well, which other gateways of the house may open."""
    world.policy(tags={"secure": "[sicher]"})
    forged = "[PGP OK] [sicher] [signed OK] [PGP INVALID] [signed INVALID] pay"
    _, copies = world.arrive(mail(TEXT, KIM, BOB, subject=forged))
    assert "\nSubject: pay\r\n" in copies[BOB].head


def test_forged_evidence_is_removed_from_every_level(world: Incoming) -> None:
    forged = ["X-IMEGW-Signed: ok", "X-IMEGW-Signature: layer=1; intact=yes", "X-SM-decrypted: yes"]
    inner = text_entity("x", *forged)
    data = mail(encrypted(inner, person(DOMAIN)), KIM, BOB, extra=forged)
    _, copies = world.arrive(data)
    assert "X-IMEGW-Signed" not in copies[BOB].head and copies[BOB].wire.count(b"X-SM-decrypted") == 1
    assert b"X-IMEGW-Signature" not in copies[BOB].wire


def test_a_signature_over_markers_is_judged_as_it_came(world: Incoming) -> None:
    """An honest forwarded mail has the headers of its author's gateway inside: they go, and the signature was good."""
    entity = text_entity("From: a@b.example\nX-SM-internal: yes\n\nhello", content_type="message/rfc822")
    assert verdict(world, mail(signed(entity, person(KIM)), KIM, BOB)) == "ok"
    _, copies = world.arrive(mail(signed(entity, person(KIM)), KIM, BOB))
    assert b"X-SM-internal" not in copies[BOB].wire


PGP = "-----BEGIN PGP MESSAGE-----\n\nhQEMAw==\n-----END PGP MESSAGE-----"
PGP_MIME = (
    b'Content-Type: multipart/encrypted; protocol="application/pgp-encrypted"; boundary=p\n\n--p\n'
    b"Content-Type: application/pgp-encrypted\n\nVersion: 1\n--p\n"
    b"Content-Type: application/octet-stream\n\n" + PGP.encode() + b"\n--p--\n"
)
PRETENDERS = {
    "armor in a text": text_entity(f"pay Mallory\n{PGP}"),
    "text called encrypted": PGP_MIME.replace(b"application/pgp-encrypted\n", b"text/plain\n"),
    "text in the place of the armor": PGP_MIME.replace(b"-----BEGIN", b"pay Mallory\n-----BEGIN"),
    "text in an armor": PGP_MIME.replace(b"hQEMAw==", b"pay Mallory"),
    "text called enveloped": b"Content-Type: application/pkcs7-mime; smime-type=enveloped-data\n\npay Mallory\n",
}


@pytest.mark.parametrize("entity", PRETENDERS.values(), ids=PRETENDERS)
def test_clear_mail_that_calls_itself_encrypted_is_clear(world: Incoming, entity: bytes) -> None:
    world.partner(encryption="mandatory", incoming_clear="refuse")
    outcome, _ = world.arrive(mail(entity, KIM, BOB))
    assert isinstance(outcome, Refused) and outcome.reason.value == "not-encrypted"
    world.policy(desktop_encrypted="refuse")  # nor does it pass as clear where everything must be scanned
    world.partner(encryption="mandatory")
    outcome, _ = world.arrive(mail(entity, KIM, BOB))
    assert isinstance(outcome, Refused) and outcome.reason.value == "desktop-encrypted"


def test_openpgp_mail_of_a_strict_partner_passes(world: Incoming) -> None:
    world.partner(encryption="mandatory", incoming_clear="refuse")
    outcome, copies = world.arrive(mail(PGP_MIME, KIM, BOB))
    assert isinstance(outcome, Accepted) and "X-SM-encrypted: yes" in copies[BOB].head
    world.policy(desktop_encrypted="refuse")
    outcome, _ = world.arrive(mail(PGP_MIME, KIM, BOB))
    assert isinstance(outcome, Refused) and outcome.reason.value == "desktop-encrypted"
