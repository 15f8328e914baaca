"""From opened layers to what each recipient reads: version, tags, status fields, or the refusal that policy wants.

Mail that came in clear has one form for everybody. Mail that came encrypted has one for each way in which it could be
opened, and its own bytes for those who hold the keys themselves, or for nobody (P7, SMG-8).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from ime_gateway.base.errors import UnreadableCms, UnreadableMail
from ime_gateway.base.outcome import Refused
from ime_gateway.base.reasons import Reason
from ime_gateway.certs.certificate import Certificate
from ime_gateway.certs.trust import Anchors
from ime_gateway.mail.content_type import content_type_of
from ime_gateway.mail.headers import make_field
from ime_gateway.mail.message import Message
from ime_gateway.mail.pgp_mime import is_pgp_mime
from ime_gateway.mail.recognise import protection_of
from ime_gateway.mail.result_tags import with_tags
from ime_gateway.pipeline.incoming_policy import broken_signature, clear_verdict
from ime_gateway.pipeline.opened_version import delivered_message, withheld_message
from ime_gateway.pipeline.prepared import Prepared, Version
from ime_gateway.pipeline.signature_verdicts import (
    FoundSignature,
    Sender,
    Signed,
    found_signatures,
    signed_state,
)
from ime_gateway.pipeline.verdict_headers import detail_of, layer_fields, result_tags, sealed_fields
from ime_gateway.ports.directory import SiteView
from ime_gateway.ports.incoming import ContentKey
from ime_gateway.settings.site import Policy
from ime_gateway.smime.entity import cms_object
from ime_gateway.smime.layers import EncryptedLayer, LayerLimits, Opened
from ime_gateway.smime.read import read_cms
from ime_gateway.smime.structures import Enveloped

Judged = Mapping[int, tuple[FoundSignature, ...]]
"""Signatures with their verdicts by the `id` of what was opened."""

_LAYERED = frozenset(
    ("application/pkcs7-mime", "application/x-pkcs7-mime", "application/octet-stream", "multipart/signed")
)
_SEALED = "it came encrypted, was not opened here, and goes on as it came"
_WITHHELD = "it came encrypted and could not be opened; its content was left out"


@dataclass(frozen=True, slots=True)
class Arrived:
    """An incoming mail and everything that judging it needs."""

    prepared: Prepared
    """Markers and forged tags are gone."""
    view: SiteView
    moment: float
    """Seconds since 1970 UTC."""
    authors: frozenset[str]
    """From and Sender, as `Address.key`; empty when they cannot be read."""
    sender: Sender
    known: tuple[Certificate, ...]
    """Certificates that may be the signer's although they did not come along."""
    anchors: Anchors


def judge_signatures(arrived: Arrived, opened: Iterable[Opened]) -> Judged:
    """The signatures of each of these, with verdicts. Pure, so that a thread may do it."""
    return {id(one): found_signatures(one, arrived.sender, arrived.anchors, arrived.moment) for one in opened}


def came_encrypted(opened: Opened) -> bool:
    """Whether the mail, as far as it was opened, is encrypted as a whole beyond doubt: nothing of it can be read
    without a key, whatever it says of itself."""
    return opened.end == "undecryptable" or is_pgp_mime(opened.message)


def may_be_layered(message: Message) -> bool:
    """Whether there may be an S/MIME layer to take off, by the widest reading of its header."""
    try:
        return content_type_of(message.headers).media_type in _LAYERED
    except UnreadableMail:
        return True


def outermost_envelope(opened: Opened, limits: LayerLimits) -> Enveloped | None:
    """The encryption at which opening without keys came to its end; None when that was something else."""
    if opened.end != "undecryptable":
        return None
    try:
        octets = cms_object(opened.message)
        found = read_cms(octets, limits.cms) if octets is not None else None
    except (UnreadableMail, UnreadableCms):
        return None
    return found if isinstance(found, Enveloped) else None


def in_clear(arrived: Arrived, opened: Opened, judged: Judged) -> Prepared | Refused:
    """Mail without encryption: its signatures, and what policy says of clear mail from its sender."""
    policy = arrived.view.policy
    signatures, signed = _signatures(judged, opened)
    if policy.bad_signature == "refuse":
        unreadable = signed == "invalid" and not signatures
        if (broken := broken_signature(opened, signatures, unreadable=unreadable)) is not None:
            return broken
    prepared = arrived.prepared
    if policy.desktop_encrypted == "refuse" and _looks_encrypted(opened.message):
        return Refused(Reason.DESKTOP_ENCRYPTED, "")
    verdict = clear_verdict(arrived.authors, prepared.message, arrived.view, reports=prepared.sender is None)
    if isinstance(verdict, Refused):
        return verdict
    tags = list(result_tags(policy, opened=False, signed=signed))
    marks = list(layer_fields(opened, signatures, signed))
    if verdict == "mark":
        tags += [policy.tags.not_encrypted] if policy.result_tags else []
        marks.append(make_field("X-IMEGW-Clear", "yes"))
    return replace(
        prepared,
        message=_tagged(prepared.message, tags),
        signatures=signatures,
        marks=tuple(marks),
        detail=detail_of(opened, signatures, signed) if signed != "no" else "",
    )


