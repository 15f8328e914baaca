"""Carry the plan out: sign, encrypt once per cipher, frame once per envelope, and hand over one parcel.

All recipients of a content and a cipher read the same stored ciphertext; what differs is the frame with the
encrypted content keys (RFC 5652 section 6.1, RFC 5083 section 2.1) and the outer headers. A blind
recipient and the sent copy have frames of their own (P6). Clear text that must be protected is
never written: the spool takes ciphertext only (P2).
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ime_gateway.base.ids import RANDOM_BYTES, new_id
from ime_gateway.certs.certificate import Certificate
from ime_gateway.mail.address import Address
from ime_gateway.mail.base64_lines import encoded_size
from ime_gateway.mail.headers import Field, HeaderBlock
from ime_gateway.mail.message import Message
from ime_gateway.mail.secure_parts import SecuredEntity, outer_smime_fields
from ime_gateway.pipeline.outer_headers import copy_headers, status_fields, without_broken_signatures
from ime_gateway.pipeline.prepared import Prepared
from ime_gateway.pipeline.sign_outgoing import Signer, as_message, payload, signed
from ime_gateway.policy.plan import Cipher, Plan, RecipientPlan
from ime_gateway.ports.directory import SiteView
from ime_gateway.ports.queue import Envelope, SealedBody, Spool
from ime_gateway.smime.encrypt import ContentEncryptor, ContentKey, ciphertext_size, frame

_THREAD_BYTES = 262_144
"""From this size on encryption and sealing run in a thread, so that other sessions go on."""
_THREAD_RECIPIENTS = 50


@dataclass(slots=True)
class Protected:
    """The envelopes of one message over their stored bodies."""

    bodies: list[SealedBody] = field(default_factory=list)
    envelopes: list[Envelope] = field(default_factory=list)
    envelope_of: dict[int, str] = field(default_factory=dict)
    """Envelope id by group number of the plan."""


@dataclass(frozen=True, slots=True)
class Protector:
    """Builds envelopes; what it needs from outside comes in here."""

    spool: Spool
    randomness: Callable[[int], bytes]
    hostname: str
    id_key: bytes
    """Key of the Message-IDs that we make."""

    async def protect(
        self,
        plan: Plan,
        prepared: Prepared,
        known: Mapping[str, Certificate],
        view: SiteView,
        transit: Sequence[Field],
        moment: float,
        signers: Mapping[str, Signer],
    ) -> Protected:
        """Everything of the plan that is delivered; `signers` are the keys of ours that it names.
        Raises StoreUnavailable; nothing is left behind then."""
        heavy = len(prepared.message.body) >= _THREAD_BYTES or len(plan.recipients) >= _THREAD_RECIPIENTS
        job = _Job(self, plan, prepared, known, view, tuple(transit), moment, signers)
        protected = Protected()
        try:
            if heavy:
                await asyncio.to_thread(job.run, protected)
            else:
                job.run(protected)
        except BaseException:
            self.discard(protected)
            raise
        return protected

    def discard(self, protected: Protected) -> None:
        """Forget bodies that no parcel will name."""
        for body in protected.bodies:
            self.spool.discard(body)

    def new_id(self, moment: float) -> str:
        """A fresh id for an envelope or a message."""
        return new_id(moment, self.randomness(RANDOM_BYTES))


@dataclass(frozen=True, slots=True)
class _Job:
    """One message on its way into envelopes."""

    tools: Protector
    plan: Plan
    prepared: Prepared
    known: Mapping[str, Certificate]
    view: SiteView
    transit: tuple[Field, ...]
    moment: float
    signers: Mapping[str, Signer] = field(repr=False)

    def run(self, protected: Protected) -> None:
        """Fill `protected`: each content once per cipher, then the mail that passes as it came."""
        groups = _groups(self.plan)
        sealed: dict[_Content, dict[Cipher, dict[int, list[RecipientPlan]]]] = {}
        for number, group in groups.items():
            cipher = group[0].cipher
            if cipher is not None:
                sealed.setdefault(_content_of(group), {}).setdefault(cipher, {})[number] = group
        for content, by_cipher in sealed.items():
            secured = self._secured(content)
            for cipher, members in by_cipher.items():
                self._encrypt(cipher, secured, members, protected)
        for number, group in groups.items():
            if group[0].protection == "none":
                self._pass(number, group, protected)

    def _secured(self, content: "_Content") -> SecuredEntity:
        """What is encrypted, the same for every cipher; the spool never sees more of a hidden subject."""
        prepared = self.prepared
        secured = payload(
            prepared.message,
            hide=prepared.hide_subject,
            listed_only=prepared.ime == "2.0",
            bound=content.bound,
            blind=content.blind,
        )
        return self._signed(secured, content.signed_by)

    def _signed(self, secured: SecuredEntity, signed_by: str) -> SecuredEntity:
        """Sign, then encrypt (RFC 8551 section 3.6); as it is without a signer."""
        if not signed_by:
            return secured
        return signed(secured, self.signers[signed_by], self.moment, self.tools.randomness)

    def _encrypt(
        self, cipher: Cipher, secured: SecuredEntity, groups: Mapping[int, list[RecipientPlan]], protected: Protected
    ) -> None:
        outer = without_broken_signatures(secured.outer, self.view.managed)
        entity = _entity(secured.inner.to_bytes() + b"\r\n", secured.body)
        size = ciphertext_size(cipher, sum(map(len, entity)))
        key = ContentKey.generate(cipher, self.tools.randomness)
        encryptor = ContentEncryptor(key)
        sealed = self.tools.spool.write(encryptor.chunks(entity), size)
        protected.bodies.append(sealed)
        for number, group in groups.items():
            readers = [self.known[thumbprint] for plan in group for thumbprint in (*plan.keys, *plan.additional)]
            wrapped = frame(_unique(readers), key, size, encryptor.tag, oaep=_oaep(group))
            smime = HeaderBlock((*self._outer(outer, group).fields, *outer_smime_fields(cipher)))
            head = smime.to_bytes() + b"\r\n"
            total = len(wrapped.prefix) + size + len(wrapped.suffix)
            self._add(
                protected,
                number,
                Envelope(
                    id=self.tools.new_id(self.moment),
                    body_id=sealed.id,
                    head=head,
                    prefix=wrapped.prefix,
                    suffix=wrapped.suffix,
                    base64=True,
                    wire_size=len(head) + encoded_size(total),
                ),
            )

    def _pass(self, number: int, group: list[RecipientPlan], protected: Protected) -> None:
        version = self.prepared.versions.get(group[0].address.key)
        message = self.prepared.message if version is None else version.message
        headers, body = self._clear(message, group[0].signed_by)
        head = self._outer(headers, group).to_bytes() + b"\r\n"
        size = sum(map(len, body))
        sealed = self.tools.spool.write(body, size)
        protected.bodies.append(sealed)
        self._add(
            protected,
            number,
            Envelope(
                id=self.tools.new_id(self.moment),
                body_id=sealed.id,
                head=head,
                eight_bit=any(map(_has_eight_bit, body)),
                wire_size=len(head) + size,
            ),
        )

    def _clear(self, message: Message, signed_by: str) -> tuple[HeaderBlock, tuple[memoryview, ...]]:
        """Header and body of what leaves unencrypted: as it came (P7), or signed."""
        if not signed_by:
            return message.headers, (message.body,)
        secured = payload(message, hide=False, listed_only=False, bound=False)
        headers, body = as_message(self._signed(secured, signed_by))
        return without_broken_signatures(headers, self.view.managed), body

    def _outer(self, outer: HeaderBlock, group: list[RecipientPlan]) -> HeaderBlock:
        own = copy_headers(self.prepared, outer, group, self.tools.id_key, self.tools.hostname)
        return own.prepend(*self.transit).append(*status_fields(self.prepared, group, self.view.managed))

    def _add(self, protected: Protected, number: int, envelope: Envelope) -> None:
        protected.envelopes.append(envelope)
        protected.envelope_of[number] = envelope.id


@dataclass(frozen=True, slots=True)
class _Content:
    """What makes one content differ from another of the same message."""

    signed_by: str
    bound: bool
    blind: Address | None
    """The one recipient inside it, when its gateway binds recipients and nobody else may know of them."""


def _content_of(group: Sequence[RecipientPlan]) -> _Content:
    first = group[0]
    return _Content(first.signed_by, first.bound, first.address if first.bound and first.blind else None)


def _groups(plan: Plan) -> dict[int, list[RecipientPlan]]:
    groups: dict[int, list[RecipientPlan]] = {}
    for recipient in plan.recipients:
        if recipient.protection is not None:
            groups.setdefault(recipient.group, []).append(recipient)
    return groups


def _entity(head: bytes, body: Sequence[memoryview]) -> Sequence[bytes | memoryview]:
    """The MIME entity that is encrypted: small ones in one piece, large bodies without a copy."""
    if sum(map(len, body)) < _THREAD_BYTES:
        return (b"".join((head, *body)),)
    return (head, *body)


def _unique(certificates: Sequence[Certificate]) -> list[Certificate]:
    return list({certificate.thumbprint: certificate for certificate in certificates}.values())


def _oaep(group: Sequence[RecipientPlan]) -> frozenset[str]:
    """Certificates whose every owner in this envelope reads OAEP: a shared one has one RecipientInfo for all."""
    without = {key for plan in group if not plan.oaep for key in plan.keys}
    return frozenset(key for plan in group if plan.oaep for key in plan.keys if key not in without)


def _has_eight_bit(body: memoryview) -> bool:
    return not bytes(body).isascii() if len(body) < _THREAD_BYTES else _large_has_eight_bit(body)


def _large_has_eight_bit(body: memoryview) -> bool:
    step = 1_048_576
    return any(not bytes(body[start : start + step]).isascii() for start in range(0, len(body), step))
