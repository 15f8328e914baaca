"""Will the next hop take it? Base64 adds 37 %, so a mail that came in small enough may leave too large.

Asked before anything is promised, with the SIZE that each next hop announced last (RFC 1870): the sender hears
both sizes at once instead of a report later (design 6.5, fact 7).
"""

from collections.abc import Sequence

from ime_gateway.base.outcome import Refused
from ime_gateway.base.reasons import Reason
from ime_gateway.pipeline.protect import Protected
from ime_gateway.pipeline.routes import route_of
from ime_gateway.policy.plan import RecipientPlan
from ime_gateway.ports.directory import SiteView
from ime_gateway.ports.queue import Origin
from ime_gateway.ports.relay import Relay


def oversize(
    recipients: Sequence[RecipientPlan],
    protected: Protected,
    origin: Origin,
    view: SiteView,
    default_route: str,
    relay: Relay,
) -> Refused | None:
    """The refusal for the first recipient whose next hop announced less than the message needs."""
    sizes = {envelope.id: envelope.wire_size for envelope in protected.envelopes}
    for plan in recipients:
        if plan.protection is None:
            continue
        domain = plan.address.domain
        route = route_of(view, default_route, origin, domain)
        limit = relay.size_limit(route, domain) if route is not None else None
        size = sizes[protected.envelope_of[plan.group]]
        if limit and size > limit:
            detail = f"the message needs {size} bytes on its way, the next server takes {limit}"
            return Refused(Reason.TOO_LARGE, detail, address=str(plan.address))
    return None
