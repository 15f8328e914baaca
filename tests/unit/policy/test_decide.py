"""The plan for every combination of facts: who must be protected, by what, and who stands in the way."""

import itertools
from dataclasses import replace

import pytest

from ime_gateway.base.reasons import Reason
from ime_gateway.mail.address import parse_path
from ime_gateway.policy.decide import decide
from ime_gateway.policy.facts import Candidate, Facts, MessageFacts, PolicyFacts, RecipientFacts

POLICY = PolicyFacts(("smime-personal", "smime-domain"), "refuse", "refuse", "encrypt", "auto")
PLAIN = MessageFacts("outgoing", None, False, False, False)
IME = MessageFacts("internal", "1.0", False, False, False)
GOOD = Candidate("sha256:" + "a" * 64, True, Reason.PERSONAL_CERTIFICATE, "good")
DOMAIN = Candidate("sha256:" + "d" * 64, True, Reason.DOMAIN_CERTIFICATE, "domain")
EXPIRED = Candidate("sha256:" + "e" * 64, False, Reason.CERTIFICATE_EXPIRED, "expired yesterday")


def person(address: str = "bob@partner.example", **changes: object) -> RecipientFacts:
    return replace(RecipientFacts(parse_path(address), "recipient", False, False, None), **changes)  # type: ignore[arg-type]


def one(message: MessageFacts, recipient: RecipientFacts, policy: PolicyFacts = POLICY):  # type: ignore[no-untyped-def]
    return decide(Facts(message, policy, (recipient,)))


@pytest.mark.parametrize(
    ("mode", "wants_encryption", "wants_plain", "direction", "protected"),
    [
        (mode, encryption, plain, direction, _protected)
        for mode, encryption, plain, direction in itertools.product(
            (None, "mandatory", "on-request", "opportunistic", "never"),
            (False, True),
            (False, True),
            ("outgoing", "incoming"),
        )
        for _protected in [
            direction == "outgoing"
            and (mode == "mandatory" or (encryption and mode != "never") or (mode == "opportunistic" and not plain))
        ]
    ],
)
def test_when_mail_with_a_good_certificate_is_protected(
    mode: str | None, wants_encryption: bool, wants_plain: bool, direction: str, protected: bool
) -> None:
    message = replace(PLAIN, wants_encryption=wants_encryption, wants_plain=wants_plain, direction=direction)  # type: ignore[arg-type]
    plan = one(message, person(partner_encryption=mode, personal=(GOOD,)))
    if mode == "never" and wants_encryption and direction == "outgoing":
        assert (plan.decision, plan.refusal_reason) == ("refuse", Reason.METHOD_DISABLED)
        return
    assert plan.decision == "deliver"
    assert (plan.recipients[0].protection == "smime-personal") is protected
    if protected:
        assert plan.recipients[0].reason is (Reason.PLAIN_OVERRULED if wants_plain else Reason.PERSONAL_CERTIFICATE)
        assert plan.recipients[0].keys == (GOOD.thumbprint,)
    else:
        assert (plan.recipients[0].protection, plan.recipients[0].keys) == ("none", ())


@pytest.mark.parametrize("message", [IME, replace(IME, wants_plain=True), replace(PLAIN, wants_encryption=True)])
def test_who_must_be_protected_and_cannot_be_refuses_the_message(message: MessageFacts) -> None:
    plan = one(message, person(managed=True))
    assert (plan.decision, plan.refusal_reason) == ("refuse", Reason.NO_CERTIFICATE)
    assert plan.refusal is not None and str(plan.refusal.address) == "bob@partner.example"


def test_mandatory_partner_without_key_refuses_even_opportunities() -> None:
    assert one(PLAIN, person(partner_encryption="mandatory")).decision == "refuse"
    assert one(PLAIN, person(partner_encryption="opportunistic")).recipients[0].protection == "none"


def test_the_reason_that_can_be_mended_speaks() -> None:
    plan = one(IME, person(personal=(EXPIRED,)))
    assert (plan.refusal_reason, plan.refusal_detail) == (Reason.CERTIFICATE_EXPIRED, "expired yesterday")


def test_domain_certificate_stands_in_and_says_why() -> None:
    recipient = one(IME, person(personal=(EXPIRED,), domain=(DOMAIN,))).recipients[0]
    assert (recipient.protection, recipient.reason) == ("smime-domain", Reason.DOMAIN_CERTIFICATE)
    assert [(entry.protection, entry.reason) for entry in recipient.not_taken] == [
        ("smime-personal", Reason.CERTIFICATE_EXPIRED)
    ]


def test_hierarchy_order_and_switched_off_methods() -> None:
    both = person(personal=(GOOD,), domain=(DOMAIN,))
    assert one(IME, both).recipients[0].protection == "smime-personal"
    turned = replace(POLICY, hierarchy=("smime-domain", "smime-personal"))
    assert one(IME, both, turned).recipients[0].protection == "smime-domain"
    only_domain = one(IME, person(personal=(GOOD,)), replace(POLICY, hierarchy=("smime-domain",)))
    assert only_domain.decision == "refuse"
    assert ("smime-personal", Reason.METHOD_DISABLED) in [
        (entry.protection, entry.reason) for entry in only_domain.recipients[0].not_taken
    ]
    nothing = one(IME, person(personal=(GOOD,)), replace(POLICY, hierarchy=()))
    assert nothing.refusal_reason is Reason.METHOD_DISABLED


