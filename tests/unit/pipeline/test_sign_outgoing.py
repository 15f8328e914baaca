"""Signatures of outgoing mail: whose key makes them, what they cover, and that they survive the way."""

import asyncio
import base64
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ime_gateway.base.outcome import Accepted, Refused
from ime_gateway.base.reasons import Reason
from ime_gateway.certs.capabilities import own_capabilities
from ime_gateway.mail.message import parse_message
from ime_gateway.ports.authorities import IssuedEntry
from ime_gateway.ports.directory import TrustEntry
from ime_gateway.ports.revocation import StoredAnswer
from ime_gateway.settings.site import ManagedDomain, Policy
from ime_gateway.smime.entity import signed_entity
from ime_gateway.smime.verify import verify as verify_cms
from tests.core import Core, Delivered, close, make_core, person, root
from tests.openssl import decrypt, verify
from tests.outgoing_setup import domain_entity, faulty, set_up, signer
from tests.pki import DAY, NOW, key_usage, make_ca, make_user
from tests.revocation import make_crl, points

OUT = "kim@elsewhere.example"
WORDS = b"Gr\xc3\xbc\xc3\x9fe \r\nFrom Anna\r\n"
TEXT = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + WORDS


@pytest.fixture
def core(tmp_path: Path) -> Iterator[Core]:
    made = make_core(tmp_path)
    yield made
    close(made)


def mail(*lines: str, author: str = "anna@acme.example", body: bytes = TEXT, to: str = OUT) -> bytes:
    subject = () if any(line.startswith("Subject:") for line in lines) else ("Subject: figures",)
    head = (f"From: {author}", f"To: {to}", *subject, *lines, "MIME-Version: 1.0")
    return "\r\n".join(head).encode() + b"\r\n" + body


def one(core: Core, data: bytes, to: str = OUT, sender: str = "anna@acme.example") -> Delivered:
    outcome, copies = core.send(data, sender, [to])
    assert isinstance(outcome, Accepted), outcome
    (copy,) = copies
    return copy


def refusal(core: Core, data: bytes, to: str = OUT, sender: str = "anna@acme.example") -> Refused:
    outcome, copies = core.send(data, sender, [to])
    assert isinstance(outcome, Refused) and copies == []
    return outcome


def mangled(wire: bytes) -> bytes:
    """As the rudest mail server hands it on."""
    lines = [line.rstrip(b" \t") for line in wire.split(b"\r\n")]
    return bytes(byte & 0x7F for byte in b"\r\n".join(b">" + x if x.startswith(b"From ") else x for x in lines))


ALWAYS = {"managed": {"sign_outgoing": "always"}}
ASKED = {"managed": {"sign_outgoing": "on-request"}}


@pytest.mark.parametrize("kind", ["rsa", "p256", "p384"])
def test_every_kind_of_key_signs_what_survives_the_way(core: Core, kind: str) -> None:
    core.configure(lambda live: set_up(live, {"domain_key": kind, **ALWAYS}))
    wire = mangled(one(core, mail()).wire)
    content = verify(wire, domain_entity(kind))
    assert content is not None
    assert b"quoted-printable" in content and "Gr=C3=BC=C3=9Fe=20" in content.decode()
    assert verify(wire.replace(b"=C3=BC", b"=C3=B6"), domain_entity(kind)) is None


def test_an_ed25519_key_signs(core: Core) -> None:
    """Judged by our own reader here, as OpenSSL 3.0 knows no Ed25519 in CMS; tests/interop checks it by hand."""
    core.configure(lambda live: set_up(live, {"domain_key": "ed25519", **ALWAYS}))
    found = signed_entity(parse_message(mangled(one(core, mail()).wire)))
    assert found is not None and found.whole_body
    (judged,) = verify_cms(found.signed, found.content).signers
    assert judged.intact and judged.certificate == domain_entity("ed25519").certificate


