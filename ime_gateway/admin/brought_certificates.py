"""What must be said at once about domain certificates that an administrator just stored.

Being stored is not being used: a certificate that mail will not take looks set until the first mail is refused or,
with opportunistic encryption, goes out in clear text. So the verdict of mail is told with what to do next.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from ime_gateway.admin.judging import anchors_in
from ime_gateway.base.reasons import Reason
from ime_gateway.certs.bundle import read_bundle
from ime_gateway.certs.certificate import Certificate
from ime_gateway.keys.usable import Anchors, judge
from ime_gateway.ports.clock import Clock
from ime_gateway.ports.directory import SiteView
from ime_gateway.ports.registry import Registry, RegistryTransaction
from ime_gateway.settings.inheritance import recipient_settings

_UNTIL_THEN: Final = {
    "mandatory": "until then mail to them is refused",
    "opportunistic": "until then mail to them goes out unencrypted",
    "on-request": "until then mail to them goes out unencrypted, and marked mail is refused",
}


def brought_notes(registry: Registry, clock: Clock, name: str, files: Mapping[str, bytes]) -> list[str]:
    """One note for each certificate of `files` (stored for the domain, pattern or `global` `name`) that mail would not
    use now, and what to do about it. Raises StoreUnavailable."""
    with registry.transaction(write=False) as live:
        view = live.view()
        anchors = anchors_in(live, view, mail_will_ask=True)
        moment = clock.now()
        notes = []
        for file, data in files.items():
            certificates = read_bundle(data, None).certificates
            for one in certificates:
                notes += _notes(live, anchors, one, file if len(certificates) == 1 else one.thumbprint, moment)
        if notes and not _any_usable(view.domain_certificates.get(name.lower(), ()), anchors, moment):
            notes += _until_then(view, name.lower())
    return notes


def allowed_notes(registry: Registry, clock: Clock, one: Certificate) -> list[str]:
    """A note when a certificate is not used though the trust list allows it. Raises StoreUnavailable."""
    with registry.transaction(write=False) as live:
        verdict = judge(one, anchors_in(live, mail_will_ask=True), clock.now(), "domain")
    if verdict.usable:
        return []
    even_so = "; to use it all the same: --allow-expired" * (verdict.reason is Reason.CERTIFICATE_EXPIRED)
    return [f"note: it is not used all the same: {verdict.reason}: {verdict.detail}{even_so}"]


def _notes(live: RegistryTransaction, anchors: Anchors, one: Certificate, which: str, moment: float) -> list[str]:
    """`which`: the certificate in the words of a command, its file or its thumbprint."""
    verdict = judge(one, anchors, moment, "domain")
    if verdict.usable:
        return []
    said = [f"note: {one.thumbprint} is not used: {verdict.reason}: {verdict.detail}"]
    if verdict.reason is not Reason.CERTIFICATE_UNTRUSTED:
        return said
    alone = f"ime-gateway trust allow {which}"
    if not live.checks.list(one.thumbprint):
        alone = f'ime-gateway trust verify {which} --with "PERSON, NUMBER" --how phone, then: {alone}'
    if one.self_issued:
        return [*said, f"Next: {alone}"]
    if any(anchors.is_root(issuer) for issuer in anchors.named_above(one)):
        return said  # a path was found, and the verdict says what is wrong with it
    root = "put a file with the certificates of its CA, up to the root, into SITE.toml as [[root]], then:"
    return [*said, f"Next: {root} ime-gateway apply SITE.toml", f"Or, for this certificate alone: {alone}"]


def _any_usable(certificates: Iterable[Certificate], anchors: Anchors, moment: float) -> bool:
    return any(judge(one, anchors, moment, "domain").usable for one in certificates)


def _until_then(view: SiteView, name: str) -> list[str]:
    """What becomes of mail to a partner that has no usable certificate; nothing for others."""
    found = recipient_settings(view.policy, view.partners, view.addresses, name)
    if not found.partner or name in view.managed:
        return []
    fate = _UNTIL_THEN.get(found.encryption.value)
    return [f"note: {fate}"] if fate else []
