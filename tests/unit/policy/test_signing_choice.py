"""Whose mail is signed, by which key, and what happens when none can."""

import itertools
from dataclasses import replace

import pytest

from ime_gateway.base.reasons import Reason
from ime_gateway.mail.address import parse_path
from ime_gateway.policy.decide import decide
from ime_gateway.policy.explain import explain
from ime_gateway.policy.facts import Candidate, Facts, MessageFacts, PolicyFacts, RecipientFacts, SigningFacts
from ime_gateway.policy.plan import Plan

POLICY = PolicyFacts(("smime-personal", "smime-domain"), "refuse", "refuse", "encrypt", "auto")
PLAIN = MessageFacts("outgoing", None, False, False, False)
OWN = Candidate("sha256:" + "0" * 64, True, Reason.PERSONAL_CERTIFICATE, "own")
DOMAIN = Candidate("sha256:" + "d" * 64, True, Reason.DOMAIN_CERTIFICATE, "domain")
LATE = Candidate("sha256:" + "e" * 64, False, Reason.CERTIFICATE_EXPIRED, "expired yesterday")
READER = Candidate("sha256:" + "a" * 64, True, Reason.PERSONAL_CERTIFICATE, "reader")
SECOND = Candidate("sha256:" + "b" * 64, True, Reason.PERSONAL_CERTIFICATE, "second")
ARCHIVE = Candidate("sha256:" + "c" * 64, True, Reason.DOMAIN_CERTIFICATE, "archive")


def person(address: str = "kim@partner.example", **changes: object) -> RecipientFacts:
    return replace(RecipientFacts(parse_path(address), "recipient", False, False, "on-request"), **changes)  # type: ignore[arg-type]


def plan(signing: SigningFacts, *people: RecipientFacts, message: MessageFacts = PLAIN, **more: object) -> Plan:
    return decide(Facts(message, POLICY, people or (person(),), signing, **more))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("mode", "asked", "managed", "already"),
    list(itertools.product(("never", "on-request", "always"), (False, True), (False, True), (False, True))),
)
def test_when_mail_is_signed(mode: str, asked: bool, managed: bool, already: bool) -> None:
    signing = SigningFacts(mode, "default", asked, already, personal=(OWN,), domain=(DOMAIN,))  # type: ignore[arg-type]
    made = plan(signing, person(managed=managed))
    if asked and mode == "never" and not already:
        assert (made.decision, made.refusal_reason) == ("refuse", Reason.METHOD_DISABLED)
        return
    signed = not already and (asked or (mode == "always" and not managed))
    assert made.decision == "deliver"
    assert made.recipients[0].signed_by == (OWN.thumbprint if signed else "")


def test_the_first_usable_key_signs_and_else_every_one_is_named() -> None:
    always = SigningFacts("always", "global", personal=(LATE,), domain=(DOMAIN,))
    assert plan(always).recipients[0].signed_by == DOMAIN.thumbprint
    refused = plan(replace(always, domain=()))
    assert (refused.decision, refused.refusal_reason) == ("refuse", Reason.NO_SENDER_CERTIFICATE)
    assert "expired yesterday" in refused.refusal_detail and "(global)" in refused.refusal_detail
    assert "nobody's" in plan(SigningFacts("always", missing="nobody's")).refusal_detail


@pytest.mark.parametrize(("calendar", "signed"), [("pass", False), ("encrypt", True)])
def test_invitations_that_pass_are_not_signed_unasked(calendar: str, signed: bool) -> None:
    facts = Facts(
        replace(PLAIN, calendar=True),
        replace(POLICY, calendar=calendar),  # type: ignore[arg-type]
        (person(),),
        SigningFacts("always", domain=(DOMAIN,)),
    )
    assert bool(decide(facts).recipients[0].signed_by) is signed


def test_incoming_mail_is_never_signed() -> None:
    always = SigningFacts("always", asked=True, domain=(DOMAIN,))
    assert plan(always, message=replace(PLAIN, direction="incoming")).recipients[0].signed_by == ""


def test_who_gets_another_content_gets_another_envelope() -> None:
    people = (
        person("a@x.example", personal=(READER,)),
        person("b@acme.example", personal=(SECOND,), managed=True),
        person("c@bound.example", personal=(READER,), bound=True),
        person("d@bound.example", personal=(READER,), bound=True),
        person("e@bound.example", personal=(READER,), bound=True, blind=True),
    )
    message = replace(PLAIN, wants_encryption=True)
    made = plan(SigningFacts("always", personal=(OWN,), domain=(DOMAIN,)), *people, message=message)
    groups = [one.group for one in made.recipients]
    assert groups[2] == groups[3] and len({groups[0], groups[1], groups[2], groups[4]}) == 4
    assert [one.signed_by for one in made.recipients] == [OWN.thumbprint, "", *[DOMAIN.thumbprint] * 3]
    assert [one.bound for one in made.recipients] == [False, False, True, True, True]


