"""Thunderbird's S/MIME test mails (made with NSS): layer in layer, and who signed which."""

import csv
import re
import secrets
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from ime_gateway.certs.bundle import read_bundle
from ime_gateway.certs.trust import Anchors
from ime_gateway.keys.signer import address_match, judge_signer
from ime_gateway.mail.content_type import content_type_of
from ime_gateway.mail.message import Message, parse_message
from ime_gateway.smime.layers import EncryptedLayer, Layer, LayerLimits, SignedLayer, open_layers
from ime_gateway.smime.owned_key import OwnedKey
from tests.interop.conformance.judging import Case
from tests.interop.conformance.objects import certificate

SUITE = "Thunderbird S/MIME"
PASSWORD = "nss"


def cases(vectors: Path) -> Iterator[Case]:
    folder = vectors / "thunderbird-smime"
    with (folder / "expected.csv").open(encoding="utf-8", newline="") as rows:
        for row in csv.DictReader(rows):
            yield Case(SUITE, row["file"], partial(_mail, folder, row))
            if "enveloped" in row["layers_outer_to_inner"]:
                yield Case(SUITE, f"{row['file']} without the key", partial(_without_key, folder, row))
            if row["layers_outer_to_inner"].startswith(("clear", "opaque")):
                yield Case(SUITE, f"{row['file']} changed", partial(_changed, folder, row))


def _message(folder: Path, row: dict[str, str]) -> Message:
    return parse_message((folder / row["file"]).read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))


def _key(folder: Path, name: str) -> OwnedKey:
    bundle = read_bundle((folder / f"{name}.p12").read_bytes(), PASSWORD)
    (entry,) = bundle.private_keys
    (own,) = (one for one in bundle.certificates if one.thumbprint == entry.thumbprint)
    return OwnedKey.from_pkcs8(own, entry.pkcs8_der)


def _mail(folder: Path, row: dict[str, str]) -> None:
    """The layers exactly, every signature intact and on a path to the test CA, the outermost by the author."""
    message = _message(folder, row)
    opened = open_layers(message, [_key(folder, "Bob")], LayerLimits(), secrets.token_bytes)
    assert opened.end == "open", opened.evidence
    assert [_name(folder, layer) for layer in opened.layers] == row["layers_outer_to_inner"].split(" > ")
    assert content_type_of(opened.message.headers).media_type == row["innermost_body"]
    signed = [layer for layer in opened.layers if isinstance(layer, SignedLayer)]
    assert all(layer.report.signers[0].intact and layer.whole_body for layer in signed)
    author = message.headers.first("from")
    assert author is not None and author.text.strip() == row["from"]
    outermost = signed[0].report.signers[0].certificate
    assert outermost is not None and address_match(outermost, [row["from"]]).matches
    for layer in signed[1:]:
        inner = layer.report.signers[0].certificate
        assert inner is not None
        assert address_match(inner, [row["from"]]).matches == (inner == outermost), "it speaks for itself only"


def _name(folder: Path, layer: Layer) -> str:
    if isinstance(layer, EncryptedLayer):
        assert layer.opened_with == _key(folder, "Bob").certificate.thumbprint
        return "enveloped(Bob)"
    assert isinstance(layer, SignedLayer)
    (signer,) = layer.report.signers
    assert signer.certificate is not None and signer.signing_time is not None
    anchors = Anchors([certificate(folder / "TestCA.pem")])
    verdict = judge_signer(signer.certificate, anchors, signer.signing_time, layer.report.certificates)
    assert verdict.usable, verdict.detail
    who = re.search(r"CN=(\w+)", signer.certificate.subject)
    assert who
    return f"{'clear' if layer.detached else 'opaque'}-signed({who[1]})"


def _without_key(folder: Path, row: dict[str, str]) -> None:
    opened = open_layers(_message(folder, row), [_key(folder, "Dave")], LayerLimits(), secrets.token_bytes)
    assert opened.end == "undecryptable"
    assert not any(isinstance(layer, EncryptedLayer) for layer in opened.layers)


def _changed(folder: Path, row: dict[str, str]) -> None:
    """One letter of what is signed: whatever comes out, the outermost signature isn't intact."""
    message = _message(folder, row)
    body = bytearray(message.body)
    # A letter of the first part, or one of base64 in the middle of what is signed.
    detached = row["layers_outer_to_inner"].startswith("clear")
    at = body.index(b"\r\n\r\n", body.index(b"\r\nContent-Type:")) + 10 if detached else 900
    body[at] = ord("A") if body[at] != ord("A") else ord("B")
    opened = open_layers(
        replace(message, body=memoryview(body)), [_key(folder, "Bob")], LayerLimits(), secrets.token_bytes
    )
    outer = opened.layers[0] if opened.layers else None
    assert outer is None or (isinstance(outer, SignedLayer) and not outer.report.signers[0].intact)
