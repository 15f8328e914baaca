"""Does an outgoing mail answer, forward or give back one that came encrypted? Then it must not leave in clear.

A reader sees opened mail like any other, and answers it with the text quoted; a rule forwards it, a mail server
returns it in a report. What was protected on its way here is so on its way back, too (`[policy] reply_to_encrypted`).
"""

import asyncio
from dataclasses import dataclass, field, replace

from ime_gateway.mail.report_cut import cut_report
from ime_gateway.pipeline.prepared import Prepared
from ime_gateway.pipeline.protected_ids import keyed_hash, readable, spoken_of
from ime_gateway.policy.decide import decide
from ime_gateway.policy.facts import Facts
from ime_gateway.policy.plan import Plan
from ime_gateway.ports.incoming import IncomingMemory

_THREAD_BYTES = 131_072
_CUT = "the report is about mail that came encrypted and cannot be encrypted itself: it leaves without what it returned"


@dataclass(frozen=True, slots=True)
class ProtectedAnswers:
    """Asks for what is remembered of mail that was opened here."""

    memory: IncomingMemory
    key: bytes = field(repr=False)
    """Of the keyed hashes of Message-IDs."""

    async def concern(self, prepared: Prepared) -> str:
        """How this mail from inside is recognised as one that speaks of mail that came encrypted: by which Message-ID,
        since anybody may have chosen it, and a mail of ours may have the same; or that it speaks of so many, or is
        built so oddly, that nobody can tell. Empty: it does not. Raises StoreUnavailable."""
        quoted = prepared.sender is None
        message = prepared.message
        if len(message.body) < _THREAD_BYTES:
            names = spoken_of(message, quoted=quoted)
        else:
            names = await asyncio.to_thread(spoken_of, message, quoted=quoted)
        if names is None:
            return "nobody can tell: too many Message-IDs, or not to be read"
        by_hash = {keyed_hash(self.key, name): name for name in names}
        found = await self.memory.came_protected(list(by_hash))
        return f"Message-ID <{readable(min(by_hash[digest] for digest in found))}>" if found else ""


def without_returned_mail(prepared: Prepared, facts: Facts) -> tuple[Prepared, Plan] | None:
    """A mail server's report (`<>`) that gives back mail that came encrypted and cannot be encrypted: the same report
    without the mail, and its plan. None for everything else, and when it may not leave even so."""
    if prepared.sender is not None or not facts.message.answers_protected:
        return None
    cut = cut_report(prepared.message)
    if cut is None:
        return None
    plan = decide(replace(facts, message=replace(facts.message, answers_protected=False)))
    if plan.decision != "deliver":
        return None
    told = tuple(replace(one, detail=_CUT) if one.protection == "none" else one for one in plan.recipients)
    return replace(prepared, message=cut), replace(plan, recipients=told)
