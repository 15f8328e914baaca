"""Says what a message waited for in vain: whose certificate could not be judged in time, and who was asked about it.

An operator must learn it from the first deferred mail, while the fetch is still on its way: reply, tracking and
`explain` name the recipient and the server, the log has the whole URL. Outsiders are told neither: which CA made the
signature inside an encryption is nothing that a reply may tell them (threats 31 and 32).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import structlog

from ime_gateway.base.outcome import Refused
from ime_gateway.base.reasons import Reason
from ime_gateway.certs.certificate import Certificate
from ime_gateway.certs.revocation import Link, host_of
from ime_gateway.keys.usable import Kind, judge
from ime_gateway.pipeline.revocation import AnswersLate, Revocations
from ime_gateway.ports.directory import SiteView

_MOST_LOGGED: Final = 8
"""Certificates of one message."""
_MOST_HOSTS: Final = 2
_HOST_CHARACTERS: Final = 80

log = structlog.get_logger("revocation")


class Awaited(NamedTuple):
    """A certificate that a message needs a verdict on."""

    address: str
    """The recipient it is for; empty: one of `[policy] additional_certificates`."""
    certificate: Certificate
    kind: Kind


@dataclass(frozen=True, slots=True)
class _Late:
    address: str
    whose: str
    """Whose certificate it is about, in words."""
    link: Link
    urls: tuple[str, ...]

    @property
    def name(self) -> str:
        one = self.link.certificate
        return f"{one.subject or 'certificate without a name'} ({one.thumbprint[:19]})"


def late_for_recipients(
    awaited: Iterable[Awaited], revocations: Revocations, view: SiteView, moment: float
) -> Refused | None:
    """The refusal of a message whose time is up while answers on these certificates are on their way; None where they
    are not what it waited for. moment: seconds since 1970 UTC. Logs what is late."""
    anchors = revocations.known(view)
    late: list[_Late] = []
    for address, certificate, kind in dict.fromkeys(awaited):
        for link in judge(certificate, anchors, moment, kind).unasked:
            if urls := revocations.open_fetches(link):
                whose = f"the certificate of {address}" if address else "an additional certificate of [policy]"
                above = "" if link.certificate == certificate else "the CA above "
                late.append(_Late(address, above + whose, link, urls))
        if len(late) >= _MOST_LOGGED:
            break
    return _refusal(late) if late else None


def late_for_signers(error: AnswersLate, revocations: Revocations, sender: str, *, outsider: bool) -> Refused:
    """The same for mail that cannot be read on before its signer is judged. outsider: its peer hears that, no more."""
    urls = [(link, revocations.open_fetches(link)) for link in error.links]
    refusal = _refusal([_Late(sender, "a signer's certificate", link, asked) for link, asked in urls])
    return not_in_time() if outsider else refusal


def not_in_time() -> Refused:
    """The refusal when nobody can say what it was that took so long."""
    return Refused(Reason.LOOKUP_TIMEOUT, "certificates could not be looked up in time", temporary=True)


def _refusal(late: Sequence[_Late]) -> Refused:
    for one in late[:_MOST_LOGGED]:
        log.warning("revocation not learnt in time", recipient=one.address, certificate=one.name, urls=list(one.urls))
    first = late[0]
    others = " and others" if len({one.address for one in late}) > 1 else ""
    detail = f"no answer from {_hosts(first.urls)} whether {first.whose}{others} was revoked: {first.name}"
    return Refused(Reason.LOOKUP_TIMEOUT, detail, temporary=True, address=first.address)


def _hosts(urls: Sequence[str]) -> str:
    hosts = list(dict.fromkeys(host_of(url)[:_HOST_CHARACTERS] for url in urls))
    more = f" and {len(hosts) - _MOST_HOSTS} more" if len(hosts) > _MOST_HOSTS else ""
    return ", ".join(hosts[:_MOST_HOSTS]) + more
