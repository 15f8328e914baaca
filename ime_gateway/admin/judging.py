"""The verdict on a stored certificate, as the pipeline would give it now.

Administrators see the same words that decide a mail (P4): usable or not, the reason and the
evidence. Being stored is not trust; a path to a root or the trust list is (design 6.3).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from ime_gateway.admin.recalled_revocations import RecalledRevocations
from ime_gateway.admin.timestamps import rfc3339
from ime_gateway.certs.certificate import Certificate
from ime_gateway.keys.domain_names import names_outside
from ime_gateway.keys.usable import Anchors, Verdict, judge
from ime_gateway.ports.directory import SiteView
from ime_gateway.ports.registry import CertificateEntry, RegistryTransaction


@dataclass(frozen=True, slots=True)
class JudgedCertificate:
    """A stored certificate and whether it may be used now."""

    entry: CertificateEntry
    verdict: Verdict


def anchors_in(live: RegistryTransaction, view: SiteView | None = None, *, mail_will_ask: bool = False) -> Anchors:
    """What verdicts of mail are based on, with what the store knows about revocations; good while `live` is open.

    view: the live data, where they are at hand, or as they will be. mail_will_ask: for warnings, which would be false
    about what is only not known yet (`RecalledRevocations`). Raises StoreUnavailable.
    """
    view = view or live.view()
    book = RecalledRevocations(live, view.policy, mail_will_ask=mail_will_ask)
    return Anchors(view.roots, view.intermediates, view.trust, book)


def judged(entry: CertificateEntry, anchors: Anchors, moment: float) -> JudgedCertificate:
    """A person's certificate with its verdict at `moment` (seconds since 1970 UTC)."""
    return JudgedCertificate(entry, judge(entry.certificate, anchors, moment, "personal"))


def certificate_json(certificate: Certificate) -> dict[str, object]:
    """What a listing says of any certificate."""
    return {
        "thumbprint": certificate.thumbprint,
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "serial": f"{certificate.serial:x}",
        "not_before": rfc3339(certificate.not_before),
        "not_after": rfc3339(certificate.not_after),
        "key": f"{certificate.key_kind}-{certificate.key_bits}",
        "ca": certificate.is_ca,
    }


def verdict_json(verdict: Verdict) -> dict[str, object]:
    """A verdict in the words of replies and tracking."""
    return {"usable": verdict.usable, "reason": str(verdict.reason), "detail": verdict.detail}


def judged_json(item: JudgedCertificate) -> dict[str, object]:
    """One row of `cert list --json`."""
    return (
        certificate_json(item.entry.certificate)
        | {
            "addresses": list(item.entry.addresses),
            "private_key": item.entry.has_private_key,
            "imported_at": rfc3339(item.entry.imported_at),
        }
        | verdict_json(item.verdict)
    )


def foreign_names(certificates: Iterable[Certificate], domain: str) -> list[str]:
    """One warning for each certificate of a partner (a domain or `*.x`) that names addresses elsewhere."""
    found = []
    for one in certificates:
        strangers = names_outside(one, domain)
        if strangers:
            more = f" and {len(strangers) - 1} more" if len(strangers) > 1 else ""
            found.append(
                f"WARNING: certificate {one.thumbprint} of {domain} also names {strangers[0]}{more}. If the trust list"
                f" allows it, it is believed for {domain} only; ask the partner why it names others"
            )
    return found