def test_the_authors_own_key_comes_first_and_says_nothing_of_programs(core: Core) -> None:
    setup = {"domain_key": "rsa", "personal_keys": ["anna@acme.example"], "personal_kind": "p256", **ALWAYS}
    core.configure(lambda live: set_up(live, setup))
    wire = one(core, mail()).wire
    assert verify(wire, signer("anna@acme.example", "p256")) is not None
    assert own_capabilities() not in _signature(wire)


def test_the_domains_signature_says_what_the_gateway_opens_and_brings_its_chain(core: Core) -> None:
    top = make_ca("Partner's Root")
    ca = make_ca("Issuing CA", top)
    entity = make_user("domain-signing-authority@acme.example", ca)

    def act(live: Any) -> None:
        set_up(live, ALWAYS)
        live.domain_keys.put("acme.example", entity.certificate, entity.key_der, "current")
        live.put_certificate(ca.certificate, (), None)
        live.put_root(top.certificate)

    core.configure(act)
    wire = one(core, mail()).wire
    assert verify(wire, entity) is not None
    assert own_capabilities() in _signature(wire)
    assert ca.der in _signature(wire) and top.der not in _signature(wire)


def _signature(wire: bytes) -> bytes:
    """The SignedData at the end of multipart/signed."""
    found = re.search(rb"filename=smime.p7s\r\n\r\n([A-Za-z0-9+/=\r\n]+)\r?\n--", wire)
    assert found is not None
    return base64.b64decode(found[1])


def test_nobody_else_is_signed_for(core: Core) -> None:
    """Anybody inside can write any From: the personal key is its owner's, the domain's key serves the domain."""
    core.configure(lambda live: set_up(live, {"domain_key": "rsa", "personal_keys": ["anna@acme.example"], **ASKED}))
    wire = one(core, mail("x-smsign: yes"), sender="bob@acme.example").wire
    assert verify(wire, domain_entity()) is not None and verify(wire, signer("anna@acme.example")) is None
    wire = one(core, mail("x-smsign: yes", "Sender: bob@acme.example")).wire
    assert verify(wire, domain_entity()) is not None and verify(wire, signer("anna@acme.example")) is None


def test_authors_of_other_domains_are_not_signed_for(core: Core) -> None:
    def act(live: Any) -> None:
        set_up(live, {"domain_key": "rsa", **ASKED})
        live.put_managed_domain(
            ManagedDomain(name="sister.example", deliver_to="smtp://127.0.0.1:25", sign_outgoing="on-request"), ()
        )

    core.configure(act)
    refused = refusal(core, mail("x-smsign: yes", author="anna@sister.example"))
    assert refused.reason is Reason.NO_SENDER_CERTIFICATE and "sister.example" in refused.detail
    refused = refusal(core, mail("x-smsign: yes", author="anna@foreign.example"))
    assert refused.reason is Reason.METHOD_DISABLED and 'sign_outgoing = "never"' in refused.detail


@pytest.mark.parametrize("state", ["next", "older"])
def test_only_the_current_key_signs(core: Core, state: str) -> None:
    def act(live: Any) -> None:
        set_up(live, ALWAYS)
        entity = domain_entity()
        live.domain_keys.put("acme.example", entity.certificate, entity.key_der, state)

    core.configure(act)
    assert refusal(core, mail()).reason is Reason.NO_SENDER_CERTIFICATE


@pytest.mark.parametrize(("fault", "word"), [("expired", "expired"), ("encrypt-only", "digitalSignature")])
def test_a_key_that_may_not_sign(core: Core, fault: str, word: str) -> None:
    core.configure(lambda live: set_up(live, {"domain_key": fault, **ALWAYS}))
    refused = refusal(core, mail())
    assert refused.reason is Reason.NO_SENDER_CERTIFICATE and word in refused.detail


