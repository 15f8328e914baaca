"""Wycheproof: each primitive that we assemble, through the code that assembles it."""

import binascii
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa, x25519
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_pem_private_key

from ime_gateway.base.errors import UnreadableCms
from ime_gateway.certs import der
from ime_gateway.smime import signature_algorithms as algorithms
from ime_gateway.smime.content_decrypt import open_content, read_cipher
from ime_gateway.smime.key_agreement import AgreementPrivateKey, agree_with_originator
from ime_gateway.smime.key_unwrap import KEY_WRAPS, read_transport, unwrap
from ime_gateway.smime.structures import AlgorithmIdentifier, Enveloped
from tests.interop.conformance.certified import certified
from tests.interop.conformance.judging import PASSED, Case, Excuse, Outcome

SUITE = "Wycheproof"
DIGESTS = {
    "SHA-1": "1.3.14.3.2.26",
    "SHA-224": "2.16.840.1.101.3.4.2.4",
    "SHA-256": "2.16.840.1.101.3.4.2.1",
    "SHA-384": "2.16.840.1.101.3.4.2.2",
    "SHA-512": "2.16.840.1.101.3.4.2.3",
    "SHA-512/224": "2.16.840.1.101.3.4.2.5",
    "SHA-512/256": "2.16.840.1.101.3.4.2.6",
}
GCM = {128: "2.16.840.1.101.3.4.1.6", 192: "2.16.840.1.101.3.4.1.26", 256: "2.16.840.1.101.3.4.1.46"}
Test = Mapping[str, Any]
Judge = Callable[[Test, Test], bytes | str | None]
"""Group and test; the output, `GOOD` for a signature that matches, None when refused, or an excuse."""
GOOD = b"good"


def cases(vectors: Path) -> Iterator[Case]:
    folder = vectors / "wycheproof"
    for path in sorted(folder.glob("*_test.json")):
        yield Case(SUITE, path.stem.removesuffix("_test"), partial(_file, path))


def _file(path: Path) -> Outcome:
    data = json.loads(path.read_text(encoding="utf-8"))
    judge, output = _judge_of(data["algorithm"])
    if isinstance(judge, Excuse):
        return Counter({judge.value: data["numberOfTests"]})
    outcome: Outcome = Counter()
    for group in data["testGroups"]:
        for test in group["tests"]:
            outcome[_compare(judge(group, test), test, output)] += 1
    assert outcome.total() == data["numberOfTests"]
    return outcome


def _compare(got: bytes | str | None, test: Test, output: str) -> str:
    if isinstance(got, str):
        assert test["result"] != "invalid"
        return got
    right = bytes.fromhex(test[output]) if output else GOOD
    match test["result"]:
        case "valid":
            assert got == right, test
        case "acceptable":
            assert got in (right, None), test
        case _:
            assert got is None, test
    return PASSED


def _judge_of(algorithm: str) -> tuple[Judge | Excuse, str]:
    """Who judges it, and where the right output stands; or why nobody does."""
    table: dict[str, tuple[Judge | Excuse, str]] = {
        "RSAES-OAEP": (_oaep, "msg"),
        "RSAES-PKCS1-v1_5": (_pkcs1, "msg"),
        "RSASSA-PKCS1-v1_5": (partial(_signature, "1.2.840.113549.1.1.11"), ""),
        "RSASSA-PSS": (partial(_signature, "1.2.840.113549.1.1.10"), ""),
        "ECDSA": (partial(_signature, "1.2.840.10045.4.3.2"), ""),
        "EDDSA": (partial(_signature, "1.3.101.112"), ""),
        "ECDH": (_agreement, "shared"),
        "XDH": (_agreement, "shared"),
        "AES-GCM": (_gcm, "msg"),
        "AES-WRAP": (_wrap, "msg"),
        "HKDF-SHA-256": (Excuse.LIBRARY, ""),
        "ML-KEM": (Excuse.POST_QUANTUM_KEY, ""),
    }
    return table[algorithm]


def _algorithm(name: str) -> bytes:
    return der.sequence(der.oid(DIGESTS[name]), der.NULL)


def _mask(name: str) -> bytes:
    return der.sequence(der.oid("1.2.840.113549.1.1.8"), _algorithm(name))


def _oaep(group: Test, test: Test) -> bytes | None:
    label = der.sequence(der.oid("1.2.840.113549.1.1.9"), der.octet_string(bytes.fromhex(test["label"])))
    fields = (der.tlv(0xA0, _algorithm(group["sha"])), der.tlv(0xA1, _mask(group["mgfSha"])), der.tlv(0xA2, label))
    method = read_transport(AlgorithmIdentifier("1.2.840.113549.1.1.7", der.sequence(*fields)))
    assert method is not None
    return method.unwrap(_rsa(group), bytes.fromhex(test["ct"]))


