"""What policy says of incoming mail: clear mail from partners who encrypt, broken signatures, and sealed mail.

Every refusal here depends only on what anybody could see from outside, or on content that nobody can have changed on
the way: a reply that depended on the outcome of opening unproved ciphertext would be an oracle (threats 28 and 31).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal

from ime_gateway.base.errors import UnreadableMail
from ime_gateway.base.outcome import Refused
from ime_gateway.base.reasons import Reason
from ime_gateway.certs.certificate import Certificate
from ime_gateway.mail.address import flatten, parse_address_list
from ime_gateway.mail.content_type import content_type_of
from ime_gateway.mail.header_protection import read_protected
from ime_gateway.mail.message import Message
from ime_gateway.pipeline.selection import domain_certificates
from ime_gateway.pipeline.signature_verdicts import FoundSignature
from ime_gateway.ports.directory import SiteView
from ime_gateway.settings.inheritance import RecipientSettings, recipient_settings
from ime_gateway.smime.layers import EncryptedLayer, Opened

_LISTED_BYTES = 65_536


def clear_verdict(
    addresses: Iterable[str], message: Message, view: SiteView, *, reports: bool
) -> Literal["pass", "mark"] | Refused:
    """What becomes of mail that came without encryption. addresses: of everybody in From and Sender.

    reports: its envelope sender is `<>`. A delivery report is marked where other mail is refused, because nobody would
    be told of its refusal (RFC 3464 section 1).
    """
    said = {_settings(address, view).incoming_clear.value for address in addresses}
    if "refuse" in said:
        if reports and _is_report(message):
            return "mark"
        return Refused(Reason.NOT_ENCRYPTED, "its domain agreed to encrypt mail to this domain")
    return "mark" if "mark" in said else "pass"


def broken_signature(opened: Opened, signatures: Sequence[FoundSignature], *, unreadable: bool) -> Refused | None:
    """The refusal by `bad_signature = "refuse"`: a signature that does not hold, or cannot be read.

    Not behind an encryption that proves nothing: there the signature breaks when somebody tries what a changed
    ciphertext does, and must not tell him.
    """
    if any(isinstance(layer, EncryptedLayer) and not layer.integrity for layer in opened.layers):
        return None
    for one in signatures:
        if not one.signer.intact:
            return Refused(Reason.SIGNATURE_INVALID, str(one.signer.fault))
    return Refused(Reason.SIGNATURE_INVALID, "it cannot be read") if unreadable else None


def bound_certificates(view: SiteView) -> frozenset[Certificate]:
    """The domain certificates of all partners with `bound_recipients`; ask once for each generation of live data."""
    found: set[Certificate] = set()
    for name in view.partners:
        if _settings(name, view).bound_recipients.value:
            found.update(view.domain_certificates.get(name, ()))
    return frozenset(found)


def is_bound(
    addresses: Iterable[str], signatures: Sequence[FoundSignature], certificates: frozenset[Certificate], view: SiteView
) -> bool:
    """Whether it is mail of a partner with `bound_recipients`: by From, or because a certificate of one of them signed
    it, whoever forwards it now. certificates: as `bound_certificates` gives them."""
    if any(_settings(address, view).bound_recipients.value for address in addresses):
        return True
    return any(one.signer.intact and one.signer.certificate in certificates for one in signatures)


def unbound(recipient: str, inside: Sequence[Message], signatures: Sequence[FoundSignature]) -> str:
    """Why the content of a bound partner's mail is not for this recipient (`Address.key`); empty when it is.

    It must be signed by the domain of its sender, and the header under that very signature must name the recipient: not
    that of a signature or text further inside, which the author's program wrote. A good signature has no encryption
    inside it. inside: what stands in each layer, as signatures count them.
    """
    of_domain = [inside[one.layer - 1] for one in signatures if one.good and one.speaks_for == "domain"]
    if not of_domain:
        return "it is not signed by the domain of its sender"
    if not any(recipient in inner_recipients(entity) for entity in of_domain):
        return "the signed header inside does not name this recipient"
    return ""


def inner_recipients(content: Message) -> frozenset[str]:
    """Whom the protected header of a signed entity names, as `Address.key`; nobody when it has none."""
    try:
        if read_protected(content) is None:
            return frozenset()
    except UnreadableMail:
        return frozenset()
    found: set[str] = set()
    room = _LISTED_BYTES
    for name in ("to", "cc", "bcc"):
        for field in content.headers.all(name):
            room -= len(field.raw)
            if room < 0:
                return frozenset(found)
            try:
                found.update(one.address.key for one in flatten(parse_address_list(field.text)))
            except UnreadableMail:
                continue
    return frozenset(found)


def partner_certificates(domains: Collection[str], view: SiteView) -> frozenset[Certificate]:
    """The certificates that speak for the one domain of From; none for one of ours, whose shared keys many hold."""
    if len(domains) != 1:
        return frozenset()
    (domain,) = domains
    return frozenset() if domain in view.managed else frozenset(domain_certificates(view, domain)[0])


def partners_among(domains: Collection[str], view: SiteView) -> frozenset[str]:
    """Those of the domains that are partners', by name or by `*.x`, and none of ours."""
    return frozenset(one for one in domains if one not in view.managed and _settings(one, view).partner)


def partners_of_certificates(view: SiteView) -> Mapping[Certificate, tuple[str, ...]]:
    """Which partners, by name or `*.x`, have each of their domain certificates; ask once for each generation."""
    found: dict[Certificate, tuple[str, ...]] = {}
    for name in view.partners:
        for certificate in view.domain_certificates.get(name, ()):
            found[certificate] = (*found.get(certificate, ()), name)
    return found


def _settings(address: str, view: SiteView) -> RecipientSettings:
    return recipient_settings(view.policy, view.partners, view.addresses, address)


def _is_report(message: Message) -> bool:
    try:
        return content_type_of(message.headers).media_type == "multipart/report"
    except UnreadableMail:
        return False