def test_a_denied_key_does_not_sign_and_the_domain_steps_in(core: Core) -> None:
    setup = {"domain_key": "rsa", "personal_keys": ["anna@acme.example"], **ALWAYS}
    core.configure(lambda live: set_up(live, setup))
    thumbprint = signer("anna@acme.example").certificate.thumbprint
    assert verify(one(core, mail()).wire, signer("anna@acme.example")) is not None
    core.configure(lambda live: live.put_trust(TrustEntry(thumbprint, "deny")))
    assert verify(one(core, mail()).wire, domain_entity()) is not None


def test_a_key_that_our_own_ca_revoked_does_not_sign_and_the_domain_steps_in(core: Core) -> None:
    ca = make_ca("Our CA")
    anna = make_user("anna@acme.example", ca)

    def act(live: Any) -> None:
        set_up(live, {"domain_key": "rsa", **ALWAYS})
        live.authorities.put(ca.certificate, "root", ca.key_der)
        live.put_root(ca.certificate)
        live.put_certificate(anna.certificate, ("anna@acme.example",), anna.key_der)
        live.authorities.put_issued(
            IssuedEntry(ca.certificate.thumbprint, anna.certificate, "anna@acme.example", "user", 1.0)
        )

    core.configure(act)
    assert verify(one(core, mail()).wire, anna) is not None
    core.configure(lambda live: live.authorities.revoke(anna.certificate.thumbprint, 2.0, "keyCompromise"))
    assert verify(one(core, mail()).wire, domain_entity()) is not None


@pytest.mark.parametrize("mode", ["soft-fail", "off"])
def test_a_revocation_that_the_store_knows_counts_for_our_own_keys(core: Core, mode: str) -> None:
    """Nobody asks for it, but partners will, and what administrators see of the key is what mail does."""
    ca, url, now = make_ca("Public CA"), "http://127.0.0.1:1/a.crl", time.time()
    anna = make_user("anna@acme.example", ca, extra=[points(url)])

    def act(live: Any) -> None:
        set_up(live, {"domain_key": "rsa", **ALWAYS})
        live.put_policy(Policy.model_validate({"revocation": mode}))
        live.put_root(ca.certificate)
        live.put_certificate(anna.certificate, ("anna@acme.example",), anna.key_der)

    core.configure(act)
    answer = StoredAnswer("crl", url, make_crl(ca, [anna]), now, now + 9e5, now, "", now)
    asyncio.run(core.store.revocations.keep(answer))
    assert verify(one(core, mail()).wire, domain_entity() if mode == "soft-fail" else anna) is not None


def test_of_two_keys_of_an_author_the_newer_signs(core: Core) -> None:
    keys = [make_user("anna@acme.example", root(), not_before=NOW - days * DAY) for days in (90, 20, 60)]

    def act(live: Any) -> None:
        set_up(live, ALWAYS)
        for key in keys:
            live.put_certificate(key.certificate, ("anna@acme.example",), key.key_der)

    core.configure(act)
    wire = one(core, mail()).wire
    assert verify(wire, keys[1]) is not None


def test_a_sister_domains_key_signs_for_none_but_its_own(core: Core) -> None:
    """Both domains are ours and have keys; who may send for the one says nothing in the name of the other."""
    sister = make_user("domain-confidentiality-authority@sister.example")
    domain = ManagedDomain(name="sister.example", deliver_to="smtp://127.0.0.1:25", sign_outgoing="always")

    def act(live: Any) -> None:
        set_up(live, {"domain_key": "rsa", **ALWAYS})
        live.put_managed_domain(domain, ())
        live.domain_keys.put("sister.example", sister.certificate, sister.key_der, "current")

    core.configure(act)
    hers = mail(author="anna@sister.example")
    refused = refusal(core, hers, sender="anna@acme.example")
    assert refused.reason is Reason.NO_SENDER_CERTIFICATE
    assert "anna@sister.example is in another domain than its envelope sender anna@acme.example" in refused.detail
    assert verify(one(core, hers, sender="anna@sister.example").wire, sister) is not None


