"""B2, second half: encrypt, decrypt, sign and verify, against `openssl cms` and `cryptography`'s PKCS#7.

    python -m bench.b2_smime_read [--seconds 0.3] [--rounds 3] [--only decrypt]

All rates of a line are measured in one run, in turns; the best of the rounds is kept. `openssl cms` is one
process for each message, as a gateway without a library would run it. The limit of decryption is what no
implementation can leave out: one RSA private operation, AES over all, base64 of all in one piece.
"""

import argparse
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pybase64
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES, AES256
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.serialization import pkcs7

from bench.b2_crypto_core import SIZES, measure
from bench.material import certificate as make_certificate
from ime_gateway.certs.certificate import Certificate
from ime_gateway.mail.message import parse_message
from ime_gateway.smime.encrypt import encrypt_entity
from ime_gateway.smime.layers import EncryptedLayer, LayerLimits, SignedLayer, open_layers
from ime_gateway.smime.owned_key import OwnedKey
from ime_gateway.smime.sign import SigningKey, sign_detached

MIB = 1024 * 1024
DECRYPT_TARGET = 0.25
"""Share of the limit that decryption of a 10 MiB BER message must reach (issue 3)."""
MEMORY_TARGET = 2.5
"""Times the size of a container that opening it may add to the process."""
HEADER = (
    b"MIME-Version: 1.0\r\nContent-Type: application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m\r\n"
    b"Content-Transfer-Encoding: base64\r\n\r\n"
)
TEXT_HEADER = b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n"
Action = Callable[[], object]


@dataclass(frozen=True)
class Row:
    """One line of the table; rates in messages per second, 0 where somebody cannot do it."""

    verb: str
    size: str
    ours: float
    openssl: float
    library: float
    limit: float

    @property
    def held(self) -> bool:
        return not self.limit or self.size != "10 MiB" or self.ours >= DECRYPT_TARGET * self.limit

    def shown(self) -> dict[str, object]:
        return {
            "verb": self.verb,
            "size": self.size,
            "ours/s": f"{self.ours:,.0f}" if self.ours >= 100 else f"{self.ours:.1f}",
            "x openssl cms": f"{self.ours / self.openssl:.1f}",
            "x cryptography": f"{self.ours / self.library:.2f}" if self.library else "-",
            "share of limit": f"{self.ours / self.limit:.2f}" if self.limit else "-",
        }


