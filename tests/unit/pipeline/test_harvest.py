"""Certificates of signed mail from outside: kept with their origin, in force only where policy and proof allow it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ime_gateway.base.outcome import Accepted
from ime_gateway.ports.directory import TrustEntry
from ime_gateway.settings.site import PartnerDomain, Policy
from tests.core import close
from tests.exchange_world import ACME, Gateway, authority, foreign_mail, make_gateway
from tests.pki import Entity, key_usage, make_ca, make_user

BOB = "bob@partner.example"


@pytest.fixture
def acme(tmp_path: Path) -> Iterator[Gateway]:
    made = make_gateway(tmp_path, ACME)
    yield made
    close(made.core)


def policy(acme: Gateway, harvest: str, *roots: Entity) -> None:
    def act(live: Any) -> None:
        live.put_policy(Policy.model_validate({"harvest": harvest}))
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


def test_domain_certificate_of_a_partner_is_kept_for_the_domain(acme: Gateway) -> None:
    acme.core.configure(lambda live: live.put_partner_domain(PartnerDomain(name="partner.example"), ()))
    theirs = authority("partner.example")
    give(acme, theirs)
    assert [(one.owner, one.kind) for one in acme.candidates()] == [("partner.example", "domain")]