def test_a_wish_for_a_signature_beats_one_for_plain_mail(core: Core) -> None:
    core.configure(lambda live: set_up(live, {"domain_key": "rsa", **ASKED}))
    assert verify(one(core, mail("Subject: [plain] [sign] figures")).wire, domain_entity()) is not None


def test_reports_and_colleagues_are_left_alone(core: Core) -> None:
    core.configure(lambda live: set_up(live, {"domain_key": "rsa", **ALWAYS}))
    assert one(core, mail(), sender="").wire.endswith(TEXT)
    assert one(core, mail(to="bob@acme.example"), to="bob@acme.example").wire.endswith(b"\r\n\r\n" + WORDS)


def test_our_own_dkim_signature_goes_as_it_no_longer_holds(core: Core) -> None:
    core.configure(lambda live: set_up(live, {"domain_key": "rsa", **ALWAYS}))
    dkim = ("DKIM-Signature: v=1; d=acme.example; b=x", "DKIM-Signature: v=1; d=list.example; b=x")
    head = one(core, mail(*dkim)).head
    assert "d=acme.example" not in head and "d=list.example" in head


def test_a_hidden_subject_is_hidden_inside_the_signature(core: Core) -> None:
    def act(live: Any) -> None:
        set_up(live, {"domain_key": "rsa", **ALWAYS})
        live.put_policy(Policy(protect_subject="always"))

    core.configure(act)
    copy = one(core, mail(to="kim@partner.example"), to="kim@partner.example")
    assert "Subject: [...]" in copy.head
    clear = decrypt(copy.wire, person("domain-confidentiality-authority@partner.example"))
    assert clear is not None and clear.startswith(b"Content-Type: multipart/signed")
    content = verify(clear, domain_entity())
    assert content is not None and b"Subject: figures" in content and b'hp="cipher"' in content


SIGNED_INSIDE = (
    b"Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\n"
    b'Content-Type: multipart/signed; protocol="application/pgp-signature"; boundary=s\r\n\r\n'
    b"--s\r\n\r\nsigned with a blank \r\n--s\r\nContent-Type: application/pgp-signature\r\n\r\nx\r\n--s--\r\n--o--\r\n"
)


def test_what_cannot_be_made_stable_is_signed_as_one_block(core: Core) -> None:
    core.configure(lambda live: set_up(live, {"domain_key": "rsa", **ALWAYS}))
    wire = mangled(one(core, mail(body=SIGNED_INSIDE)).wire)
    assert b"smime-type=signed-data" in wire and b"signed with" not in wire
    content = verify(wire, domain_entity())
    assert content is not None and b"signed with a blank \r\n" in content


DESKTOP = {
    "smime": b'Content-Type: multipart/signed; protocol="application/pkcs7-signature"; boundary=s\r\n\r\n--s\r\n\r\n'
    b"text \r\n--s\r\nContent-Type: application/pkcs7-signature\r\n\r\nMAA=\r\n--s--\r\n",
    "pgp": b'Content-Type: multipart/signed; protocol="application/pgp-signature"; boundary=s\r\n\r\n--s\r\n\r\n'
    b"text \r\n--s\r\nContent-Type: application/pgp-signature\r\n\r\nx\r\n--s--\r\n",
    "inline-pgp": b"Content-Type: text/plain\r\n\r\n-----BEGIN PGP SIGNED MESSAGE-----\r\n\r\ntext \r\n",
}


@pytest.mark.parametrize("form", DESKTOP)
def test_what_the_desktop_signed_keeps_its_bytes_even_on_request(core: Core, form: str) -> None:
    core.configure(lambda live: set_up(live, {"domain_key": "rsa", **ALWAYS}))
    assert one(core, mail("x-smsign: yes", body=DESKTOP[form])).wire.endswith(DESKTOP[form])


