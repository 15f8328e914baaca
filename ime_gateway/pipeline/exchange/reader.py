"""Mail to the exchange address of a managed domain: for the gateway itself, read here and shown to nobody.

Partners' gateways send certificates, announcements and self-tests there (peers 4a, SMG-4). What comes is opened with
the keys of that domain only (P8) and believed by its signature only, which must lie inside every encryption and cover
everything: of what is around it anybody may be the author.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ime_gateway.base.outcome import Refused
from ime_gateway.base.reasons import Reason
from ime_gateway.certs.certificate import Certificate
from ime_gateway.ime.challenge import tokens_in
from ime_gateway.keys.exchange_mail import NOTHING, ExchangeContents, read_contents
from ime_gateway.mail.address import Address
from ime_gateway.pipeline.admission import Admitted
from ime_gateway.pipeline.owned_keys import owned_key
from ime_gateway.ports.directory import SiteView
from ime_gateway.ports.keyring import KeptKey, Keyring
from ime_gateway.ports.reception import Submission
from ime_gateway.smime.layers import EncryptedLayer, LayerLimits, Opened, SignedLayer, open_layers

_MOST_BYTES = 1 << 20
_LIMITS = LayerLimits(layers=5, total_bytes=4 << 20)


@dataclass(frozen=True, slots=True)
class ExchangeMail:
    """A mail to an exchange address, opened; what it amounts to is for `exchange.replies` to find and carry out."""

    domain: str
    """The managed domain."""
    address: Address
    """Its exchange address."""
    author: Address
    """Its From, which anybody may write."""
    message_id: str
    encrypted: bool
    """It came encrypted; otherwise all of it could be read on the way."""
    opened_with: KeptKey | None
    """The key of ours that opened it last; None: it came in clear, or could not be opened."""
    cipher: str
    tokens: tuple[str, ...]
    """Tokens of self-tests in its text: a person answered."""
    signer: Certificate | None
    """Whose signature holds and covers everything; None: nobody's."""
    fault: str
    """Why there is no such signer, for tracking."""
    carried: tuple[Certificate, ...] = ()
    """Certificates that the signature brought along."""
    preferred: Certificate | None = None
    """The one that the signer wants others to encrypt to."""
    contents: ExchangeContents = NOTHING


def exchange_addresses(view: SiteView) -> Mapping[str, str]:
    """`Address.key` of each exchange address, and its managed domain."""
    return {managed.exchange_address: name for name, managed in view.managed.items() if managed.exchange_address}


def is_for_exchange(submission: Submission, view: SiteView) -> bool:
    """Somebody on the envelope is an exchange address."""
    ours = exchange_addresses(view)
    return bool(ours) and any(entry.address.key in ours for entry in submission.recipients)


@dataclass(frozen=True, slots=True)
class ExchangeReader:
    """Opens such mail."""

    keyring: Keyring
    randomness: Callable[[int], bytes]

    async def read(self, submission: Submission, admitted: Admitted, view: SiteView) -> ExchangeMail | Refused:
        """The mail with its one signer, if it has one. Raises StoreUnavailable."""
        refusal = _refusal(submission)
        if refusal is not None:
            return refusal
        address = submission.recipients[0].address
        domain = exchange_addresses(view)[address.key]
        kept = (await self.keyring.of_domains([domain])).get(domain, ())
        return await asyncio.to_thread(self._open, submission, admitted, domain, address, kept)

    def _open(
        self, submission: Submission, admitted: Admitted, domain: str, address: Address, kept: tuple[KeptKey, ...]
    ) -> ExchangeMail | Refused:
        keys = [owned_key(one.certificate, one.private_key) for one in kept]
        opened = open_layers(admitted.message, keys, _LIMITS, self.randomness, moment=submission.received_at)
        encrypted = opened.encrypted or opened.end == "undecryptable"
        tokens = tokens_in(opened.message) if opened.end == "open" else ()
        if not opened.layers and opened.end == "open" and submission.sender is not None and not tokens:
            detail = "it exchanges certificates: only mail that is signed (S/MIME) is taken there"
            return Refused(Reason.KEY_EXCHANGE, detail, address=str(address))
        layer = _inner_signature(opened)
        key, cipher = _opened_with(opened, kept)
        author = admitted.author.responsible if admitted.author is not None else address
        found = admitted.message.headers.first("message-id")
        message_id = found.text.strip()[:998] if found is not None else ""
        place = (domain, address, author, message_id, encrypted, key, cipher, tokens)
        if isinstance(layer, str):
            return ExchangeMail(*place, None, layer)
        intact = [one for one in layer.report.signers if one.intact]
        if len(intact) != 1 or len(layer.report.signers) != 1:
            faults = ", ".join(str(one.fault) for one in layer.report.signers if one.fault)
            return ExchangeMail(*place, None, faults or "it does not have exactly one signature")
        contents = read_contents(layer.inside)
        carried = layer.report.certificates
        return ExchangeMail(*place, intact[0].certificate, "", carried, intact[0].preferred, contents)


def _refusal(submission: Submission) -> Refused | None:
    address = str(submission.recipients[0].address)
    if submission.session.role != "internet":
        return Refused(Reason.KEY_EXCHANGE, "only gateways of partners write to this address", address=address)
    if len(submission.recipients) > 1:
        return Refused(Reason.KEY_EXCHANGE, "write to an exchange address alone, not to others with it")
    if len(submission.data) > _MOST_BYTES:
        detail = f"at most {_MOST_BYTES} bytes are taken at an exchange address"
        return Refused(Reason.TOO_LARGE, detail, address=address)
    return None


def _inner_signature(opened: Opened) -> SignedLayer | str:
    """The innermost signature, if it lies inside every encryption and covers everything; else why not."""
    if opened.end != "open":
        return f"it cannot be opened ({opened.end})"
    for layer in reversed(opened.layers):
        if isinstance(layer, SignedLayer):
            return layer if layer.whole_body else "the signature does not cover the whole mail"
        if isinstance(layer, EncryptedLayer):
            break
    return "what it says is not signed"


def _opened_with(opened: Opened, kept: tuple[KeptKey, ...]) -> tuple[KeptKey | None, str]:
    for layer in reversed(opened.layers):
        if isinstance(layer, EncryptedLayer):
            key = next((one for one in kept if one.certificate.thumbprint == layer.opened_with), None)
            return key, layer.cipher
    return None, ""
