"""Which certificate of a contact Outlook takes, and why another is passed over."""

import struct
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID
from hypothesis import given
from hypothesis import strategies as st

from addin_sim.address_list.outlook_certificates import PLAIN, SMIME, Candidate, candidates, chosen, time_problem
from addin_sim.address_list.publisher import shown
from addin_sim.own_keys import thumbprint
from tests.ime_contact import contact_of
from tests.pki import NOW, Entity, key_usage, make_ca, make_user, new_key, pkcs7_bundle

DCA = "domain-confidentiality-authority@ime.acme.example"
MOMENT = NOW.timestamp()


def tags(*parts: tuple[int, bytes]) -> bytes:
    return b"".join(struct.pack("<HH", tag, len(data) + 4) + data for tag, data in parts)


def judged(smime: list[bytes], plain: list[bytes], moment: float = MOMENT) -> tuple[Candidate, ...]:
    return candidates(tuple(smime), tuple(plain), DCA, moment)


def problems(entity: Entity) -> tuple[str, ...]:
    (one,) = judged([], [entity.der])
    assert one.usable == (not one.problems)
    return one.problems


@pytest.fixture
def old() -> Entity:
    return make_user(DCA)


@pytest.fixture
def new() -> Entity:
    return make_user(DCA)


def test_the_signed_value_comes_first_even_when_it_is_the_older_one(old: Entity, new: Entity) -> None:
    value = contact_of(DCA, owner=old).smime_value
    best = chosen(judged([value], [new.der]))
    assert best is not None and (best.source, best.certificate) == (SMIME, old.x509)


def test_an_expired_value_gives_way(new: Entity) -> None:
    old = make_user(DCA, expired=True)
    found = judged([contact_of(DCA, owner=old).smime_value], [new.der])
    assert [one.usable for one in found] == [False, True]
    assert chosen(found) == found[1]
    assert found[0].problems[0].startswith("expired on ")


def test_the_first_fit_one_of_several(old: Entity, new: Entity) -> None:
    found = judged([], [make_user(DCA, expired=True).der, b"junk", old.der, new.der])
    assert [one.usable for one in found] == [False, False, True, True]
    assert chosen(found) == found[2]
    assert found[1].sentence == "a value of userCertificate holds no certificate that can be read"


def test_the_form_of_tags_prefers_the_certificate_to_encrypt_to(old: Entity, new: Entity) -> None:
    value = tags((1, b"\x01\0\0\0"), (2, b"\x30\0"), (8, old.der), (6, b"\x01\0\0\0"), (3, new.der), (0x0B, b"name\0"))
    found = judged([value], [])
    assert [one.certificate for one in found] == [new.x509, old.x509]


def test_people_are_shown_the_certificate_of_a_value_in_any_form(old: Entity) -> None:
    name = f"certificate {thumbprint(old.x509)} (until"
    assert shown(old.der).startswith(name)
    assert shown(pkcs7_bundle([old])).startswith(f"signed value of {name}")
    assert shown(tags((3, old.der))).startswith(f"unsigned value of {name}")
    assert shown(b"junk") == "4 bytes that are no certificate"


@pytest.mark.parametrize(
    "value", [b"", b"\x03", b"\x03\0\x03\0", b"\x03\0\xff\xff" + b"x" * 9, b"\x30", b"\x30\x80" * 40]
)
def test_a_damaged_value_is_passed_over(value: bytes, new: Entity) -> None:
    found = judged([value], [new.der])
    assert (found[0].source, found[0].usable) == (SMIME, False)
    best = chosen(found)
    assert best is not None and best.source == PLAIN


def without_meaning(der: bytes) -> bytes:
    """X.509 has no version 6, and `cryptography` no ValueError for it."""
    return der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x05", 1)


def bits_for_letters(der: bytes) -> bytes:
    """The common name is a BIT STRING."""
    place = der.index(b"\x06\x03\x55\x04\x03", der.index(b"Z0")) + 5  # of the subject: behind the dates
    return der[:place] + b"\x03" + der[place + 1 :]


@pytest.mark.parametrize("spoil", [without_meaning, bits_for_letters])
def test_a_certificate_that_makes_no_sense_is_passed_over(spoil: Callable[[bytes], bytes], new: Entity) -> None:
    value = contact_of(owner=new).smime_value
    bad = spoil(new.der)
    found = judged([bad, value.replace(new.der, bad)], [bad, new.der])
    assert [candidate.certificate is None for candidate in found] == [True, True, True, False]
    assert chosen(found) is found[3]
    assert time_problem(bad, PLAIN, MOMENT) == "it holds no certificate that can be read"
    assert shown(bad) == f"{len(bad)} bytes that are no certificate"