def _pkcs1(group: Test, test: Test) -> bytes | None:
    """An invalid padding gives something else instead of an error, always the same: implicit rejection."""
    method = read_transport(AlgorithmIdentifier("1.2.840.113549.1.1.1", der.NULL))
    assert method is not None
    key, ciphertext = _rsa(group), bytes.fromhex(test["ct"])
    opened = method.unwrap(key, ciphertext)
    if test["result"] == "invalid":
        assert opened == method.unwrap(key, ciphertext)
        assert (opened is None) == ("InvalidCiphertextFormat" in test["flags"])  # its length or size: no secret
        assert opened != bytes.fromhex(test["msg"]) or not opened
        return None
    return opened


def _rsa(group: Test) -> rsa.RSAPrivateKey:
    key = load_der_private_key(bytes.fromhex(group["privateKeyPkcs8"]), None, unsafe_skip_rsa_key_validation=True)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


class _Signed:
    def __init__(self, message: bytes) -> None:
        self._message = message

    def digest(self, name: str) -> bytes:
        return algorithms.digest(name, (self._message,))

    def whole(self) -> bytes:
        return self._message


def _signature(oid: str, group: Test, test: Test) -> bytes | None:
    parameters = None
    if group["type"].startswith("RsassaPss"):
        salt = der.tlv(0xA2, der.integer(group["sLen"]))
        fields = (der.tlv(0xA0, _algorithm(group["sha"])), der.tlv(0xA1, _mask(group["mgfSha"])), salt)
        parameters = der.sequence(*fields)
    name = "sha512" if oid == "1.3.101.112" else "sha256"
    scheme = algorithms.read_scheme(AlgorithmIdentifier(oid, parameters), name, with_attributes=True)
    assert isinstance(scheme, algorithms.Scheme)
    certificate = certified(bytes.fromhex(group["publicKeyDer"]))
    signature = bytes.fromhex(test["sig"])
    fault = algorithms.check(certificate, scheme, signature, _Signed(bytes.fromhex(test["msg"])))
    return None if fault else GOOD


def _agreement(group: Test, test: Test) -> bytes | None:
    """A key of ours that cannot be read would not have come into the store; the sender's may be anything."""
    try:
        private, public = _pair(group["type"], group["curve"], test)
    except ValueError:
        return None
    return agree_with_originator(private, public)


def _pair(kind: str, curve: str, test: Test) -> tuple[AgreementPrivateKey, bytes]:
    if kind in ("XdhPemComp", "EcdhPemTest"):
        private = load_pem_private_key(test["private"].encode(), None)
        public = _from_pem(test["public"])
    else:
        private = _private(kind, curve, test["private"])
        public = bytes.fromhex(test["public"])
        if kind == "XdhComp":
            public = der.sequence(der.sequence(der.oid("1.3.101.110")), der.tlv(0x03, b"\0" + public))
    assert isinstance(private, (ec.EllipticCurvePrivateKey, x25519.X25519PrivateKey))
    return private, public


def _private(kind: str, curve: str, text: str) -> AgreementPrivateKey:
    if kind == "XdhComp":
        return x25519.X25519PrivateKey.from_private_bytes(bytes.fromhex(text))
    if kind == "XdhAsnComp":
        loaded = load_der_private_key(bytes.fromhex(text), None)
        assert isinstance(loaded, x25519.X25519PrivateKey)
        return loaded
    curves = {"secp256r1": ec.SECP256R1(), "secp384r1": ec.SECP384R1()}
    return ec.derive_private_key(int(text, 16), curves[curve])


def _from_pem(text: str) -> bytes:
    return binascii.a2b_base64("".join(line for line in text.split("\n") if not line.startswith("-----")))


def _gcm(group: Test, test: Test) -> bytes | str | None:
    nonce, tag = bytes.fromhex(test["iv"]), bytes.fromhex(test["tag"])
    parameters = der.sequence(der.octet_string(nonce), der.integer(group["tagSize"] // 8))
    attributes = bytes.fromhex(test["aad"]) or None
    algorithm = AlgorithmIdentifier(GCM[group["keySize"]], parameters)
    ciphertext = (memoryview(bytes.fromhex(test["ct"])),)
    envelope = Enveloped(True, 0, (), "1.2.840.113549.1.7.1", algorithm, ciphertext, attributes, tag)
    try:
        cipher = read_cipher(envelope)
    except UnreadableCms:
        return None
    if isinstance(cipher, str):
        assert "nonce" in cipher
        return Excuse.NONCE if test["result"] == "valid" else None
    opened = open_content(cipher, (bytes.fromhex(test["key"]),), envelope)
    return None if opened is None else bytes(opened.content)


def _wrap(group: Test, test: Test) -> bytes | None:
    (wrap,) = (one for one in KEY_WRAPS.values() if one.key_bytes * 8 == group["keySize"] and not one.triple_des)
    return unwrap(wrap, bytes.fromhex(test["key"]), bytes.fromhex(test["ct"]))
