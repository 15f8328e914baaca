"""What a node does now and every hour: forget what has had its time, and say aloud what will soon refuse mail.

An IME key that expires refuses every container of a domain, and nobody looks at pages while mail flows: so it
stands in the log, again and again, with the command that mends it.
"""

from collections.abc import Awaitable, Callable

import structlog

from ime_gateway.admin.announce_desk import AnnounceDesk
from ime_gateway.admin.domain_keys import withdrawn_key_notes
from ime_gateway.admin.ime_notes import standing_notes
from ime_gateway.admin.judging import anchors_in
from ime_gateway.admin.notice_desk import NoticeDesk
from ime_gateway.admin.revocation_lists import renew_due_lists
from ime_gateway.admin.waiting_certificates import announced_and_waiting, waiting_note
from ime_gateway.base.errors import GatewayError
from ime_gateway.store.database import Store

_ACTOR = "housekeeping"

log = structlog.get_logger("housekeeping")


def keep_house(store: Store, moment: float) -> None:
    """Once; `moment` is now, in seconds since 1970 UTC. Raises StoreUnavailable."""
    for domain in store.tidy(moment):
        log.info("private key of an older IME certificate erased, its overlap is over", domain=domain)
    with store.registry.transaction(write=False) as live:
        notes = standing_notes(live, moment)
        view, keys = live.view(), live.domain_keys.list()
        anchors = anchors_in(live, view, mail_will_ask=True)
        waiting = announced_and_waiting(live)
        withdrawn = {name: withdrawn_key_notes(name, keys, anchors, moment) for name in sorted(view.managed)}
    for domain, note in notes:
        log.warning("IME key", domain=domain, note=note)
    for domain, own in withdrawn.items():
        for note in own:
            log.warning("domain key", domain=domain, note=note)
    for one in waiting:
        log.warning("announced certificate waits", partner=one.owner, note=waiting_note(one))
    lists = renew_due_lists(store.registry, moment)
    for name in lists.renewed:
        log.info("revocation list of the built-in CA renewed", authority=name)
    for note in lists.notes:
        log.warning("revocation list of the built-in CA", note=note)


async def write_due_mail(announcements: AnnounceDesk, notices: NoticeDesk) -> None:
    """Tell partners of next keys that they were not told of, and administrators of certificates that wait. Raises
    StoreUnavailable."""
    for one in await announcements.announce_due(_ACTOR):
        if one.problem:
            log.warning("next domain key not announced", partner=one.partner, problem=one.problem)
        else:
            log.info("next domain key announced", partner=one.partner, id=one.message)
    await notices.tell_of_candidates()


async def each_by_itself(*chores: Callable[[], Awaitable[None]]) -> None:
    """Do one after the other; what fails is logged and done the next time, and keeps none of the others waiting."""
    for chore in chores:
        try:
            await chore()
        except GatewayError as error:
            log.error("housekeeping failed", cause=error.evidence or str(error))