@given(st.binary(max_size=200), st.sampled_from([b"", b"\x30", b"\x03\0", b"\x30\x82"]))
def test_whatever_stands_there_is_judged(value: bytes, head: bytes) -> None:
    found = judged([head + value], [head + value])
    assert len(found) == 2
    assert chosen(found) is None


def test_a_chain_in_the_value_does_not_confuse(new: Entity) -> None:
    authority = make_ca()
    found = judged([pkcs7_bundle([authority, make_user(DCA, authority)])], [])
    best = chosen(found)
    assert len(found) == 2 and best is not None and best.certificate is not None
    assert best.certificate.issuer == authority.x509.subject


def test_a_value_that_openssl_made_is_read(new: Entity, tmp_path: Path) -> None:
    certificate, key = new.write(tmp_path, "ime")
    (tmp_path / "empty").write_bytes(b"")
    subprocess.run(
        [
            *("openssl", "cms", "-sign", "-in", tmp_path / "empty", "-signer", certificate, "-inkey", key),
            *("-outform", "DER", "-binary", "-md", "sha256", "-out", tmp_path / "value"),
        ],
        check=True,
        capture_output=True,
    )
    best = chosen(judged([(tmp_path / "value").read_bytes()], []))
    assert best is not None and best.certificate == new.x509


@pytest.mark.parametrize(
    ("entity", "words"),
    [
        (lambda: make_user("dca@ime.other.example"), "belongs to dca@ime.other.example, not to ime.acme.example"),
        (lambda: make_user("dca@xime.acme.example"), "belongs to dca@xime.acme.example, not to"),
        (lambda: make_user(DCA, not_yet=True), "is valid from"),
        (lambda: make_user(DCA, expired=True), "expired on"),
        (lambda: make_user(DCA, kind="ec"), "has no RSA key"),
        (lambda: make_user(DCA, key=new_key(bits=1024)), "has an RSA key of 1024 bits, fewer than 2048"),
        (lambda: make_user(DCA, eku=[ExtendedKeyUsageOID.SERVER_AUTH]), "is not made for e-mail"),
        (lambda: make_user(DCA, ku=key_usage(crl_sign=True)), "is made neither to encrypt nor to sign"),
        (lambda: make_ca(DCA), "is a certification authority's own"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_why_one_cannot_be_used(entity: object, words: str) -> None:
    assert callable(entity)
    assert any(problem.startswith(words) for problem in problems(entity()))


def test_what_real_authorities_have_is_no_obstacle() -> None:
    real = make_user(
        DCA, eku=None, san=False, common_name=None, dn_addresses=[f"{DCA} ", "dca@other.example"],
        ku=key_usage(digital_signature=True, content_commitment=True),
    )  # fmt: skip
    (one,) = judged([], [real.der])
    assert one.usable
    assert "keyEncipherment" in one.remarks[0]


def test_one_made_to_encrypt_comes_before_one_made_to_sign(new: Entity) -> None:
    signing = make_user(DCA, ku=key_usage(digital_signature=True))
    for found in (judged([], [signing.der, new.der]), judged([pkcs7_bundle([signing, new])], [])):
        best = chosen(found)
        assert best is not None and best.certificate == new.x509
    best = chosen(judged([contact_of(DCA, owner=signing).smime_value], [new.der]))
    assert best is not None and best.certificate == signing.x509


def test_a_name_of_a_kind_that_nobody_reads_is_told() -> None:
    x400 = x509.UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, bytes.fromhex("3002a300"))
    assert problems(make_user(DCA, san=False, extra=[(x400, False)])) == (
        "has extensions or a key that cannot be read",
    )


def test_any_purpose_is_a_purpose() -> None:
    assert not problems(make_user(DCA, eku=[ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]))


def test_another_local_part_is_a_policy_of_its_own() -> None:
    assert not problems(make_user("topsecret@IME.acme.example"))


def test_in_time(old: Entity) -> None:
    value = contact_of(DCA, owner=old).smime_value
    assert time_problem(value, SMIME, MOMENT) == time_problem(old.der, PLAIN, MOMENT) == ""
    late = (old.x509.not_valid_after_utc + timedelta(seconds=1)).timestamp()
    assert "certificate expired on" in time_problem(value, SMIME, late)
    assert "certificate is valid from" in time_problem(old.der, PLAIN, 0)
    assert "can be read" in time_problem(b"junk", PLAIN, MOMENT)
