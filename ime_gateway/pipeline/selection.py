"""Which certificates are candidates for a recipient, before any is judged: by address, by hand, by domain, inherited.

What an administrator chose for an address by hand takes the place of everything else; else the address's own
certificates come with those of its domain, and a domain without any inherits those of the closest `*.x` above it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ime_gateway.certs.certificate import Certificate
from ime_gateway.mail.address import Address
from ime_gateway.policy.facts import SelectedBy
from ime_gateway.ports.directory import SiteView
from ime_gateway.settings.inheritance import RecipientSettings


@dataclass(frozen=True, slots=True)
class Selected:
    """The candidates for one recipient."""

    personal: Sequence[Certificate] = ()
    domain: Sequence[Certificate] = ()
    selected_by: SelectedBy = "automatic"
    """How the personal ones came to be candidates."""
    domain_selected_by: SelectedBy = "domain"
    missing: tuple[str, ...] = ()
    """Thumbprints that were chosen by hand, and whose certificate is not here."""


def chosen_by_hand(settings: Iterable[RecipientSettings]) -> list[str]:
    """Thumbprints that must be looked up before `select` can do its work."""
    return sorted({thumbprint for one in settings if one.selection.value == "manual" for thumbprint in one.use.value})


def select(
    address: Address,
    settings: RecipientSettings,
    view: SiteView,
    own: Sequence[Certificate],
    named: Mapping[str, Certificate],
) -> Selected:
    """The candidates for `address`. own: those imported for it; named: those of `chosen_by_hand`.

    By hand the order is the administrator's; whether a certificate counts as personal or as the domain's goes by
    where it is kept, so that the plan says who can read the mail.
    """
    shared, inherited = domain_certificates(view, address.domain)
    by_domain: SelectedBy = "inherited" if inherited else "domain"
    match settings.selection.value:
        case "automatic":
            return Selected(own, shared, domain_selected_by=by_domain)
        case "domain":
            return Selected((), shared, domain_selected_by=by_domain)
        case "manual":
            of_domain = {one.thumbprint: one for one in shared}
            wanted = settings.use.value
            return Selected(
                personal=[named[one] for one in wanted if one in named and one not in of_domain],
                domain=[of_domain[one] for one in wanted if one in of_domain],
                selected_by="manual",
                domain_selected_by="manual",
                missing=tuple(one for one in wanted if one not in named and one not in of_domain),
            )


def domain_certificates(view: SiteView, domain: str) -> tuple[tuple[Certificate, ...], bool]:
    """Certificates of a partner domain or the shared ones of a managed domain, and whether they are those of a `*.x`
    above it because it has none."""
    known = view.domain_certificates
    if not known:
        return (), False
    if domain in view.managed:
        return known.get(domain, ()), False
    for name in _names_above(domain):
        if name in view.partners and known.get(name):
            return known[name], name != domain
    return (), False


def _names_above(domain: str) -> Iterable[str]:
    yield domain
    rest = domain
    while "." in rest:
        rest = rest.partition(".")[2]
        yield f"*.{rest}"
