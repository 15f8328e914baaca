"""B2, memory: what opening and verifying one IME 2.0 container adds to a process, as a multiple of its size.

    python -m bench.b2_container_memory [--mib 30]

Counted is peak resident memory (VmHWM) of a fresh process from before the message is there until its signed content
has been verified: the message itself is one of the multiples. Containers are made by `openssl cms`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.serialization import load_pem_private_key

from bench.b2_smime_read import HEADER, MEMORY_TARGET, MIB, Material, entity
from ime_gateway.certs.bundle import read_bundle
from ime_gateway.ime.container import OpenedContainer, open_unlocked, unlock
from ime_gateway.mail.message import parse_message
from ime_gateway.smime.owned_key import OwnedKey
from ime_gateway.smime.structures import CmsLimits

SHAPES = {
    "multipart/signed, DER": (("-sign",), ("-encrypt",)),
    "multipart/signed, BER": (("-sign",), ("-encrypt", "-stream")),
    "opaque, DER": (("-sign", "-nodetach"), ("-encrypt",)),
    "opaque, DER in BER": (("-sign", "-nodetach"), ("-encrypt", "-stream")),
    "opaque, BER in BER": (("-sign", "-nodetach", "-stream"), ("-encrypt", "-stream")),
}
"""Options of `openssl cms` for the inner and the outer layer; streaming writes indefinite lengths and segments."""


@dataclass(frozen=True)
class Row:
    """One shape of container."""

    shape: str
    mib: float
    factor: float

    def shown(self) -> dict[str, object]:
        return {
            "container": self.shape,
            "MiB": f"{self.mib:.0f}",
            "x its size": f"{self.factor:.2f}",
            "asked": f"{MEMORY_TARGET}",
        }


def make(material: Material, shape: str, size: int) -> bytes:
    """The carrier of an original of about `size` bytes."""
    signing, encrypting = SHAPES[shape]
    signer = ("-signer", material.pem, "-inkey", material.key_pem)
    signed = material.openssl(*signing, "-binary", "-md", "sha256", *signer, given=entity(size))
    made = material.openssl(*encrypting, "-binary", "-aes256", material.pem, given=_crlf(signed))
    return HEADER + _crlf(made).partition(b"\r\n\r\n")[2]


def _crlf(text: bytes) -> bytes:
    return text.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def measure_here(wire: Path, warm: Path, certificate: Path, key: Path) -> float:
    """In a fresh process: open a small container first, then the large one; growth by size."""
    (own,) = read_bundle(certificate.read_bytes(), None).certificates
    private_key = load_pem_private_key(key.read_bytes(), None)
    owned = OwnedKey(own, private_key)
    _open(bytearray(warm.read_bytes()), owned)
    size = wire.stat().st_size
    Path("/proc/self/clear_refs").write_text("5")
    before = _kib("VmRSS")
    received = bytearray(size)
    with wire.open("rb", buffering=0) as file:
        file.readinto(received)
    _open(received, owned)
    return (_kib("VmHWM") - before) * 1024 / size


def _open(received: bytearray, owned: OwnedKey) -> None:
    unlocked = unlock(parse_message(received), [owned], CmsLimits(), os.urandom)
    opened = open_unlocked(unlocked, [], CmsLimits())
    assert isinstance(opened, OpenedContainer), opened


def _kib(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1])
    raise KeyError(name)


def run(mib: int = 30) -> Iterator[Row]:
    """Measure every shape, each in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="imegw-bench-") as name:
        material = Material(Path(name))
        for shape in SHAPES:
            files = [material.folder / part for part in ("large", "small")]
            for file, size in zip(files, (mib * MIB, 4096), strict=True):
                file.write_bytes(make(material, shape, size))
            paths = [*files, material.pem, material.key_pem]
            command = [sys.executable, "-m", "bench.b2_container_memory", "--child", *map(str, paths)]
            factor = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
            yield Row(shape, files[0].stat().st_size / MIB, factor)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table, or as the child the one figure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--mib", type=int, default=30, help="size of the original")
    parser.add_argument("--child", nargs=4, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child:
        print(json.dumps(measure_here(*options.child)))
        return
    for row in run(options.mib):
        print("  ".join(f"{name} {value}" for name, value in row.shown().items()), flush=True)


if __name__ == "__main__":
    main()
