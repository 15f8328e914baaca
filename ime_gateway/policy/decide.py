"""From facts to the plan: what each recipient gets, and why (P1, P4).

Pure and total: every recipient ends in exactly one of protected, plain because nothing asks for
more, or not served. A message with a recipient who cannot be served is refused as a whole unless
policy says `report`, so that nobody believes a half-sent mail was sent.
"""

from dataclasses import replace
from typing import Literal

from ime_gateway.base.reasons import Reason
from ime_gateway.policy.facts import Facts, MessageFacts, PolicyFacts, RecipientFacts
from ime_gateway.policy.hierarchy import Choice, choose
from ime_gateway.policy.plan import Cipher, NotTaken, Plan, RecipientPlan
from ime_gateway.policy.signing import Unsignable, signature_for

Demand = Literal["must", "may", "plain"]


def decide(facts: Facts) -> Plan:
    """Make the plan for one message. Never raises for any combination of facts."""
    if facts.message.unavailable:
        return Plan("refuse", (), None, Reason.METHOD_NOT_AVAILABLE, facts.message.unavailable)
    plans = [_plan_recipient(recipient, facts) for recipient in facts.recipients]
    served = [plan for plan in plans if plan.protection is not None]
    left_out = [plan for plan in plans if plan.protection is None]
    blocking = next((plan for plan in left_out if _blocks(plan, facts.policy)), None)
    if blocking is None and not any(plan.copy == "recipient" for plan in served):
        blocking = left_out[0] if left_out else None
        if blocking is None:
            return Plan("refuse", (), None, Reason.IME_NO_RECIPIENTS, "no recipient is left")
    grouped = _group(plans, facts)
    if blocking is not None:
        return Plan("refuse", grouped, blocking, blocking.reason, blocking.detail)
    return Plan("deliver", grouped)


def _blocks(plan: RecipientPlan, policy: PolicyFacts) -> bool:
    if plan.copy == "sent":
        return policy.sent_copy_without_key == "refuse"
    return policy.on_unprotectable == "refuse"


def demand(recipient: RecipientFacts, message: MessageFacts, policy: PolicyFacts) -> Demand:
    """Must, may or shall this recipient's mail not be encrypted?

    Internal mail encryption and a mandatory partner always must, and what answers protected mail outside must, too;
    nothing that a sender or an invitation says beats them. Otherwise a wish for encryption beats one for plain mail:
    of two contradicting wishes the safer one wins (design 6.4). What its sender encrypted already needs no second
    envelope where encryption is only an opportunity.
    """
    if message.ime is not None:
        return "must"
    if message.direction == "incoming":
        return "plain"
    if message.answers_protected and not recipient.managed:
        return "must"
    if recipient.partner_encryption == "mandatory":
        return "must"
    if message.wants_encryption:
        return "plain" if message.calendar and policy.calendar == "pass" else "must"
    if recipient.partner_encryption == "opportunistic" and not message.wants_plain and not message.sealed_already:
        return "plain" if message.calendar and policy.calendar != "encrypt" else "may"
    return "plain"


def _plan_recipient(recipient: RecipientFacts, facts: Facts) -> RecipientPlan:
    plan = _protection(recipient, facts)
    if plan.protection is None:
        return plan
    encrypted = plan.protection != "none"
    if encrypted:
        plan = _with_additional(plan, facts)
        if plan.protection is None:
            return plan
    signer = signature_for(recipient, facts, encrypted=encrypted)
    if signer is None:
        return plan
    if isinstance(signer, Unsignable):
        return replace(plan, protection=None, reason=signer.reason, detail=signer.detail, keys=(), additional=())
    return replace(plan, signed_by=signer.thumbprint, bound=recipient.bound and encrypted)


def _protection(recipient: RecipientFacts, facts: Facts) -> RecipientPlan:
    message, policy = facts.message, facts.policy
    blank = RecipientPlan(
        *(recipient.address, recipient.copy, recipient.blind, 0, None, Reason.NOT_REQUIRED, _NOTHING_ASKS),
        version=recipient.version,
    )
    if recipient.arrived is not None:
        reason, detail = recipient.arrived
        blank = replace(blank, reason=reason, detail=detail)
    wanted = demand(recipient, message, policy)
    if wanted == "plain":
        if message.sealed_already and recipient.partner_encryption == "opportunistic":
            blank = replace(blank, detail="its sender encrypted it already")
        return replace(blank, protection="none", not_taken=_not_wanted(policy))
    if wanted == "must" and message.calendar and policy.calendar == "refuse":
        return replace(blank, reason=Reason.METHOD_DISABLED, detail="invitations are refused by [policy] calendar")
    if recipient.partner_encryption == "never":
        origin = f" ({recipient.mode_origin})" if recipient.mode_origin else ""
        detail = _because(f'encryption = "never" for this recipient{origin}', recipient, message)
        return replace(blank, reason=Reason.METHOD_DISABLED, detail=detail)
    choice = choose(recipient, policy.hierarchy)
    if choice.candidate is not None:
        return _protected(blank, choice, overruled=message.wants_plain)
    blank = replace(blank, not_taken=choice.not_taken, considered=choice.considered)
    unanswered = next((one for one in recipient.personal if one.reason is Reason.LOOKUP_TIMEOUT), None)
    if unanswered is not None:  # a directory that is down must not decide that mail leaves in clear
        return replace(blank, reason=unanswered.reason, detail=unanswered.detail)
    if wanted == "may":
        return replace(blank, protection="none", detail=f"it may be encrypted, but cannot: {choice.detail}")
    reason = choice.reason
    if recipient.copy == "sent" and reason is Reason.NO_CERTIFICATE:
        reason = Reason.NO_SENDER_CERTIFICATE
    return replace(blank, reason=reason, detail=_because(choice.detail, recipient, message))


