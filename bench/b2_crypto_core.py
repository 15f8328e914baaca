"""B2: how near `smime.encrypt` comes to what the primitives allow (design section 9).

    python bench/b2_crypto_core.py [--seconds 0.3] [--rounds 5]

The limit is measured in the same run, interleaved: AES over the whole message, base64 without line
breaks, and one RSA-2048 public operation for each recipient. Read the ratios; absolutes depend on the
machine and on who else works on it. The best of the rounds is kept on both sides.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

import pybase64
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC, GCM
from cryptography.x509.oid import NameOID

from ime_gateway.certs.certificate import Certificate
from ime_gateway.smime.encrypt import CipherName, encrypt_entity

KIB, MIB = 1024, 1024 * 1024
SIZES = {"4 KiB": 4 * KIB, "100 KiB": 100 * KIB, "1 MiB": MIB, "10 MiB": 10 * MIB}
RECIPIENTS = (1, 10, 100)
CIPHERS: tuple[CipherName, ...] = ("aes-256-cbc", "aes-256-gcm")
TARGETS = {"aes-256-cbc": 0.5, "aes-256-gcm": 0.3}
MANY_RECIPIENTS_TARGET = 0.75


@dataclass(frozen=True)
class Row:
    """One line of the table; both rates in messages per second on one core."""

    size: str
    recipients: int
    cipher: str
    limit: float
    ours: float
    target: float | None
    """Share of the limit that the design asks for; None: only shown."""

    @property
    def share(self) -> float:
        return self.ours / self.limit

    @property
    def held(self) -> bool:
        return self.target is None or self.share >= self.target


def make_certificates(count: int) -> list[Certificate]:
    """Certificates of `count` people. They share a few keys: the cost of using one is the same."""
    keys = [rsa.generate_private_key(65537, 2048) for _ in range(min(count, 4))]
    now = datetime.now(UTC)
    made = []
    for number in range(count):
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"person-{number}@acme.example")])
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(name)
        builder = builder.serial_number(x509.random_serial_number()).public_key(keys[number % len(keys)].public_key())
        builder = builder.not_valid_before(now).not_valid_after(now + timedelta(days=1))
        signed = builder.sign(keys[number % len(keys)], hashes.SHA256())
        made.append(Certificate.from_der(signed.public_bytes(serialization.Encoding.DER)))
    return made


def limit(message: bytes, recipients: Sequence[Certificate], cipher: CipherName, scratch: bytearray) -> None:
    """The work that no implementation can leave out, with nothing around it, not even an allocation."""
    key = os.urandom(32)
    mode = GCM(os.urandom(12)) if cipher == "aes-256-gcm" else CBC(os.urandom(16))
    encryptor = Cipher(AES(key), mode).encryptor()
    written = encryptor.update_into(message, scratch)
    encryptor.finalize()
    pybase64.b64encode(memoryview(scratch)[:written])
    for recipient in recipients:
        public = recipient.public_key
        assert isinstance(public, rsa.RSAPublicKey)
        public.encrypt(key, padding.PKCS1v15())


def ours(message: bytes, recipients: Sequence[Certificate], cipher: CipherName) -> None:
    """The S/MIME body, each piece given away as soon as it is made."""
    for _piece in encrypt_entity((message,), len(message), recipients, cipher, os.urandom):
        pass


def measure(actions: Sequence[Callable[[], None]], seconds: float, rounds: int) -> list[float]:
    """Calls per second of each action, measured in turns; the best of `rounds`."""
    best = [0.0] * len(actions)
    for _ in range(rounds):
        for index, action in enumerate(actions):
            calls, start = 0, time.perf_counter()
            while (spent := time.perf_counter() - start) < seconds or not calls:
                action()
                calls += 1
            best[index] = max(best[index], calls / spent)
    return best


def target_of(size: str, recipients: int, cipher: str) -> float | None:
    """What the design asks for in this cell."""
    if recipients == 1:
        return TARGETS[cipher]
    return MANY_RECIPIENTS_TARGET if size == "4 KiB" else None


def run(seconds: float = 0.3, rounds: int = 5) -> Iterator[Row]:
    """Measure every cell."""
    certificates = make_certificates(max(RECIPIENTS))
    for size, length in SIZES.items():
        message = os.urandom(length)
        for count in RECIPIENTS:
            for cipher in CIPHERS:
                people = certificates[:count]

                reference = partial(limit, message, people, cipher, bytearray(length + 16))
                product = partial(ours, message, people, cipher)
                product()
                rates = measure((reference, product), seconds, rounds)
                yield Row(size, count, cipher, rates[0], rates[1], target_of(size, count, cipher))


def main(arguments: Sequence[str] | None = None) -> list[Row]:
    """Print the table; returns its rows."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=0.3, help="time for each measurement")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of which the best is kept")
    options = parser.parse_args(arguments)
    print(f"{'size':>8} {'n':>4} {'cipher':12} {'limit/s':>10} {'ours/s':>10} {'share':>6} {'target':>7}")
    rows = []
    for row in run(options.seconds, options.rounds):
        wanted = "" if row.target is None else f"{row.target:.2f}" + ("" if row.held else " !")
        print(
            f"{row.size:>8} {row.recipients:>4} {row.cipher:12} {row.limit:>10,.0f} {row.ours:>10,.0f} "
            f"{row.share:>6.2f} {wanted:>7}",
            flush=True,
        )
        rows.append(row)
    return rows


if __name__ == "__main__":
    main()
