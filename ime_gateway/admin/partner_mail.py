"""What desks need that write to partners: our key that signs, their certificate, the addresses on both sides.

One place for the rules, so that an announcement and a self-test never leave otherwise than other mail to that
partner would: encrypted where a usable certificate is there, refused where it must be and is not.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ime_gateway.admin.domain_keys import authority_address, current_domain_key
from ime_gateway.admin.judging import anchors_in
from ime_gateway.base.errors import UnreadableCertificate, UserError
from ime_gateway.base.ids import RANDOM_BYTES, new_id
from ime_gateway.base.reasons import Reason
from ime_gateway.certs.certificate import Certificate
from ime_gateway.keys.exchange_mail import Letter, cipher_for, write_mail
from ime_gateway.keys.exchange_note import ExchangeNote
from ime_gateway.keys.partner_keys import encryption_choice
from ime_gateway.mail.address import Address, parse_path
from ime_gateway.ports.clock import Clock
from ime_gateway.ports.directory import SiteView
from ime_gateway.ports.exchange import OwnMail
from ime_gateway.ports.registry import Registry, RegistryTransaction
from ime_gateway.settings.inheritance import RecipientSettings, recipient_settings
from ime_gateway.settings.site import PartnerDomain, domain_name
from ime_gateway.smime.sign import SigningKey

_ADVICE: Final[dict[Reason | None, str]] = {
    None: "ask the partner for one: ime-gateway domain set {name} --certificate FILE",
    Reason.CERTIFICATE_EXPIRED: "ask the partner for the next one: ime-gateway domain set {name} --certificate FILE",
    Reason.REVOCATION_UNKNOWN: "to ask its CA now: ime-gateway cert check {name} --fetch",
}
"""What helps when a partner's certificate is not usable for this reason; None: there is no certificate."""


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes mail of the gateway to partners."""

    registry: Registry
    clock: Clock
    randomness: Callable[[int], bytes]
    hostname: str

    def write(
        self,
        view: SiteView,
        key: SigningKey,
        domain: str,
        partner: PartnerDomain,
        recipient: Address,
        note: ExchangeNote,
        attached: tuple[Certificate, ...],
        *,
        subject: str,
        text: str,
        detail: str,
        must_encrypt: bool = False,
    ) -> tuple[OwnMail, Certificate | None]:
        """The mail, and the certificate that it is encrypted to. Raises UserError when it must be encrypted and
        cannot."""
        moment = self.clock.now()
        reader = self._reader(view, partner, moment, must_encrypt=must_encrypt)
        letter = Letter(
            author=parse_path(view.managed[domain].exchange_address or authority_address(domain)),
            recipient=recipient,
            subject=subject,
            text=text,
            unique=new_id(moment, self.randomness(RANDOM_BYTES)),
            hostname=self.hostname,
            moment=moment,
        )
        readers = (reader,) if reader is not None else ()
        cipher = cipher_for(reader, view.policy.content_cipher) if reader is not None else "aes-256-cbc"
        head, body = write_mail(letter, note, attached, key, readers, cipher, self.randomness)
        mail = OwnMail(
            id=letter.unique,
            sender=str(letter.author),
            recipient=recipient,
            head=head,
            body=body,
            message_id=letter.message_id,
            protection="smime-domain" if reader is not None else "none",
            detail=detail,
        )
        return mail, reader

    def _reader(
        self, view: SiteView, partner: PartnerDomain, moment: float, *, must_encrypt: bool
    ) -> Certificate | None:
        mode = settings_of(view, partner).encryption.value
        if mode == "never" and not must_encrypt:
            return None
        certificates = view.domain_certificates.get(partner.name, ())
        with self.registry.transaction(write=False) as live:
            choice = encryption_choice(certificates, anchors_in(live, view), moment)
        if choice.certificate is None and (must_encrypt or mode == "mandatory"):
            advice = _ADVICE.get(choice.reason, "see: ime-gateway cert check {name}").format(name=partner.name)
            raise UserError(f"mail to {partner.name} cannot be encrypted: {choice.detail}; {advice}")
        return choice.certificate


def signing_key(live: RegistryTransaction, domain: str) -> SigningKey:
    """The current key of a managed domain, ready to sign. Raises UserError, saying what to do."""
    current = current_domain_key(live.domain_keys.list(domain))
    if current is None:
        raise UserError(f"{domain} has no domain key yet; first: ime-gateway domain key generate {domain}")
    private = live.domain_keys.private_key(domain, current.certificate.thumbprint)
    if private is None:
        raise UserError(f"the private key of {current.certificate.thumbprint} is not here")
    try:
        return SigningKey.from_pkcs8(current.certificate, private)
    except UnreadableCertificate as error:
        raise UserError(f"the domain key of {domain} cannot sign: {error}", error.evidence) from None


def settings_of(view: SiteView, partner: PartnerDomain) -> RecipientSettings:
    """What holds for a partner, inherited values included."""
    return recipient_settings(view.policy, view.partners, view.addresses, partner.name)


def partner_named(view: SiteView, name: str) -> PartnerDomain:
    """A partner by its name; raises UserError."""
    try:
        wanted = domain_name(name)
    except ValueError as error:
        raise UserError(str(error)) from None
    partner = view.partners.get(wanted)
    if partner is None:
        raise UserError(f"{wanted} is no partner domain; see: ime-gateway domain list")
    if wanted.startswith("*."):
        raise UserError(f"{wanted} covers many domains; name one of them as a partner of its own")
    return partner
