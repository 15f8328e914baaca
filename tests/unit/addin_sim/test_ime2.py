"""The carrier of IME 2.0: neutral outside, and OpenSSL opens and verifies what is inside, in every shape."""

import re
import subprocess
from itertools import product
from pathlib import Path

import pytest

from addin_sim.compose import compose
from addin_sim.ime2 import CARRIER_SUBJECT, for_ime2
from addin_sim.outlook_settings import Account, ContainerSettings
from addin_sim.own_container import original_in
from addin_sim.own_keys import OwnKeys, ProfileError, own_keys
from addin_sim.raw_mail import RawMail, UnusableMailError, parse
from tests.openssl import decrypt, readers
from tests.pki import Entity, make_ca, make_user

MOMENT = 1_795_000_000.0
ACCOUNT = Account(address="alice@acme.example", display_name="Alice Ackermann")
DCA = "domain-confidentiality-authority@ime.acme.example"
WRITTEN = (
    b"To: Bob <bob@acme.example>\nCc: carol@acme.example\nBcc: dora@partner.example\nSubject: Zeppelin plan\n"
    b"X-SM-ORIGBCC: spy@evil.example\nContent-Type: text/plain; charset=utf-8\n\nGr\xc3\xbc\xc3\x9fe\n.\n-- \nAlice\n"
)
SHAPES = [
    ContainerSettings(signature=signature, original=original)  # type: ignore[arg-type]
    for signature, original in product(("opaque", "detached"), ("rfc822", "mixed", "message"))
]


@pytest.fixture(scope="module")
def authority() -> Entity:
    return make_user(DCA, make_ca())


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> OwnKeys:
    return own_keys(tmp_path_factory.mktemp("profile"), ACCOUNT, MOMENT)


def composed(eml: bytes = WRITTEN) -> RawMail:
    return compose(eml, ACCOUNT, moment=MOMENT, unique="inside")


def verify(signed: bytes, folder: Path, keys: OwnKeys) -> bytes:
    """The signed content, as OpenSSL vouches for it with our certificate as the only trusted one."""
    (folder / "own.pem").write_bytes(keys.certificate_pem)
    done = subprocess.run(
        ["openssl", "cms", "-verify", "-CAfile", folder / "own.pem", "-attime", str(int(MOMENT))],
        input=signed, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def without_line_ends(data: bytes) -> bytes:
    """OpenSSL's MIME writer may translate them."""
    return data.replace(b"\r\n", b"\n")


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape.signature}-{shape.original}")
def test_openssl_opens_and_verifies_it(
    shape: ContainerSettings, authority: Entity, keys: OwnKeys, tmp_path: Path
) -> None:
    carrier = for_ime2(composed(), DCA, authority.x509, keys, shape, "u1")
    clear = decrypt(carrier.data, authority)
    assert clear is not None
    media_type = parse(clear).value("Content-Type") if b"\r\n" in clear else ""
    assert ("multipart/signed" in media_type) == (shape.signature == "detached")
    entity = verify(clear, tmp_path, keys)
    original = composed().without("X-SM-ORIGBCC").to_bytes()
    assert without_line_ends(original) in without_line_ends(entity)
    head = entity.splitlines()[0].lower()
    expected = {"rfc822": b"message/rfc822", "mixed": b"multipart/mixed", "message": b"to: bob"}[shape.original]
    assert expected in head
    assert original_in(carrier.data, keys) == original, "and its author can always read it"


def test_the_carrier_tells_sender_and_date_only(authority: Entity, keys: OwnKeys) -> None:
    carrier = for_ime2(composed(), DCA, authority.x509, keys, ContainerSettings(), "u1")
    header, _, body = carrier.data.partition(b"\r\n\r\n")
    assert [field.raw for field in parse(carrier.data).fields] == [
        b"From: Alice Ackermann <alice@acme.example>\r\n",
        f"To: {DCA}\r\n".encode(),
        b"Date: Wed, 18 Nov 2026 11:06:40 +0000\r\n",
        b"Message-ID: <u1@acme.example>\r\n",
        f"Subject: {CARRIER_SUBJECT}\r\n".encode(),
        b"MIME-Version: 1.0\r\n",
        b'Content-Type: application/pkcs7-mime; smime-type=enveloped-data; name="smime.p7m"\r\n',
        b"Content-Transfer-Encoding: base64\r\n",
        b'Content-Disposition: attachment; filename="smime.p7m"\r\n',
    ]
    assert re.fullmatch(rb"([A-Za-z0-9+/=]{1,76}\r\n)+", body)
    assert carrier.recipient == DCA
    assert b"inside" not in header, "the mail's own Message-ID would tie the carrier to what the recipients get"


