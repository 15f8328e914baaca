"""Certificates of signed mail from outside: kept with their origin, in force only where policy and proof allow it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ime_gateway.base.outcome import Accepted
from ime_gateway.base.reasons import Reason
from ime_gateway.keys.signer import IdentityVerdict, PathVerdict
from ime_gateway.keys.usable import Verdict
from ime_gateway.mail.address import parse_path
from ime_gateway.pipeline.harvest import harvest
from ime_gateway.pipeline.signature_verdicts import FoundSignature
from ime_gateway.ports.directory import SiteView, TrustEntry
from ime_gateway.settings.site import PartnerDomain, Policy
from ime_gateway.smime.signature_report import SignatureFault, SignerVerdict
from tests.core import close
from tests.exchange_world import ACME, Gateway, authority, foreign_mail, make_gateway
from tests.pki import Entity, key_usage, make_ca, make_user

BOB = "bob@partner.example"


@pytest.fixture
def acme(tmp_path: Path) -> Iterator[Gateway]:
    made = make_gateway(tmp_path, ACME)
    yield made
    close(made.core)


def policy(acme: Gateway, mode: str, *roots: Entity) -> None:
    def act(live: Any) -> None:
        live.put_policy(Policy.model_validate({"harvest": mode}))
        for root in roots:
            live.put_root(root.certificate)

    acme.core.configure(act)


def give(acme: Gateway, signer: Entity, author: str = BOB, **options: Any) -> None:
    mail = foreign_mail(signer, author, "anna@acme.example", **options)
    outcome, delivered = acme.core.send(mail, author, ["anna@acme.example"], "internet")
    assert isinstance(outcome, Accepted)
    assert [one.recipient for one in delivered] == ["anna@acme.example"], "harvesting holds no mail up"


def in_force(acme: Gateway, address: str = BOB) -> list[Any]:
    return [one.certificate for one in acme.look(lambda live: live.certificates(address=address))]


def generation(acme: Gateway) -> int:
    return int(acme.look(lambda live: live.view().generation))


@pytest.mark.parametrize("encrypted", [False, True])
def test_unknown_signer_waits(acme: Gateway, encrypted: bool) -> None:
    bob = make_user(BOB)
    give(acme, bob, reader=acme.key if encrypted else None)
    [candidate] = acme.candidates()
    assert (candidate.owner, candidate.kind, candidate.origin, candidate.sender) == (BOB, "person", "harvested", BOB)
    assert candidate.certificate == bob.certificate
    assert candidate.evidence.startswith("signed with it")
    assert in_force(acme) == []


def test_nothing_is_kept_when_policy_is_off(acme: Gateway) -> None:
    policy(acme, "off")
    give(acme, make_user(BOB))
    assert acme.candidates("") == []


def test_automatic_takes_what_leads_to_a_root(acme: Gateway) -> None:
    root = make_ca()
    policy(acme, "automatic", root)
    bob, before = make_user(BOB, root), generation(acme)
    give(acme, bob)
    assert in_force(acme) == [bob.certificate]
    assert [one.state for one in acme.candidates("")] == ["approved"]
    assert generation(acme) > before, "workers must see it"
    give(acme, bob)
    assert generation(acme) == before + 1, "known certificates change nothing"


def test_automatic_never_joins_or_replaces_what_is_in_force(acme: Gateway) -> None:
    """Threat 66: whoever gets a certificate for Bob from another CA must not read Bob's mail."""
    root = make_ca()
    policy(acme, "automatic", root)
    known, poison = make_user(BOB, root), make_user(BOB, root)
    acme.core.configure(lambda live: live.put_certificate(known.certificate, (BOB,), None))
    give(acme, poison)
    assert in_force(acme) == [known.certificate]
    assert [one.certificate for one in acme.candidates()] == [poison.certificate]


@pytest.mark.parametrize("name", ["partner.example", "*.example"])
def test_automatic_takes_nobody_out_of_the_certificate_of_his_domain(acme: Gateway, name: str) -> None:
    """Whoever gets a certificate for Bob from a public CA, by one look into his mailbox, would else take the place of
    the one that was compared by telephone."""
    root = make_ca()
    policy(acme, "automatic", root)
    theirs, bob = authority("partner.example", issuer=root), make_user(BOB, root)
    partner = PartnerDomain(name=name, encryption="mandatory")
    acme.core.configure(lambda live: live.put_partner_domain(partner, [theirs.certificate]))
    give(acme, bob)
    assert in_force(acme) == []
    assert [one.certificate for one in acme.candidates()] == [bob.certificate], "a person may take it"
    mail = f"From: anna@acme.example\nTo: {BOB}\n\nhi\n".encode()
    outcome, [copy] = acme.core.send(mail, "anna@acme.example", [BOB])
    assert isinstance(outcome, Accepted) and copy.protection == "smime-domain"


def test_automatic_does_not_take_self_signed_ones(acme: Gateway) -> None:
    policy(acme, "automatic")
    give(acme, make_user(BOB))
    assert in_force(acme) == []
    assert len(acme.candidates()) == 1