def test_first_usable_candidate_is_taken() -> None:
    assert one(IME, person(personal=(EXPIRED, GOOD))).recipients[0].keys == (GOOD.thumbprint,)


def test_visible_recipients_share_an_envelope_blind_and_sent_do_not() -> None:
    people = (
        person("a@x.example", personal=(GOOD,)),
        person("b@x.example", personal=(GOOD,)),
        person("c@x.example", personal=(GOOD,), blind=True),
        person("d@x.example", personal=(GOOD,), blind=True),
        person("me@x.example", personal=(GOOD,), copy="sent", blind=True),
    )
    groups = [plan.group for plan in decide(Facts(IME, POLICY, people)).recipients]
    assert groups[0] == groups[1]
    assert len({groups[0], *groups[2:]}) == 4


def test_plain_and_protected_recipients_never_share_an_envelope() -> None:
    people = (person("a@x.example", personal=(GOOD,), partner_encryption="mandatory"), person("b@y.example"))
    plan = decide(Facts(PLAIN, POLICY, people))
    assert plan.recipients[0].group != plan.recipients[1].group
    assert [recipient.protection for recipient in plan.recipients] == ["smime-personal", "none"]


def test_sender_who_is_also_recipient_gets_two_envelopes() -> None:
    people = (
        person("me@x.example", personal=(GOOD,)),
        person("me@x.example", personal=(GOOD,), copy="sent", blind=True),
    )
    groups = [plan.group for plan in decide(Facts(IME, POLICY, people)).recipients]
    assert groups[0] != groups[1]


@pytest.mark.parametrize(("rule", "decision"), [("refuse", "refuse"), ("omit", "deliver")])
def test_sent_copy_without_key(rule: str, decision: str) -> None:
    people = (person("a@x.example", personal=(GOOD,)), person("me@x.example", copy="sent", blind=True))
    policy = replace(POLICY, sent_copy_without_key=rule)  # type: ignore[arg-type]
    plan = decide(Facts(IME, policy, people))
    assert plan.decision == decision
    assert (plan.recipients[1].protection, plan.recipients[1].reason) == (None, Reason.NO_SENDER_CERTIFICATE)


def test_report_serves_the_others_but_never_nobody() -> None:
    policy = replace(POLICY, on_unprotectable="report")
    served = decide(Facts(IME, policy, (person("a@x.example", personal=(GOOD,)), person("b@x.example"))))
    assert served.decision == "deliver"
    assert [recipient.protection for recipient in served.recipients] == ["smime-personal", None]
    nobody = decide(Facts(IME, policy, (person("b@x.example"), person("me@x.example", copy="sent", personal=(GOOD,)))))
    assert nobody.decision == "refuse"


def test_what_this_version_cannot_do_is_refused() -> None:
    plan = one(replace(PLAIN, unavailable="no signing here"), person())
    assert (plan.decision, plan.refusal_reason) == ("refuse", Reason.METHOD_NOT_AVAILABLE)


@pytest.mark.parametrize(
    ("calendar", "mode", "wants", "outcome"),
    [
        ("encrypt", "mandatory", False, "smime-personal"),
        ("pass", "mandatory", False, "smime-personal"),
        ("refuse", "mandatory", False, "refuse"),
        ("encrypt", None, True, "smime-personal"),
        ("pass", None, True, "none"),
        ("refuse", None, True, "refuse"),
        ("encrypt", "opportunistic", False, "smime-personal"),
        ("pass", "opportunistic", False, "none"),
        ("refuse", "opportunistic", False, "none"),
        ("refuse", None, False, "none"),
    ],
)
def test_invitations(calendar: str, mode: str | None, wants: bool, outcome: str) -> None:
    message = replace(PLAIN, calendar=True, wants_encryption=wants)
    policy = replace(POLICY, calendar=calendar)  # type: ignore[arg-type]
    plan = one(message, person(personal=(GOOD,), partner_encryption=mode), policy)
    assert (plan.recipients[0].protection if plan.decision == "deliver" else "refuse") == outcome


@pytest.mark.parametrize(
    ("choice", "first", "second", "cipher"),
    [
        ("auto", True, True, "aes-256-gcm"),
        ("auto", True, False, "aes-256-cbc"),
        ("auto", False, False, "aes-256-cbc"),
        ("aes-256-gcm", False, False, "aes-256-gcm"),
        ("aes-256-cbc", True, True, "aes-256-cbc"),
    ],
)
def test_gcm_only_when_every_reader_of_the_envelope_reads_it(
    choice: str, first: bool, second: bool, cipher: str
) -> None:
    people = (
        person("a@x.example", personal=(replace(GOOD, reads_gcm=first),)),
        person("b@x.example", personal=(replace(GOOD, thumbprint="sha256:" + "b" * 64, reads_gcm=second),)),
    )
    plan = decide(Facts(IME, replace(POLICY, content_cipher=choice), people))  # type: ignore[arg-type]
    assert {recipient.cipher for recipient in plan.recipients} == {cipher}


def test_no_recipients_at_all_is_a_refusal() -> None:
    assert decide(Facts(PLAIN, POLICY, ())).decision == "refuse"