def test_aes_256_cbc_and_rsa_for_the_ime_address_and_the_sender(authority: Entity, keys: OwnKeys) -> None:
    printed = readers(for_ime2(composed(), DCA, authority.x509, keys, ContainerSettings(), "u1").data)
    assert printed.count("d.ktri") == 2
    assert printed.count("rsaEncryption") == 2
    assert "aes-256-cbc" in printed


def test_the_signature_tells_when_and_what_it_can(authority: Entity, keys: OwnKeys) -> None:
    carrier = for_ime2(composed(), DCA, authority.x509, keys, ContainerSettings(), "u1")
    clear = decrypt(carrier.data, authority)
    assert clear is not None
    printed = readers(clear)
    for words in ("signingTime", "S/MIME Capabilities", "messageDigest", "sha256"):
        assert words in printed


def test_two_carriers_of_one_mail_differ(authority: Entity, keys: OwnKeys) -> None:
    made = [for_ime2(composed(), DCA, authority.x509, keys, ContainerSettings(), unique) for unique in ("u1", "u2")]
    assert made[0].message_id != made[1].message_id
    assert made[0].data != made[1].data


def test_sender_stands_on_the_carrier_too(authority: Entity, keys: OwnKeys) -> None:
    mail = composed(b"From: boss@acme.example\nSender: alice@acme.example\nTo: bob@acme.example\n\nx\n")
    carrier = parse(for_ime2(mail, DCA, authority.x509, keys, ContainerSettings(), "u1").data)
    assert (carrier.value("From"), carrier.value("Sender")) == ("boss@acme.example", "alice@acme.example")


def test_blind_recipients_are_enough_and_none_is_refused(authority: Entity, keys: OwnKeys) -> None:
    blind = composed(b"Bcc: dora@partner.example\n\nx\n")
    carrier = for_ime2(blind, DCA, authority.x509, keys, ContainerSettings(), "u1")
    assert b"Bcc: dora@partner.example" in original_in(carrier.data, keys)
    with pytest.raises(UnusableMailError, match="no recipient"):
        for_ime2(composed(b"Subject: x\n\nx\n"), DCA, authority.x509, keys, ContainerSettings(), "u1")


@pytest.mark.parametrize("signature", ["opaque", "detached"])
@pytest.mark.parametrize("original", ["rfc822", "mixed", "message"])
def test_a_mail_with_parts_of_its_own_comes_back_whole(
    authority: Entity, keys: OwnKeys, signature: str, original: str
) -> None:
    eml = (
        b"To: bob@acme.example\r\nContent-Type: multipart/mixed; boundary=\"own\"\r\n\r\n--own\r\n"
        b"Content-Type: message/rfc822\r\n\r\nFrom: x@y.example\r\n\r\ninner\r\n--own--\r\nepilogue without end"
    )  # fmt: skip
    mail = composed(eml)
    shape = ContainerSettings(signature=signature, original=original)  # type: ignore[arg-type]
    assert original_in(for_ime2(mail, DCA, authority.x509, keys, shape, "u1").data, keys) == mail.to_bytes()


def test_another_key_does_not_open_it(authority: Entity, keys: OwnKeys, tmp_path: Path) -> None:
    carrier = for_ime2(composed(), DCA, authority.x509, keys, ContainerSettings(), "u1")
    other = own_keys(tmp_path, ACCOUNT, MOMENT)
    assert decrypt(carrier.data, make_user("bob@acme.example")) is None
    for broken in (carrier.data, b"Subject: x\r\n\r\nMIIB\r\n", b"", carrier.data[:-200]):
        with pytest.raises(ProfileError, match="cannot be opened"):
            original_in(broken, other)
