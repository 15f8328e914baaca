"""RFC 9788 appendix C: two signed mails with header protection, hp="clear"."""

import base64
import secrets
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from ime_gateway.certs.trust import Anchors
from ime_gateway.keys.signer import address_match, judge_signer
from ime_gateway.mail.header_protection import read_protected
from ime_gateway.mail.message import Message, parse_message
from ime_gateway.smime.layers import LayerLimits, SignedLayer, open_layers
from ime_gateway.smime.signature_report import SignatureFault
from tests.interop.conformance.judging import Case
from tests.interop.conformance.objects import certificate

SUITE = "RFC 9788"
MOMENT = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
NAMES = ("smime-one-part-hp", "smime-multipart-hp")


def cases(vectors: Path) -> Iterator[Case]:
    for name in NAMES:
        path = vectors / "rfc9788-rebuilt" / f"{name}.eml"
        root = vectors / "rfc9216" / "ca.rsa.crt"
        yield Case(SUITE, name, partial(_signature, path, root))
        yield Case(SUITE, f"{name} headers", partial(_headers, path))
        yield Case(SUITE, f"{name} changed", partial(_changed, path))


def _message(path: Path) -> Message:
    return parse_message(path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))


def _layer(message: Message) -> SignedLayer:
    opened = open_layers(message, [], LayerLimits(), secrets.token_bytes)
    assert opened.end == "open", opened.evidence
    (layer,) = opened.layers
    assert isinstance(layer, SignedLayer)
    return layer


def _signature(path: Path, root: Path) -> None:
    layer = _layer(_message(path))
    (signer,) = layer.report.signers
    assert signer.intact and layer.whole_body and signer.certificate is not None
    assert judge_signer(signer.certificate, Anchors([certificate(root)]), MOMENT).usable
    assert address_match(signer.certificate, ["alice@smime.example"]).matches


def _headers(path: Path) -> None:
    """Every field stands inside as it does outside; nothing of it was confidential."""
    message = _message(path)
    protected = read_protected(_layer(message).inside)
    assert protected is not None and protected.kind == "clear" and protected.confidential == frozenset()
    for name in ("from", "to", "subject", "date", "message-id", "user-agent"):
        inside, outside = protected.fields.first(name), message.headers.first(name)
        assert inside is not None and outside is not None and inside.text == outside.text, name
    assert {field.key for field in protected.fields.fields} >= {"from", "to", "subject"}


def _changed(path: Path) -> None:
    """The fields that are protected are covered by the signature."""
    message = _message(path)
    octets = base64.b64decode(message.body) if path.stem == "smime-one-part-hp" else bytes(message.body)
    at = octets.index(b"Subject: ") + len(b"Subject: ")
    changed = octets[:at] + bytes((octets[at] ^ 1,)) + octets[at + 1 :]
    body = base64.encodebytes(changed).replace(b"\n", b"\r\n") if path.stem == "smime-one-part-hp" else changed
    (signer,) = _layer(replace(message, body=memoryview(body))).report.signers
    assert signer.fault is SignatureFault.CONTENT_CHANGED