@pytest.mark.parametrize("leads", [False, True])
def test_automatic_wants_a_path_whatever_the_trust_list_allows(acme: Gateway, leads: bool) -> None:
    root = make_ca()
    policy(acme, "automatic", root)
    bob = make_user(BOB, root if leads else None)
    acme.core.configure(lambda live: live.put_trust(TrustEntry(bob.certificate.thumbprint, "allow")))
    give(acme, bob)
    assert in_force(acme) == ([bob.certificate] if leads else [])
    assert [one.state for one in acme.candidates("")] == ["approved" if leads else "pending"]


@pytest.mark.parametrize(
    "case", ["other author", "expired", "denied", "ours", "for signing only", "changed", "attachment only"]
)
def test_what_proves_nothing_is_not_kept(acme: Gateway, case: str) -> None:
    signer, author, options = make_user(BOB), BOB, {}
    match case:
        case "other author":
            author = "eve@partner.example"
        case "expired":
            signer = make_user(BOB, expired=True)
        case "denied":
            acme.core.configure(lambda live: live.put_trust(TrustEntry(signer.certificate.thumbprint, "deny")))
        case "ours":
            signer, author = make_user("carol@acme.example"), "carol@acme.example"
        case "for signing only":
            signer = make_user(BOB, ku=key_usage(digital_signature=True))
    mail = foreign_mail(signer, author, "anna@acme.example", **options)
    if case == "changed":
        mail = mail.replace(b"Our certificate", b"My certificate", 1)
    if case == "attachment only":
        at = mail.index(b"MIME-Version")
        part = mail[at:].replace(b"MIME-Version: 1.0\n", b"")
        mail = mail[:at] + b'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="b"\n\n--b\n\nforged\n--b\n'
        mail += part + b"\n--b--\n"
    outcome, _ = acme.core.send(mail, author, ["anna@acme.example"], "internet")
    assert isinstance(outcome, Accepted)
    assert acme.candidates("") == []


def preferring(signer: Entity, preferred: Entity) -> FoundSignature:
    """A good signature whose signer asks for another of his certificates (RFC 8551 section 2.5.3)."""
    own = signer.certificate
    told = SignerVerdict(
        *(True, SignatureFault.NONE, own, None, "sha256", b"d", True, own.key_digest, None),
        preferred.certificate,
    )
    trusted = Verdict(True, Reason.PERSONAL_CERTIFICATE, "trusted by root CN=x", 0.0)
    found = FoundSignature(
        *(1, told, "mail", PathVerdict(True, ""), trusted, IdentityVerdict(True, ""), "person", ()), by_root=True
    )
    assert found.good
    return found


def test_what_a_signer_only_prefers_waits() -> None:
    """Nobody has judged it: automatic is for the certificate that signed."""
    bob, wanted = make_user(BOB), make_user(BOB)
    view = SiteView(1, Policy(harvest="automatic"), {}, {})
    kept = harvest([preferring(bob, wanted)], parse_path(BOB), view, sender=None, message_id="<1@x>", moment=1.0)
    states = {one.certificate: one.state for one in kept}
    assert states == {bob.certificate: "approved", wanted.certificate: "pending"}
    assert [one.evidence.split(";")[0] for one in kept][1] == f"preferred by signer {bob.certificate.thumbprint}"


def test_one_mail_brings_few() -> None:
    found = [preferring(make_user(BOB), make_user(BOB)) for _ in range(3)]
    view = SiteView(1, Policy(), {}, {})
    assert len(harvest(found, parse_path(BOB), view, sender=None, message_id="", moment=1.0)) == 3


def test_limits_count_by_the_envelope(acme: Gateway) -> None:
    mail = foreign_mail(make_user(BOB), BOB, "anna@acme.example")
    acme.core.send(mail, "bounces@lists.example", ["anna@acme.example"], "internet")
    assert [(one.owner, one.sender) for one in acme.candidates()] == [(BOB, "bounces@lists.example")]


def test_of_two_authors_nothing_is_kept(acme: Gateway) -> None:
    """Whose the certificate is meant to be, nobody can tell."""
    mail = foreign_mail(make_user(BOB, dn_addresses=["eve@partner.example"]), BOB, "anna@acme.example")
    mail = mail.replace(b"From: <", b"Sender: <" + BOB.encode() + b">\nFrom: <eve@partner.example>, <", 1)
    assert isinstance(acme.core.send(mail, BOB, ["anna@acme.example"], "internet")[0], Accepted)
    assert acme.candidates("") == []


def test_domain_certificate_in_force_is_no_candidate(acme: Gateway) -> None:
    """Else each of its mails would bring one, once the first is decided."""
    theirs = authority("partner.example")
    partner = PartnerDomain(name="partner.example")
    acme.core.configure(lambda live: live.put_partner_domain(partner, (theirs.certificate,)))
    give(acme, theirs)
    assert acme.candidates("") == []


def test_domain_certificate_of_a_partner_is_kept_for_the_domain(acme: Gateway) -> None:
    acme.core.configure(lambda live: live.put_partner_domain(PartnerDomain(name="partner.example"), ()))
    theirs = authority("partner.example")
    give(acme, theirs)
    assert [(one.owner, one.kind) for one in acme.candidates()] == [("partner.example", "domain")]
