"""What is done about keys and certificates every hour: change those whose time has come, warn of those that end.

A part of housekeeping that sends mail of its own. Whatever of it cannot be done now is done the next time.
"""

import asyncio

import structlog

from ime_gateway.admin.domain_key_desk import DomainKeyDesk
from ime_gateway.admin.expiry import Ending
from ime_gateway.admin.expiry_desk import ExpiryDesk
from ime_gateway.admin.timestamps import rfc3339
from ime_gateway.base.errors import UserError

log = structlog.get_logger("housekeeping")

ACTOR = "housekeeping"
"""Who acts, in the audit trail."""


async def watch_domains(keys: DomainKeyDesk, expiry: ExpiryDesk) -> None:
    """Once. Raises StoreUnavailable."""
    await _change_keys(keys)
    moment = expiry.now()
    for ending in await asyncio.to_thread(expiry.standing):
        _warn(ending, moment)
    due = await asyncio.to_thread(expiry.due)
    for notice in due:
        if notice.ending.kind == "person":
            _warn(notice.ending, moment)
    addresses = await expiry.tell(due)
    if addresses:
        log.info("administrators were told of certificates that end", count=len(due), addresses=addresses)
    await asyncio.to_thread(expiry.remember_walk)


async def _change_keys(keys: DomainKeyDesk) -> None:
    try:
        promoted = await asyncio.to_thread(keys.promote_due, ACTOR)
    except UserError as error:
        log.warning("next domain key cannot take over", note=str(error))
        promoted = []
    for key in promoted:
        log.info("the next domain key took over", domain=key.domain, certificate=key.certificate.thumbprint)


def _warn(ending: Ending, moment: float) -> None:
    log.warning(
        "certificate ends",
        kind=ending.kind,
        owner=ending.owner,
        certificate=ending.thumbprint,
        until=rfc3339(ending.not_after),
        note=ending.sentence(moment),
    )