def test_bound_needs_the_domain_key_only_where_it_is_encrypted() -> None:
    bound = person(bound=True, personal=(READER,), partner_encryption="opportunistic")
    refused = plan(SigningFacts(personal=(OWN,)), bound)
    assert (refused.decision, refused.refusal_reason) == ("refuse", Reason.NO_SENDER_CERTIFICATE)
    clear = plan(SigningFacts(), replace(bound, personal=()))
    assert clear.decision == "deliver" and not clear.recipients[0].bound


def test_additional_certificates_go_into_every_encrypted_envelope_and_no_other() -> None:
    people = (person(personal=(READER,), partner_encryption="mandatory"), person("x@y.example"))
    made = plan(SigningFacts(), *people, additional=(ARCHIVE, SECOND))
    assert [one.additional for one in made.recipients] == [(ARCHIVE.thumbprint, SECOND.thumbprint), ()]
    assert made.recipients[0].keys == (READER.thumbprint,)


@pytest.mark.parametrize("mode", ["mandatory", "opportunistic"])
def test_an_additional_certificate_that_cannot_be_used_stops_what_would_be_encrypted(mode: str) -> None:
    """Also where encryption is an opportunity: neither the archive nor the encryption is left away unseen."""
    made = plan(SigningFacts(), person(personal=(READER,), partner_encryption=mode), additional=(ARCHIVE, LATE))
    assert (made.decision, made.refusal_reason) == ("refuse", Reason.CERTIFICATE_EXPIRED)
    assert "additional" in made.refusal_detail and made.recipients[0].keys == ()
    assert plan(SigningFacts(), person(), additional=(LATE,)).decision == "deliver"


def test_gcm_only_when_the_archive_reads_it_too() -> None:
    reader = replace(READER, reads_gcm=True)
    one = person(personal=(reader,), partner_encryption="mandatory")
    assert plan(SigningFacts(), one).recipients[0].cipher == "aes-256-gcm"
    assert plan(SigningFacts(), one, additional=(ARCHIVE,)).recipients[0].cipher == "aes-256-cbc"
    both = plan(SigningFacts(), one, additional=(replace(ARCHIVE, reads_gcm=True),))
    assert both.recipients[0].cipher == "aes-256-gcm"


def test_every_candidate_is_told_with_its_reason() -> None:
    domain = replace(DOMAIN, selected_by="inherited")
    one = person(personal=(LATE, READER, SECOND), domain=(domain, LATE), partner_encryption="mandatory")
    told = explain("outgoing", None, plan(SigningFacts(), one, additional=(ARCHIVE,)), None, hide_subject=False)
    (line,) = told["recipients"]
    assert [(each["key"], each["usable"], each["selected_by"]) for each in line["candidates"]] == [
        (LATE.thumbprint, False, "automatic"),
        (READER.thumbprint, True, "automatic"),
        (SECOND.thumbprint, True, "automatic"),
        (domain.thumbprint, True, "inherited"),
        (LATE.thumbprint, False, "automatic"),
    ]
    assert (line["key"], line["additional"], line["signed_by"]) == (READER.thumbprint, [ARCHIVE.thumbprint], None)
    assert [(each["protection"], each["reason"]) for each in line["not_taken"]] == [
        ("smime-personal", "certificate-expired"),
        ("smime-personal", "personal-certificate"),
        ("smime-domain", "personal-certificate"),
        ("smime-domain", "certificate-expired"),
    ]
    assert "comes first" in line["not_taken"][1]["detail"] and "second" in line["not_taken"][1]["detail"]


@pytest.mark.parametrize("mode", [None, "on-request", "opportunistic", "never"])
def test_what_answers_protected_mail_outside_must_be_encrypted(mode: str | None) -> None:
    message = replace(PLAIN, answers_protected=True, wants_plain=True)
    outside = person(partner_encryption=mode, personal=(READER,))
    made = plan(SigningFacts(), outside, message=message)
    if mode == "never":
        assert made.refusal_reason is Reason.METHOD_DISABLED
    else:
        assert made.recipients[0].reason is Reason.PLAIN_OVERRULED
    assert plan(SigningFacts(), replace(outside, managed=True, partner_encryption=None), message=message).recipients[
        0
    ].protection == ("none")


def test_what_its_sender_encrypted_is_left_alone_only_where_nothing_must_be() -> None:
    sealed = replace(PLAIN, sealed_already=True)
    for mode, protection in (("opportunistic", "none"), ("mandatory", "smime-personal"), ("on-request", "none")):
        made = plan(SigningFacts(), person(partner_encryption=mode, personal=(READER,)), message=sealed)
        assert made.recipients[0].protection == protection
    asked = replace(sealed, wants_encryption=True)
    assert plan(SigningFacts(), person(personal=(READER,)), message=asked).recipients[0].protection == "smime-personal"