class Material:
    """One person with an RSA-2048 key, in memory for us and on disk for openssl."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = rsa.generate_private_key(65537, 2048)
        self.x509 = make_certificate("person@acme.example", self.key)
        self.certificate = Certificate.from_der(self.x509.public_bytes(serialization.Encoding.DER))
        self.owned = OwnedKey(self.certificate, self.key)
        self.signer = SigningKey(self.certificate, self.key)
        self.pem, self.key_pem = folder / "person.pem", folder / "person.key"
        self.pem.write_bytes(self.x509.public_bytes(serialization.Encoding.PEM))
        self.key_pem.write_bytes(
            self.key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )

    def openssl(self, *arguments: str | Path, given: bytes = b"") -> bytes:
        """One `openssl cms` process; ends the run when it fails."""
        command = ["openssl", "cms", *map(str, arguments)]
        return subprocess.run(command, input=given, capture_output=True, check=True).stdout


def entity(size: int) -> bytes:
    """A MIME entity of about `size` bytes: an attachment, as most of large mail is."""
    octets = os.urandom(max(size - len(TEXT_HEADER), 1) * 3 // 4 * 76 // 78)
    return TEXT_HEADER + pybase64.encodebytes(octets).replace(b"\n", b"\r\n")


def encrypting(material: Material, size: int) -> tuple[Action, Action, Action, Action | None]:
    """AES-256-CBC for one recipient, as a base64 body."""
    text = entity(size)
    file = material.folder / "text"
    file.write_bytes(text)
    options = ("-encrypt", "-binary", "-aes256", "-in", file, material.pem)
    builder = pkcs7.PKCS7EnvelopeBuilder().set_data(text).add_recipient(material.x509)
    builder = builder.set_content_encryption_algorithm(AES256)

    def ours() -> None:
        for _ in encrypt_entity((text,), len(text), [material.certificate], "aes-256-cbc", os.urandom):
            pass

    def library() -> bytes:
        return builder.encrypt(serialization.Encoding.SMIME, [pkcs7.PKCS7Options.Binary])

    return ours, partial(material.openssl, *options), library, None


def decrypting(material: Material, size: int) -> tuple[Action, Action, Action, Action | None]:
    """A message by `openssl cms -stream`: BER with indefinite lengths, its content in small segments."""
    text = entity(size)
    made = material.openssl("-encrypt", "-binary", "-stream", "-aes256", material.pem, given=text)
    wire = HEADER + made.replace(b"\r\n", b"\n").partition(b"\n\n")[2].replace(b"\n", b"\r\n")
    file = material.folder / "encrypted"
    file.write_bytes(wire)
    reader = ("-decrypt", "-binary", "-in", file, "-recip", material.pem, "-inkey", material.key_pem)
    # `cryptography` reads DER only: it gets the message with definite lengths.
    der = material.openssl("-encrypt", "-binary", "-aes256", "-outform", "DER", material.pem, given=text)
    armoured = pybase64.encodebytes(der)
    body, key, scratch = pybase64.b64encode(der), os.urandom(32), bytearray(len(der) + 32)
    wrapped = material.key.public_key().encrypt(key, padding.PKCS1v15())

    def ours() -> None:
        opened = open_layers(parse_message(wire), [material.owned], LayerLimits(), os.urandom)
        assert isinstance(opened.layers[0], EncryptedLayer), opened.evidence

    def library() -> bytes:
        decoded = pybase64.b64decode(armoured)
        return pkcs7.pkcs7_decrypt_der(decoded, material.x509, material.key, [])

    def limit() -> None:
        octets = pybase64.b64decode(body)
        material.key.decrypt(wrapped, padding.PKCS1v15())
        decryptor = Cipher(AES(key), CBC(bytes(16))).decryptor()
        decryptor.update_into(memoryview(octets)[: len(octets) // 16 * 16], scratch)

    return ours, partial(material.openssl, *reader), library, limit


def signing(material: Material, size: int) -> tuple[Action, Action, Action, Action | None]:
    """A detached signature (SHA-256, RSA)."""
    text = entity(size)
    file = material.folder / "text"
    file.write_bytes(text)
    signer = ("-signer", material.pem, "-inkey", material.key_pem)
    options = ("-sign", "-binary", "-md", "sha256", "-outform", "DER", "-in", file, *signer)
    builder = pkcs7.PKCS7SignatureBuilder().set_data(text).add_signer(material.x509, material.key, hashes.SHA256())
    flags = [pkcs7.PKCS7Options.DetachedSignature, pkcs7.PKCS7Options.Binary]

    def ours() -> bytes:
        return sign_detached((text,), material.signer, moment=1_750_000_000.0, capabilities=None)

    def library() -> bytes:
        return builder.sign(serialization.Encoding.DER, flags)

    return ours, partial(material.openssl, *options), library, None


def verifying(material: Material, size: int) -> tuple[Action, Action, Action | None, Action | None]:
    """multipart/signed by `openssl cms`; `cryptography` verifies nothing."""
    text = entity(size)
    signer = ("-signer", material.pem, "-inkey", material.key_pem)
    made = material.openssl("-sign", "-binary", "-md", "sha256", *signer, given=text)
    head, _, body = made.replace(b"\r\n", b"\n").partition(b"\n\n")
    wire = head.replace(b"\n", b"\r\n") + b"\r\n\r\n" + body.replace(b"\n", b"\r\n")
    file = material.folder / "signed"
    file.write_bytes(wire)
    options = ("-verify", "-noverify", "-in", file)

    def ours() -> None:
        (layer,) = open_layers(parse_message(wire), [], LayerLimits(), os.urandom).layers
        assert isinstance(layer, SignedLayer) and layer.report.signers[0].intact

    return ours, partial(material.openssl, *options), None, None


VERBS: dict[str, Callable[[Material, int], tuple[Action, Action, Action | None, Action | None]]] = {
    "encrypt": encrypting,
    "decrypt": decrypting,
    "sign": signing,
    "verify": verifying,
}


def run(seconds: float = 0.3, rounds: int = 3, only: Sequence[str] = ()) -> Iterator[Row]:
    """Measure every cell."""
    with tempfile.TemporaryDirectory(prefix="imegw-bench-") as name:
        material = Material(Path(name))
        for verb, prepare in VERBS.items():
            if only and verb not in only:
                continue
            for size, length in SIZES.items():
                actions = prepare(material, length)
                for action in actions:
                    if action:
                        action()
                present = [action for action in actions if action]
                rates = iter(measure([_quiet(action) for action in present], seconds, rounds))
                ours, openssl, library, limit = (next(rates) if action else 0.0 for action in actions)
                yield Row(verb, size, ours, openssl, library, limit)


def _quiet(action: Action) -> Callable[[], None]:
    def call() -> None:
        action()

    return call


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=0.3, help="time for each measurement")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of which the best is kept")
    parser.add_argument("--only", action="append", default=[], choices=sorted(VERBS))
    options = parser.parse_args(arguments)
    for row in run(options.seconds, options.rounds, options.only):
        print("  ".join(f"{name} {value}" for name, value in row.shown().items()), "" if row.held else "!", flush=True)


if __name__ == "__main__":
    main()
