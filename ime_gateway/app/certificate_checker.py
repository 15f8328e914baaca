"""`cert check` from the roof: every candidate of an address or domain, or a file, with each piece of its evidence.

The same selection and the same judge as for mail; what is known about revocations is what mail would know, and the
network is asked only when somebody wants it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ime_gateway.app.assemble import build_revocations
from ime_gateway.app.installation import Installation
from ime_gateway.base.errors import UnreadableMail, UserError
from ime_gateway.certs.certificate import Certificate
from ime_gateway.keys.usable import Kind, Verdict, judge
from ime_gateway.mail.address import parse_path
from ime_gateway.pipeline.revocation import Revocations
from ime_gateway.pipeline.selection import Selected, chosen_by_hand, domain_certificates, select
from ime_gateway.ports.directory import SiteView
from ime_gateway.settings.inheritance import recipient_settings
from ime_gateway.settings.site import domain_name

FETCH_SECONDS: Final = 30.0
"""How long a person waits for the network."""


@dataclass(frozen=True, slots=True)
class CheckedCertificate:
    """One candidate."""

    certificate: Certificate
    kind: Kind
    found: str
    """Why it is looked at: `automatic`, `manual`, `domain`, `inherited` or `file`."""
    verdict: Verdict


class CertificateChecker:
    """Checks against the live data of one installation."""

    def __init__(self, installation: Installation, *, fetch: bool) -> None:
        self._directory = installation.store.directory
        self._fetch = fetch
        self._revocations: Revocations = build_revocations(installation, patience=FETCH_SECONDS)

    async def of_address(self, text: str, moment: float) -> list[CheckedCertificate]:
        """What could protect mail to an address. Raises UserError, StoreUnavailable."""
        try:
            address = parse_path(text)
        except UnreadableMail as error:
            raise UserError(f"{text!r} is neither an address, a domain nor a file: {error}") from None
        view = await self._directory.view()
        settings = recipient_settings(view.policy, view.partners, view.addresses, address.key)
        by_hand = chosen_by_hand([settings])
        named = await self._directory.named(view, by_hand) if by_hand else {}
        own = (await self._directory.certificates(view, [address.key])).get(address.key, ())
        return await self._selected(select(address, settings, view, own, named), view, moment)

    async def of_domain(self, text: str, moment: float) -> list[CheckedCertificate]:
        """What could protect mail to a whole domain. Raises UserError, StoreUnavailable."""
        try:
            name = domain_name(text)
        except ValueError:
            raise UserError(f"{text!r} is neither an address, a domain nor a file") from None
        view = await self._directory.view()
        shared, inherited = domain_certificates(view, name)
        if not shared:
            shared, inherited = view.domain_certificates.get(name, ()), False
        if not shared and name not in view.managed and name not in view.partners:
            raise UserError(f"{name} is neither a domain of ours nor a partner; see: ime-gateway domain list")
        return await self._selected(
            Selected((), shared, domain_selected_by="inherited" if inherited else "domain"), view, moment
        )

    async def manages(self, name: str) -> bool:
        """Is it a managed domain? Its keys are ours and judged by partners, not by us. Raises StoreUnavailable."""
        return domain_name(name) in (await self._directory.view()).managed

    async def of_file(self, certificates: Sequence[Certificate], moment: float) -> list[CheckedCertificate]:
        """What mail would make of certificates that are not stored. Raises StoreUnavailable."""
        view = await self._directory.view()
        return [await self._checked(one, "personal", "file", view, moment) for one in certificates]

    async def _selected(self, selected: Selected, view: SiteView, moment: float) -> list[CheckedCertificate]:
        personal = [
            await self._checked(one, "personal", selected.selected_by, view, moment) for one in selected.personal
        ]
        shared = [
            await self._checked(one, "domain", selected.domain_selected_by, view, moment) for one in selected.domain
        ]
        return personal + shared

    async def _checked(
        self, certificate: Certificate, kind: Kind, found: str, view: SiteView, moment: float
    ) -> CheckedCertificate:
        anchors = await self._revocations.anchors(view)
        verdict = judge(certificate, anchors, moment, kind)
        if verdict.unasked:
            try:
                if self._fetch:
                    await self._revocations.learn(verdict.unasked, anchors, moment, anew=True)
                else:
                    await self._revocations.recall(verdict.unasked, moment)
            except TimeoutError:
                pass  # what is not known by then is shown as not known
            verdict = judge(certificate, anchors, moment, kind)
        return CheckedCertificate(certificate, kind, found, verdict)
