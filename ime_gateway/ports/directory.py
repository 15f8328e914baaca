"""Live data as the pipeline asks for it: domains, policy, certificates, trust.

One immutable `SiteView` holds what is small; certificates, of which there may be 100,000, are asked
for by address and cached. `generation` counts every change by an administrator; a view of an older
generation is never used for a MAIL FROM that came after the change (contract of `apply`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from ime_gateway.certs.certificate import Certificate
from ime_gateway.settings.site import AddressSettings, ManagedDomain, PartnerDomain, Policy


@dataclass(frozen=True, slots=True)
class TrustEntry:
    """One line of the certificate trust list."""

    thumbprint: str
    verdict: Literal["allow", "deny"]
    allow_expired: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class SiteView:
    """The small live data of one generation."""

    generation: int
    policy: Policy
    managed: Mapping[str, ManagedDomain]
    """By domain name, lower case, A-labels."""
    partners: Mapping[str, PartnerDomain]
    """By domain name or `*.x`."""
    roots: tuple[Certificate, ...] = ()
    trust: Mapping[str, TrustEntry] = field(default_factory=dict)
    """By thumbprint `sha256:…`."""
    domain_certificates: Mapping[str, tuple[Certificate, ...]] = field(default_factory=dict)
    """Of partner domains (`smime_certificates`) and managed ones (`internal_certificates`)."""
    intermediates: tuple[Certificate, ...] = ()
    """CA certificates that were imported and are no roots: links for path building."""
    addresses: Mapping[str, AddressSettings] = field(default_factory=dict)
    """Settings of single addresses, by `Address.key`."""
    additional_certificates: tuple[Certificate, ...] = ()
    """To which everything that is encrypted with S/MIME is encrypted, too (an archive)."""


class Directory(Protocol):
    """Where live data is asked. Every method may raise StoreUnavailable."""

    async def view(self) -> SiteView:
        """The view of the newest generation that was committed before this call."""
        ...

    def latest(self) -> SiteView | None:
        """The view that was loaded last, without asking whether there is a newer one: after a `view()` for the
        same message it is at least as new. None before the first `view()`."""
        ...

    async def certificates(self, view: SiteView, addresses: Sequence[str]) -> Mapping[str, tuple[Certificate, ...]]:
        """Certificates by address key (`Address.key`), as of `view.generation` or newer."""
        ...

    async def named(self, view: SiteView, thumbprints: Sequence[str]) -> Mapping[str, Certificate]:
        """Imported certificates by thumbprint, whoever they are for; unknown ones are missing. As of `view.generation`
        or newer."""
        ...

    async def owners(self, view: SiteView, thumbprints: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
        """For whom imported certificates are (`Address.key`), by thumbprint; none for unknown ones. As of
        `view.generation` or newer."""
        ...