def with_versions(arrived: Arrived, first: Opened, opened: Mapping[str, Opened], judged: Judged) -> Prepared | Refused:
    """Mail that came encrypted. first: as it is without keys; opened: by `Address.key`, with each recipient's keys."""
    policy = arrived.view.policy
    around, signed = _signatures(judged, first)
    if (refusal := _refusal(arrived, first, around, opened)) is not None:
        return refusal
    versions: dict[str, Version] = {}
    made: dict[int, Version | None] = {}
    for address, one in opened.items():
        if id(one) not in made:
            version = _version(arrived, one, judged)
            made[id(one)] = version if isinstance(version, Version) or version is None else None
            if isinstance(version, Refused):
                return version
        if (found := made[id(one)]) is not None:
            versions[address] = found
    tags = result_tags(policy, opened=False, signed=signed)
    return replace(
        arrived.prepared,
        message=_tagged(arrived.prepared.message, tags),
        versions=versions,
        came_encrypted=True,
        signatures=around,
        marks=(*sealed_fields(), *layer_fields(first, around, signed)),
        detail=_SEALED,
    )


def seal_again(prepared: Prepared, causes: Mapping[str, str], policy: Policy) -> Prepared:
    """The recipients in `causes` (`Address.key`) get the mail as it came, with a tag and why: what was opened is not
    for them (reason `ciphertext-reused`)."""
    if not causes:
        return prepared
    shown = prepared.message if policy.desktop_encrypted == "pass" else withheld_message(prepared.message)
    message = _tagged(shown, [policy.tags.copied] if policy.result_tags else [])
    marks = (*prepared.marks, make_field("X-IMEGW-Reused", "yes"))
    sealed = {
        cause: Version(message, Reason.CIPHERTEXT_REUSED, cause, marks, signatures=prepared.signatures)
        for cause in causes.values()
    }
    return replace(prepared, versions={**prepared.versions, **{who: sealed[cause] for who, cause in causes.items()}})


def _refusal(
    arrived: Arrived, first: Opened, around: tuple[FoundSignature, ...], opened: Mapping[str, Opened]
) -> Refused | None:
    """Refusals for what anybody can see from outside."""
    policy = arrived.view.policy
    if policy.bad_signature == "refuse" and (broken := broken_signature(first, around, unreadable=False)) is not None:
        return broken
    if policy.desktop_encrypted == "pass":
        return None
    for entry in arrived.prepared.recipients:
        one = opened[entry.address.key]
        if not one.encrypted and (one.for_others or first.end != "undecryptable"):
            return Refused(Reason.DESKTOP_ENCRYPTED, "", address=str(entry.address))
    return None


def _version(arrived: Arrived, opened: Opened, judged: Judged) -> Version | Refused | None:
    """The version of those for whom the mail was opened so far; None: as it came."""
    policy = arrived.view.policy
    scanned = opened.end in ("open", "partly-signed") and opened.encrypted
    message = delivered_message(arrived.prepared.message, opened, arrived.sender.tags)
    if policy.desktop_encrypted == "refuse" and (message is None or not scanned):
        return Version(withheld_message(arrived.prepared.message), Reason.DESKTOP_ENCRYPTED, _WITHHELD)
    if message is None:
        return None
    signatures, signed = _signatures(judged, opened)
    if policy.bad_signature == "refuse":
        unreadable = signed == "invalid" and not signatures
        if (broken := broken_signature(opened, signatures, unreadable=unreadable)) is not None:
            return broken
    layers = [layer for layer in opened.layers if isinstance(layer, EncryptedLayer)]
    unopened = opened.end in ("too-deep", "too-large") and _looks_encrypted(opened.message)
    inner = sealed_fields() if unopened or came_encrypted(opened) else ()
    return Version(
        message=_tagged(message, result_tags(policy, opened=True, signed=signed)),
        reason=Reason.DECRYPTED,
        detail=detail_of(opened, signatures, signed),
        marks=(*layer_fields(opened, signatures, signed), *inner),
        opened=tuple(ContentKey(one, layer.content_digest) for layer in layers for one in layer.encrypted_key_digests),
        opened_with=tuple(layer.opened_with for layer in layers),
        signatures=signatures,
        content=opened.message,
        unread=opened.end in ("too-deep", "too-large", "unreadable"),
        inside=tuple(layer.inside for layer in opened.layers),
    )


def _signatures(judged: Judged, opened: Opened) -> tuple[tuple[FoundSignature, ...], Signed]:
    signatures = judged[id(opened)]
    return signatures, signed_state(opened, signatures)


def _tagged(message: Message, tags: list[str] | tuple[str, ...]) -> Message:
    return message.with_headers(with_tags(message.headers, tags)) if tags else message


def _looks_encrypted(message: Message) -> bool:
    """It says that it is encrypted, or has an encrypted text in it: nobody here can tell what readers will see."""
    try:
        return protection_of(message) in ("smime-encrypted", "pgp-encrypted")
    except UnreadableMail:
        return True
