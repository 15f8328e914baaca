"""The exported folder: taken as the gateway writes it, refused when its parts do not belong together."""

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from addin_sim.address_list.contact import read_contact
from addin_sim.address_list.errors import AddressListError
from ime_gateway.admin.ime_contact import contact_files
from ime_gateway.admin.key_pairs import KeyPair
from tests.pki import NOW, Entity, make_user

ADDRESS = "domain-confidentiality-authority@ime.acme.example"
MOMENT = NOW.timestamp()


def export(folder: Path, owner: Entity, address: str = ADDRESS, name: str = "") -> Path:
    """As `ime-gateway ime export-contact` does."""
    folder.mkdir(exist_ok=True)
    pair = KeyPair(owner.certificate, owner.key_der)
    for file, content in contact_files(address.partition("@")[2], address, pair, name, MOMENT).files.items():
        (folder / file).write_bytes(content)
    return folder


def edit(folder: Path, **facts: object) -> None:
    file = folder / "contact.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | facts))


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(tmp_path_factory.mktemp("export") / "contact", make_user(ADDRESS))


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "contact"))


def test_an_export_of_the_gateway_is_taken(folder: Path) -> None:
    contact = read_contact(folder, MOMENT)
    assert contact.address == ADDRESS
    assert contact.display_name == contact.common_name == "_IME domain-confidentiality-authority"
    assert contact.certificate == (folder / "userCertificate.der").read_bytes()
    assert contact.smime_value == (folder / "userSMIMECertificate.bin").read_bytes()
    assert contact.thumbprint == json.loads((folder / "contact.json").read_text())["thumbprint"]


def test_another_name_is_taken_with_its_ascii_form(tmp_path: Path) -> None:
    contact = read_contact(export(tmp_path / "c", make_user(ADDRESS), name="_Größe, Müller & Söhne"), MOMENT)
    assert contact.display_name == "_Größe, Müller & Söhne"
    assert contact.common_name == "_Groesse, Mueller & Soehne"


def _without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def _foreign(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        other = export(folder.parent / "other", make_user(ADDRESS))
        shutil.copy(other / name, folder / name)

    return change


def _facts(**facts: object) -> Callable[[Path], None]:
    return lambda folder: edit(folder, **facts)


def _content(name: str, data: bytes) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).write_bytes(data)

    return change


def _of_version_6(folder: Path) -> None:
    """X.509 has none, and `cryptography` no ValueError for it."""
    file = folder / "userCertificate.der"
    file.write_bytes(file.read_bytes().replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x05", 1))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_without("contact.json"), "contact.json cannot be read"),
        (_without("userCertificate.der"), "userCertificate.der cannot be read"),
        (_without("userSMIMECertificate.bin"), "userSMIMECertificate.bin cannot be read"),
        (_content("contact.json", b"{"), "no JSON text"),
        (_content("contact.json", b"\xff\xfe"), "no JSON text"),
        (_content("contact.json", b"[" * 100_000), "no JSON text"),
        (_content("contact.json", b"[]"), "no JSON object"),
        (_facts(version=2), "reads version 1"),
        (_facts(version=True), "reads version 1"),
        (_facts(address=""), "no usable address"),
        (_facts(address=7), "no usable address"),
        (_facts(address="nobody"), "is no address"),
        (_facts(address="a@b)(objectClass=*"), "is no address"),
        (_facts(address="a\x00@ime.acme.example"), "no usable address"),
        (_facts(display_name="_IME\nmail: boss@acme.example"), "no usable display_name"),
        (_facts(display_name="_" * 257), "longer than 256"),
        (_facts(common_name="_IME\x00"), "no usable common_name"),
        (_facts(common_name=" _IME"), "no usable common_name"),
        (_facts(common_name="_" * 65), "longer than 64"),
        (_facts(user_certificate="../certificate.der"), "names no file of that folder"),
        (_facts(user_certificate="/etc/passwd"), "names no file of that folder"),
        (_facts(user_smime_certificate=".."), "names no file of that folder"),
        (_facts(thumbprint="sha256:" + 64 * "0"), "speaks of another certificate"),
        (_facts(address="dca@ime.other.example"), "not of dca@ime.other.example"),
        (_facts(address="dca@acme.example"), "not of dca@acme.example"),
        (_foreign("userCertificate.der"), "speaks of another certificate"),
        (_foreign("userSMIMECertificate.bin"), "signed value"),
        (_content("userCertificate.der", b"nonsense"), "no certificate in DER"),
        (_of_version_6, "no certificate in DER"),
        (_content("userSMIMECertificate.bin", b"nonsense"), "signed value"),
        (_content("userCertificate.der", 32769 * b"x"), "more than the 32768 bytes"),
    ],
)
def test_parts_that_do_not_belong_together_are_refused(folder: Path, spoil: Callable[[Path], None], words: str) -> None:
    spoil(folder)
    with pytest.raises(AddressListError, match="Nothing was changed") as refusal:
        read_contact(folder, MOMENT)
    assert words in str(refusal.value)


def test_a_plain_certificate_is_no_signed_value(folder: Path) -> None:
    shutil.copy(folder / "userCertificate.der", folder / "userSMIMECertificate.bin")
    with pytest.raises(AddressListError, match="signed value"):
        read_contact(folder, MOMENT)


def test_a_value_signed_by_another_that_holds_the_certificate_too_is_refused(folder: Path) -> None:
    """People compare the thumbprint of the good one, and Outlook encrypts to the signer's."""
    other = make_user(ADDRESS)
    assert isinstance(other.key, rsa.RSAPrivateKey)
    builder = pkcs7.PKCS7SignatureBuilder().set_data(b"").add_signer(other.x509, other.key, hashes.SHA256())
    builder = builder.add_certificate(x509.load_der_x509_certificate((folder / "userCertificate.der").read_bytes()))
    value = builder.sign(Encoding.DER, [pkcs7.PKCS7Options.DetachedSignature, pkcs7.PKCS7Options.Binary])
    (folder / "userSMIMECertificate.bin").write_bytes(value)
    with pytest.raises(AddressListError, match="signed value"):
        read_contact(folder, MOMENT)


def test_tags_around_a_certificate_are_no_signed_value(folder: Path) -> None:
    certificate = (folder / "userCertificate.der").read_bytes()
    tagged = struct.pack("<HH", 3, len(certificate) + 4) + certificate  # MS-OXOABK section 2.2.4.36: key exchange
    (folder / "userSMIMECertificate.bin").write_bytes(tagged)
    with pytest.raises(AddressListError, match="signed value"):
        read_contact(folder, MOMENT)


@pytest.mark.parametrize(("fault", "words"), [("expired", "expired on"), ("not_yet", "is not valid before")])
def test_a_certificate_out_of_time_is_refused_but_can_be_taken_away(tmp_path: Path, fault: str, words: str) -> None:
    folder = export(tmp_path / "c", make_user(ADDRESS, expired=fault == "expired", not_yet=fault == "not_yet"))
    with pytest.raises(AddressListError, match=words):
        read_contact(folder, MOMENT)
    assert read_contact(folder, MOMENT, must_be_valid=False).address == ADDRESS
