"""The user's own key pair: made once, kept safe, used ever after; and the IME certificate is looked at."""

import stat
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from addin_sim.ime_certificate import ime_certificate
from addin_sim.outlook_settings import Account, OutlookSettings, SettingsError, load
from addin_sim.own_keys import KEY_FILE, ProfileError, mail_addresses, own_keys
from tests.pki import Entity, make_ca, make_user, new_key

MOMENT = 1_795_000_000.0
NOW = datetime.fromtimestamp(MOMENT, UTC)
ACCOUNT = Account(address="alice@acme.example", display_name="Alice Ackermann")
DCA = "domain-confidentiality-authority@ime.acme.example"


def test_a_pair_is_made_and_then_reused(tmp_path: Path) -> None:
    first = own_keys(tmp_path / "alice.profile", ACCOUNT, MOMENT)
    again = own_keys(tmp_path / "alice.profile", ACCOUNT, MOMENT + 86_400 * 3_000)
    assert first.thumbprint == again.thumbprint
    file = tmp_path / "alice.profile" / KEY_FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert list(file.parent.iterdir()) == [file]
    assert "private_key" not in repr(first)


def test_openssl_reads_what_outlook_would_make(tmp_path: Path) -> None:
    keys = own_keys(tmp_path, ACCOUNT, MOMENT)
    (tmp_path / "c.pem").write_bytes(keys.certificate_pem)
    shown = subprocess.run(
        ["openssl", "x509", "-in", tmp_path / "c.pem", "-noout", "-text", "-nameopt", "multiline"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for words in (
        "commonName                = Alice Ackermann",
        "email:alice@acme.example",
        "Digital Signature, Key Encipherment",
        "E-mail Protection",
        "Public-Key: (3072 bit)",
        "sha256WithRSAEncryption",
        "CA:FALSE",
    ):
        assert words in shown, words
    life = keys.certificate.not_valid_after_utc - NOW
    assert timedelta(days=3649) < life < timedelta(days=3651)
    assert keys.certificate.issuer == keys.certificate.subject


def test_two_accounts_in_one_folder_do_not_share_a_pair(tmp_path: Path) -> None:
    own_keys(tmp_path, ACCOUNT, MOMENT)
    with pytest.raises(ProfileError, match=r"not one of bob@acme\.example"):
        own_keys(tmp_path, Account(address="bob@acme.example"), MOMENT)


def test_the_first_of_two_programs_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second finds the file just when it wants to put its own there."""
    winner = own_keys(tmp_path / "other", ACCOUNT, MOMENT)
    monkeypatch.setattr(
        "addin_sim.own_keys._self_signed",
        lambda key, account, now: (
            (tmp_path / KEY_FILE).write_bytes((tmp_path / "other" / KEY_FILE).read_bytes()) and winner.certificate
        ),
    )
    assert own_keys(tmp_path, ACCOUNT, MOMENT).thumbprint == winner.thumbprint
    assert {path.name for path in tmp_path.iterdir()} == {"other", KEY_FILE}


def test_a_pair_from_a_ca_may_be_put_there(tmp_path: Path) -> None:
    alice = make_user("Alice@acme.example", make_ca())
    (tmp_path / KEY_FILE).write_bytes(alice.key_pem + alice.pem)
    assert own_keys(tmp_path, ACCOUNT, datetime.now(UTC).timestamp()).certificate == alice.x509


@pytest.mark.parametrize("which", ["nothing", "another key", "an EC key"])
def test_a_broken_file_is_a_sentence_and_is_never_replaced(tmp_path: Path, which: str) -> None:
    alice = make_user("alice@acme.example")
    elliptic = make_user("alice@acme.example", key=new_key("ec"))
    content = {
        "nothing": b"-----BEGIN RUBBISH-----",
        "another key": make_user("x@y.example").key_pem + alice.pem,
        "an EC key": elliptic.key_pem + elliptic.pem,
    }[which]
    (tmp_path / KEY_FILE).write_bytes(content)
    with pytest.raises(ProfileError) as caught:
        own_keys(tmp_path, ACCOUNT, MOMENT)
    assert str(tmp_path / KEY_FILE) in str(caught.value)
    assert (tmp_path / KEY_FILE).read_bytes() == content


def test_out_of_time_is_said(tmp_path: Path) -> None:
    own_keys(tmp_path, ACCOUNT, MOMENT)
    with pytest.raises(
        ProfileError, match=r"valid from 2026-11-18 to 2036-11-15 only\. See that this computer's clock.*a new pair"
    ):
        own_keys(tmp_path, ACCOUNT, MOMENT + 86_400 * 3_660)


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ProfileError, match="file"):
        own_keys(tmp_path / "file" / "profile", ACCOUNT, MOMENT)


# -- the certificate of the IME address ------------------------------------------------------------------------------


def settings(folder: Path, line: str, recipient: str = DCA) -> OutlookSettings:
    path = folder / "o.toml"
    path.write_text(
        f'[account]\naddress = "alice@acme.example"\n[submission]\nhost = "h"\n'
        f'[registry]\nInternalRecipient = "{recipient}"\n[container]\n{line}\n'
    )
    return load(path)


def written(folder: Path, entity: Entity, *, der: bool = False) -> Path:
    (folder / "ime.pem").write_bytes(
        entity.x509.public_bytes(serialization.Encoding.DER if der else serialization.Encoding.PEM)
    )
    return folder


@pytest.mark.parametrize("der", [True, False])
@pytest.mark.parametrize("recipient", [DCA, "topsecret@IME.acme.example"])
def test_pem_or_der_and_any_local_part(tmp_path: Path, der: bool, recipient: str) -> None:
    authority = make_user(DCA)
    found = ime_certificate(settings(written(tmp_path, authority, der=der), 'ime_certificate = "ime.pem"', recipient),
                            datetime.now(UTC).timestamp())  # fmt: skip
    assert found == authority.x509


@pytest.mark.parametrize(
    ("entity", "words"),
    [
        (make_user("dca@ime.other.example"), "belongs to dca@ime.other.example, not to ime.acme.example"),
        (make_user(DCA, not_after=datetime(2020, 1, 1, tzinfo=UTC), not_before=datetime(2019, 1, 1, tzinfo=UTC)),
         "expired on 2020-01-01; export it anew .*`ime-gateway ime rotate` first.*clock"),
        (make_user(DCA, key=new_key("ec")), "RSA"),
        (make_user(DCA, eku=(ExtendedKeyUsageOID.SERVER_AUTH,)), "not made for e-mail"),
        (make_user(DCA, key_bits=1024), "1024 bits"),
    ],
)  # fmt: skip
def test_a_certificate_that_must_not_be_used(tmp_path: Path, entity: Entity, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        ime_certificate(
            settings(written(tmp_path, entity), 'ime_certificate = "ime.pem"'), datetime.now(UTC).timestamp()
        )


def test_no_certificate_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="ime export-contact"):
        ime_certificate(settings(tmp_path, ""), MOMENT)
    with pytest.raises(SettingsError, match="cannot be read"):
        ime_certificate(settings(tmp_path, 'ime_certificate = "none.pem"'), MOMENT)
    (tmp_path / "ime.pem").write_text("rubbish")
    with pytest.raises(SettingsError, match="no certificate in PEM or DER"):
        ime_certificate(settings(tmp_path, 'ime_certificate = "ime.pem"'), MOMENT)


def test_odd_certificates_name_their_addresses_too() -> None:
    """As real authorities have them: no SAN, addresses in the subject, blanks around them."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    from tests.pki import build

    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.EMAIL_ADDRESS, "DCA@ime.acme.example "),
            x509.NameAttribute(NameOID.EMAIL_ADDRESS, "dca@second.example"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Acme"),
        ]
    )
    odd = build(subject, new_key(), None, [], not_before=NOW, not_after=NOW + timedelta(days=1))
    assert mail_addresses(odd.x509) == {"dca@ime.acme.example", "dca@second.example"}
