"""Whatever stands in a CMS object that can be read, judging and opening it ends with a verdict, never with an error."""

import random
import secrets
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ime_gateway.base.errors import UnreadableCertificate, UnreadableCms
from ime_gateway.certs.bundle import read_bundle
from ime_gateway.certs.key_bags import take_apart
from ime_gateway.smime.decrypt import Decrypted, LegacyPolicy, Undecryptable, decrypt
from ime_gateway.smime.owned_key import OwnedKey
from ime_gateway.smime.read import read_cms
from ime_gateway.smime.structures import Enveloped, Signed
from ime_gateway.smime.verify import SignatureFault, verify
from tests.cms_objects import in_vectors
from tests.pki import Entity, make_user
from tests.vectors import vectors_folder

TEXT = b"Content-Type: text/plain\r\n\r\nTen for Anna, none for Mallory.\r\n"
EVERYTHING = LegacyPolicy(triple_des=True, rc2=True, short_rsa=True)


@cache
def people() -> tuple[Entity, ...]:
    return make_user("anna@acme.example"), make_user("emil@acme.example", kind="ec")


@cache
def keys() -> tuple[OwnedKey, ...]:
    return tuple(OwnedKey(one.certificate, one.key) for one in people())


@cache
def made() -> tuple[bytes, ...]:
    """Signed and encrypted by openssl, with RSA and EC, with and without attributes, CBC and GCM, OAEP and PSS."""
    found = []
    with tempfile.TemporaryDirectory() as name:
        for number, one in enumerate(people()):
            certificate, key = (str(path) for path in one.write(Path(name), str(number)))
            signer = ["-sign", "-nodetach", "-signer", certificate, "-inkey", key]
            reader = ["-encrypt", "-recip", certificate]
            variants = [signer, [*signer, "-noattr"], [*signer, "-stream", "-keyid"]]
            variants += [[*reader, "-aes128"], [*reader, "-aes-256-gcm"], [*reader, "-des3", "-stream", "-keyid"]]
            if number == 0:
                variants += [
                    [*signer, "-keyopt", "rsa_padding_mode:pss"],
                    [*reader, "-keyopt", "rsa_padding_mode:oaep"],
                ]
            for options in variants:
                command = ["openssl", "cms", *options, "-binary", "-outform", "DER"]
                found.append(subprocess.run(command, input=TEXT, capture_output=True, check=True).stdout)
    return tuple(found)


@cache
def seeds() -> tuple[bytes, ...]:
    folder = vectors_folder()
    others = [data for _, data in in_vectors(folder) if len(data) < 6_000] if folder.is_dir() else []
    return (*made(), *others[::3])


def judge(data: bytes) -> set[bytes]:
    """The contents that were found to be signed intact, or opened with proof of integrity."""
    try:
        read = read_cms(data)
    except UnreadableCms:
        return set()
    known = [one.certificate for one in people()]
    if isinstance(read, Signed):
        believed = set()
        for content in (None, (memoryview(TEXT),), ()):
            for signer in verify(read, content, known, moment=2_000_000_000.0).signers:
                assert signer.intact == (signer.fault is SignatureFault.NONE)
                assert signer.intact <= (signer.certificate is not None and bool(signer.key_digest))
                if signer.intact:
                    believed.add(b"".join(content if content is not None else read.content or ()))
        return believed
    if isinstance(read, Enveloped):
        opened = decrypt(read, keys(), legacy=EVERYTHING, randomness=secrets.token_bytes)
        assert isinstance(opened, Decrypted | Undecryptable)
        if isinstance(opened, Decrypted) and opened.integrity:
            return {bytes(opened.content)}
    return set()


def test_the_honest_ones() -> None:
    """Without this, the verdicts below could all be `no`."""
    assert all(judge(data) <= {TEXT} for data in made())
    assert sum(judge(data) == {TEXT} for data in made()) == 9


@pytest.mark.parametrize("seed", range(6))
def test_changed_octets_never_make_another_text_believed(seed: int) -> None:
    choose = random.Random(seed)
    for data in made():
        for _ in range(40):
            changed = bytearray(data)
            for _ in range(choose.randrange(1, 3)):
                changed[choose.randrange(len(changed))] = choose.randrange(256)
            assert judge(bytes(changed)) <= {TEXT}


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    data = draw(st.sampled_from(seeds()))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        end = min(len(data), at + draw(st.sampled_from((0, 1, 2, 9, 60))))
        other = draw(st.sampled_from(seeds()))
        start = draw(st.integers(0, len(other) - 1))
        piece = draw(st.one_of(st.binary(max_size=3), st.just(other[start : start + end - at]), st.just(data[at:end])))
        data = data[:at] + piece + data[draw(st.sampled_from((at, end))) :]
    return data


@settings(max_examples=400, deadline=None)
@given(damaged())
def test_damage_ends_with_a_verdict(data: bytes) -> None:
    judge(data)


@cache
def pkcs12() -> bytes:
    return people()[0].pkcs12("secret", [people()[1]])


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 10_000), st.binary(max_size=4), st.integers(0, 6))
def test_damaged_pkcs12_is_taken_apart_or_left(at: int, change: bytes, cut: int) -> None:
    whole = pkcs12()
    taken = take_apart(whole[: at % len(whole)] + change + whole[cut + at % len(whole) :])
    assert taken is None or len(taken.keys) <= 1


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.binary(max_size=4), st.integers(0, 6))
def test_damaged_pkcs12_is_read_or_refused(at: int, change: bytes, cut: int) -> None:
    whole = pkcs12()
    try:
        read_bundle(whole[: at % len(whole)] + change + whole[cut + at % len(whole) :], "secret")
    except UnreadableCertificate as refused:
        assert str(refused).isprintable()