def _because(detail: str, recipient: RecipientFacts, message: MessageFacts) -> str:
    """The detail of a refusal, with its cause where the sender cannot know it: nothing in the mail asks for it."""
    if message.answers_protected and not recipient.managed:
        how = f" ({message.recognised_by})" if message.recognised_by else ""
        return f"the mail answers or returns one that came encrypted{how}, so it must be encrypted too: {detail}"
    return detail


def _with_additional(plan: RecipientPlan, facts: Facts) -> RecipientPlan:
    """The plan with the certificates of `[policy] additional_certificates`; without protection when one of them
    cannot be used. What an archive is owed cannot be made up for later, and leaving the encryption away instead
    would be worse; so such mail waits for the administrator, who was warned long before (`admin/expiry`)."""
    if not facts.additional:
        return plan
    unusable = next((one for one in facts.additional if not one.usable), None)
    if unusable is not None:
        detail = f"an additional certificate of [policy] cannot be used: {unusable.detail}"
        return replace(plan, protection=None, reason=unusable.reason, detail=detail, keys=())
    return replace(plan, additional=tuple(one.thumbprint for one in facts.additional))


_NOTHING_ASKS = "neither policy nor sender asks for encryption"


def _not_wanted(policy: PolicyFacts) -> tuple[NotTaken, ...]:
    return tuple(NotTaken(method, Reason.NOT_REQUIRED, _NOTHING_ASKS) for method in policy.hierarchy)


def _protected(blank: RecipientPlan, choice: Choice, *, overruled: bool) -> RecipientPlan:
    assert choice.candidate is not None and choice.method is not None
    return replace(
        blank,
        protection=choice.method,
        reason=Reason.PLAIN_OVERRULED if overruled else choice.reason,
        detail=choice.detail,
        keys=(choice.candidate.thumbprint,),
        oaep=choice.candidate.reads_oaep,
        not_taken=choice.not_taken,
        considered=choice.considered,
    )


def _group(plans: list[RecipientPlan], facts: Facts) -> tuple[RecipientPlan, ...]:
    """Number the envelopes: the visible share one, each blind recipient and the sent copy get
    their own, because a CMS envelope names its readers (RFC 5652 section 6.2) and P6 forbids that.
    Plain mail names nobody, so all its recipients share one. Whoever gets other content (opened, signed,
    with its recipients inside) gets another envelope."""
    numbers: dict[tuple[object, ...], int] = {}
    envelopes = [numbers.setdefault(_envelope(plan), len(numbers) + 1) for plan in plans]
    gcm = _read_by_all(plans, envelopes, facts)
    return tuple(
        replace(plan, group=number, cipher=_cipher(plan, facts, read_by_all=number in gcm))
        for plan, number in zip(plans, envelopes, strict=True)
    )


def _envelope(plan: RecipientPlan) -> tuple[object, ...]:
    """What two recipients must have in common to share an envelope."""
    kind = "plain" if plan.protection == "none" else "unserved" if plan.protection is None else "smime"
    alone = kind == "smime" and (plan.blind or plan.copy == "sent")
    return kind, f"{plan.copy} {plan.address.key}" if alone else "", plan.signed_by, plan.bound, plan.version


def _cipher(plan: RecipientPlan, facts: Facts, *, read_by_all: bool) -> Cipher | None:
    """AES-256-CBC unless every reader of the envelope is known to read GCM: Outlook's classic
    versions cannot (RFC 8551 section 2.7 leaves the choice to known capabilities). A partner's gateway that binds
    recipients always reads GCM."""
    if not plan.keys:
        return None
    if plan.bound:
        return "aes-256-gcm"  # in CBC the signature that binds the content could be cut off unnoticed
    choice = facts.policy.content_cipher
    if choice != "auto":
        return choice
    return "aes-256-gcm" if read_by_all else "aes-256-cbc"


def _read_by_all(plans: list[RecipientPlan], envelopes: list[int], facts: Facts) -> set[int]:
    """The envelopes in which each reader reads GCM. One certificate may be that of several people (a shared
    mailbox), of whom each has programs of their own: so people are asked, not certificates."""
    archived = all(one.reads_gcm for one in facts.additional)
    everybody: dict[int, bool] = {}
    for plan, number, recipient in zip(plans, envelopes, facts.recipients, strict=True):
        used = [one for one in (*recipient.personal, *recipient.domain) if one.thumbprint in plan.keys]
        everybody[number] = everybody.get(number, archived) and all(one.reads_gcm for one in used)
    return {number for number, reads_all in everybody.items() if reads_all}
