"""Incoming recipients: why each gets what they get, and who shares an envelope."""

from dataclasses import replace

from ime_gateway.base.reasons import Reason
from ime_gateway.mail.address import parse_path
from ime_gateway.policy.decide import decide
from ime_gateway.policy.facts import Facts, MessageFacts, PolicyFacts, RecipientFacts

POLICY = PolicyFacts(("smime-personal", "smime-domain"), "refuse", "refuse", "encrypt", "auto")
INCOMING = MessageFacts("incoming", None, False, False, False)


def person(name: str, **changes: object) -> RecipientFacts:
    blank = RecipientFacts(parse_path(f"{name}@acme.example"), "recipient", False, True, None)
    return replace(blank, **changes)  # type: ignore[arg-type]


def test_recipients_of_one_version_share_an_envelope() -> None:
    opened = {"version": 1, "arrived": (Reason.DECRYPTED, "with a key")}
    people = (
        person("anna", **opened),
        person("bob"),
        person("carol", version=2, arrived=(Reason.CIPHERTEXT_REUSED, "of others")),
        person("dora", blind=True, **opened),
        person("emil", arrived=(Reason.NOT_REQUIRED, "sealed")),
    )
    plan = decide(Facts(INCOMING, POLICY, people))
    assert plan.decision == "deliver"
    groups = [one.group for one in plan.recipients]
    assert groups == [1, 2, 3, 1, 2]
    assert [(one.reason, one.detail) for one in plan.recipients if one.group != 2] == [
        (Reason.DECRYPTED, "with a key"),
        (Reason.CIPHERTEXT_REUSED, "of others"),
        (Reason.DECRYPTED, "with a key"),
    ]
    assert all(one.protection == "none" and not one.keys for one in plan.recipients)
    assert (plan.recipients[4].reason, plan.recipients[4].detail) == (Reason.NOT_REQUIRED, "sealed")
