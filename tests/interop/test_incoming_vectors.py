"""Mail of other programs through the whole gateway: opened for its reader, tagged by what it is, still verifiable."""

import csv
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ime_gateway.base.outcome import Accepted
from ime_gateway.certs.bundle import read_bundle
from ime_gateway.settings.site import ManagedDomain, Policy
from tests.core import Core, Delivered, close, make_core
from tests.interop.conformance.objects import certificate
from tests.vectors import vectors_folder

THUNDERBIRD = vectors_folder() / "thunderbird-smime"


def _rows() -> list[dict[str, str]]:
    if not THUNDERBIRD.is_dir():
        return []
    with (THUNDERBIRD / "expected.csv").open(encoding="utf-8", newline="") as rows:
        return list(csv.DictReader(rows))


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory, vectors: Path) -> Iterator[Core]:
    made = make_core(tmp_path_factory.mktemp("vectors"))
    folder = vectors / "thunderbird-smime"
    bundle = read_bundle((folder / "Bob.p12").read_bytes(), "nss")
    (entry,) = bundle.private_keys
    (own,) = (one for one in bundle.certificates if one.thumbprint == entry.thumbprint)

    def set_up(live: object) -> None:
        live.put_policy(Policy(legacy_decryption=True))  # type: ignore[attr-defined]
        domain = ManagedDomain(name="example.com", deliver_to="smtp://127.0.0.1:25")
        live.put_managed_domain(domain, ())  # type: ignore[attr-defined]
        live.put_certificate(own, ("bob@example.com",), entry.pkcs8_der)  # type: ignore[attr-defined]
        live.put_root(certificate(folder / "TestCA.pem"))  # type: ignore[attr-defined]
        live.put_root(certificate(vectors / "rfc9216" / "ca.rsa.crt"))  # type: ignore[attr-defined]

    made.configure(set_up)
    yield made
    close(made)


def arrive(core: Core, data: bytes, sender: str, recipient: str) -> Delivered:
    outcome, (copy,) = core.send(data, sender, [recipient], "internet")
    assert isinstance(outcome, Accepted)
    return copy


def openssl_verifies(wire: bytes) -> bytes:
    command = ["openssl", "cms", "-verify", "-CAfile", str(THUNDERBIRD / "TestCA.pem"), "-purpose", "any"]
    done = subprocess.run(command, input=wire, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("row", _rows(), ids=lambda row: row["file"])
def test_thunderbird(core: Core, row: dict[str, str]) -> None:
    layers = row["layers_outer_to_inner"].split(" > ")
    copy = arrive(core, (THUNDERBIRD / row["file"]).read_bytes(), row["from"], "Bob@example.com")
    head = copy.unfolded
    opened = any(layer.startswith("enveloped") for layer in layers)
    assert ("X-SM-decrypted: yes" in head) == ("[secure]" in head) == opened
    assert head.count("X-IMEGW-Signature:") == head.count("intact=yes") == head.count("trust=yes")
    assert head.count("X-IMEGW-Signature:") == sum("signed" in layer for layer in layers)
    inside = layers[layers.index("enveloped(Bob)") + 1 :] if opened else layers
    assert ("[signed OK]" in head) == bool(inside) and "[signed INVALID]" not in head
    if inside:
        content = copy.wire
        for _ in inside:
            content = openssl_verifies(content)
        assert f"Content-Type: {row['innermost_body']}".encode() in content
    else:
        assert row["innermost_body"] in head


@pytest.mark.parametrize("name", ["smime-one-part-hp", "smime-multipart-hp"])
def test_protected_headers(core: Core, vectors: Path, name: str) -> None:
    data = (vectors / "rfc9788-rebuilt" / f"{name}.eml").read_bytes()
    copy = arrive(core, data, "alice@smime.example", "Bob@example.com")
    assert f"Subject: {name} [signed OK]" in copy.unfolded
    assert (
        "[signed INVALID]"
        in arrive(
            core, data.replace(b"\nSubject: smime", b"\nSubject: other", 1), "alice@smime.example", "Bob@example.com"
        ).unfolded
    )
