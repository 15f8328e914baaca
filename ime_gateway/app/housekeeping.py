"""What a node does now and every hour: forget what has had its time, and say aloud what will soon refuse mail.

An IME key that expires refuses every container of a domain, and nobody looks at pages while mail flows: so it
stands in the log, again and again, with the command that mends it.
"""

import structlog

from ime_gateway.admin.ime_notes import standing_notes
from ime_gateway.store.database import Store

log = structlog.get_logger("housekeeping")


def keep_house(store: Store, moment: float) -> None:
    """Once; `moment` is now, in seconds since 1970 UTC. Raises StoreUnavailable."""
    for domain in store.tidy(moment):
        log.info("private key of an older IME certificate erased, its overlap is over", domain=domain)
    with store.registry.transaction(write=False) as live:
        notes = standing_notes(live, moment)
    for domain, note in notes:
        log.warning("IME key", domain=domain, note=note)