def _enveloped(core: Core) -> bytes:
    """A mail that was encrypted at the desktop: header fields of the object and its base64."""
    copy = one(core, mail(to="kim@partner.example"), to="kim@partner.example")
    fields = b"".join(re.findall(rb"^Content-[^\r]+(?:\r\n[ \t][^\r]+)*\r\n", copy.wire, re.MULTILINE))
    return fields + b"\r\n" + copy.wire.partition(b"\r\n\r\n")[2]


FRIEND = {"partner": [{"name": "friend.example", "encryption": "opportunistic", "certificates": ["d@friend.example"]}]}


def test_what_is_encrypted_already_is_not_encrypted_twice_for_an_opportunity(core: Core) -> None:
    sealed = _enveloped(core)
    core.configure(lambda live: set_up(live, FRIEND))
    copy = one(core, mail(to="a@friend.example", body=sealed), to="a@friend.example")
    assert copy.protection == "none" and copy.wire.endswith(sealed)
    copy = one(core, mail(to="a@friend.example"), to="a@friend.example")
    assert copy.protection == "smime-domain"


def test_a_mandatory_partner_gets_it_encrypted_whatever_it_is(core: Core) -> None:
    """To whom the desktop encrypted nobody knows, and what calls itself encrypted may be clear text."""
    copy = one(core, mail(to="kim@partner.example", body=_enveloped(core)), to="kim@partner.example")
    assert copy.protection == "smime-domain"


LIES = {
    "no cms": b"Content-Type: application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m\r\n\r\nclear words\r\n",
    "cms at first sight": (
        b"Content-Type: application/pkcs7-mime; smime-type=enveloped-data\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        b"MIAGCSqGSIb3DQEHA6CAclear+words\r\n"
    ),
    "no pgp": (
        b'Content-Type: multipart/encrypted; protocol="application/pgp-encrypted"; boundary=b\r\n\r\n--b\r\n'
        b"Content-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n--b\r\n\r\nclear words\r\n--b--\r\n"
    ),
    "an armor of nothing": (
        b'Content-Type: multipart/encrypted; protocol="application/pgp-encrypted"; boundary=b\r\n\r\n--b\r\n'
        b"Content-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n--b\r\n"
        b"Content-Type: application/octet-stream\r\n\r\n-----BEGIN PGP MESSAGE-----\r\n\r\nclear words\r\n"
        b"-----END PGP MESSAGE-----\r\n--b--\r\n"
    ),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_clear_text_that_calls_itself_encrypted_is_encrypted(core: Core, lie: bytes) -> None:
    core.configure(lambda live: set_up(live, FRIEND))
    copy = one(core, mail(to="a@friend.example", body=lie), to="a@friend.example")
    assert copy.protection == "smime-domain" and b"words" not in copy.wire


def test_internal_encryption_with_a_signature_serves_every_copy(core: Core) -> None:
    core.configure(lambda live: set_up(live, {"domain_key": "rsa", **ASKED}))
    data = mail("X-SM-ORIGTO: bob@acme.example", "x-smsign: yes", to="ime@imepseudodomain.local")
    outcome, copies = core.send(data, "anna@acme.example", ["ime@imepseudodomain.local"])
    assert isinstance(outcome, Accepted), outcome
    assert [copy.copy for copy in copies] == ["recipient", "sent"]
    for copy, reader in zip(copies, ("bob@acme.example", "anna@acme.example"), strict=True):
        clear = decrypt(copy.wire, person(reader))
        assert clear is not None and verify(clear, domain_entity()) is not None


def test_left_out_for_want_of_a_signature_is_reported(core: Core) -> None:
    def act(live: Any) -> None:
        set_up(live, {"managed": {"sign_outgoing": "always"}})
        live.put_policy(Policy(on_unprotectable="report"))

    core.configure(act)
    outcome, copies = core.send(mail(to=f"bob@acme.example, {OUT}"), "anna@acme.example", ["bob@acme.example", OUT])
    assert isinstance(outcome, Accepted)
    assert [copy.recipient for copy in copies] == ["bob@acme.example"]
    events = core.store.registry.events(id=outcome.message_id)
    assert ("refused", "no-sender-certificate") in [(one.event, one.reason) for one in events if one.recipient == OUT]


BOUND: dict[str, Any] = {
    "domain_key": "rsa",
    "personal_keys": ["anna@acme.example"],
    "partner": [
        {
            "name": "bolt.example",
            "encryption": "opportunistic",
            "bound_recipients": True,
            "certificates": ["domain@bolt.example"],
        }
    ],
    **ALWAYS,
}


def bound_content(copy: Delivered) -> bytes:
    clear = decrypt(copy.wire, faulty("domain@bolt.example", ""))
    assert clear is not None
    content = verify(clear, domain_entity())
    assert content is not None, "a bound mail is signed by the domain, not by its author"
    return content


def test_a_bound_partner_gets_the_header_inside_and_a_blind_reader_their_own(core: Core) -> None:
    core.configure(lambda live: set_up(live, BOUND))
    people = ["to@bolt.example", "blind@bolt.example", "other@bolt.example"]
    outcome, copies = core.send(mail("Cc: bob@acme.example", to=people[0]), "anna@acme.example", people)
    assert isinstance(outcome, Accepted)
    contents = {copy.recipient: bound_content(copy) for copy in copies}
    for address, content in contents.items():
        assert b"To: to@bolt.example\r\n" in content and b"Subject: figures\r\n" in content
        others = [other for other in people[1:] if other != address]
        assert not any(other.encode() in content for other in others)
        assert (b"\r\nBcc: " + address.encode() + b"\r\n" in content) is (address != people[0])
        assert b'hp="cipher"' in content
    for copy in copies:
        assert "blind@" not in copy.head and "other@" not in copy.head
    assert len({copy.envelope for copy in copies}) == 3


@pytest.mark.parametrize("choice", ["auto", "aes-256-cbc"])
def test_a_bound_partner_gets_what_nobody_can_take_the_signature_off(core: Core, choice: str) -> None:
    core.configure(lambda live: set_up(live, BOUND))
    core.configure(lambda live: live.put_policy(Policy.model_validate({"content_cipher": choice})))
    copy = one(core, mail(to="to@bolt.example"), to="to@bolt.example")
    assert b"smime-type=authEnveloped-data" in copy.wire and bound_content(copy)


def test_what_the_desktop_signed_is_bound_around(core: Core) -> None:
    core.configure(lambda live: set_up(live, BOUND))
    copy = one(core, mail(to="to@bolt.example", body=DESKTOP["pgp"]), to="to@bolt.example")
    content = bound_content(copy)
    assert b"To: to@bolt.example\r\n" in content
    assert DESKTOP["pgp"].partition(b"\r\n\r\n")[2] in content


def test_without_a_domain_key_nothing_goes_to_a_bound_partner_encrypted_or_clear(core: Core) -> None:
    core.configure(lambda live: set_up(live, {**BOUND, "domain_key": "expired"}))
    refused = refusal(core, mail(to="to@bolt.example"), to="to@bolt.example")
    assert refused.reason is Reason.NO_SENDER_CERTIFICATE and "domain key" in refused.detail


def test_plain_mail_to_a_bound_partner_is_ordinary_mail(core: Core) -> None:
    setup = {**BOUND, "managed": {}, "partner": [{**BOUND["partner"][0], "encryption": "on-request"}]}
    core.configure(lambda live: set_up(live, setup))
    assert one(core, mail(to="to@bolt.example"), to="to@bolt.example").wire.endswith(TEXT)


def test_a_sign_only_certificate_of_the_author_signs(core: Core) -> None:
    entity = make_user("anna@acme.example", root(), ku=key_usage(digital_signature=True))

    def act(live: Any) -> None:
        set_up(live, ALWAYS)
        live.put_certificate(entity.certificate, ("anna@acme.example",), entity.key_der)

    core.configure(act)
    assert verify(one(core, mail()).wire, entity) is not None
