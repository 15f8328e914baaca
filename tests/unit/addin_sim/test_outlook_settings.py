"""The settings file: strict, and every error names file, line and key."""

import re
from pathlib import Path

import pytest

from addin_sim.outlook_settings import Account, OutlookSettings, SettingsError, Submission, load

MINIMUM = """
[account]
address = "alice@acme.example"

[submission]
host = "127.0.0.1"
"""
SAMPLE = Path(__file__).resolve().parents[3] / "config" / "outlook-settings.toml"


def load_text(tmp_path: Path, text: str) -> object:
    path = tmp_path / "outlook-settings.toml"
    path.write_text(text)
    return load(path)


def test_defaults(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text(MINIMUM)
    settings = load(path)
    assert settings.submission.port == 587
    assert settings.registry.InternalRecipient == "ime@imepseudodomain.local"
    assert settings.registry.ime_version == 1
    assert settings.mailbox is None


@pytest.mark.parametrize(
    ("recipient", "version"),
    [("IME@ImePseudoDomain.local", 1), ("domain-confidentiality-authority@ime.acme.example", 2)],
)
def test_the_internal_recipient_decides_the_version(tmp_path: Path, recipient: str, version: int) -> None:
    path = tmp_path / "s.toml"
    path.write_text(MINIMUM + f'[registry]\nInternalRecipient = "{recipient}"\n')
    assert load(path).registry.ime_version == version


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[account]\naddress = 'a@b.example'\n", ["submission", "missing"]),
        (MINIMUM + "prot = 25\n", [":7:", "submission.prot", "not a known key"]),
        (MINIMUM + "port = 70000\n", [":7:", "submission.port", "65535"]),
        (MINIMUM + "password_env = 'NO_SUCH_VARIABLE'\n", [":5:", "NO_SUCH_VARIABLE"]),
        (MINIMUM + "password = 'x'\npassword_env = 'PATH'\n", [":5:", "either"]),
        (MINIMUM + "[registry]\nInternalRecipient = 'nobody'\n", [":8:", "registry.InternalRecipient", "address"]),
        (MINIMUM + "[mailbox]\nhost = 'x'\n", [":7:", "mailbox.user", "missing"]),
        (MINIMUM + "[mailbox]\nhost = 'x'\nuser='u'\ntls = 'maybe'\n", [":10:", "mailbox.tls", "starttls"]),
        (MINIMUM + "[colours]\n", [":7:", "colours", "not a known key"]),
        (MINIMUM + "[container]\nsignature = 'loud'\n", [":8:", "container.signature", "opaque"]),
        (MINIMUM + "[container]\noriginal = 'tnef'\n", [":8:", "container.original", "rfc822"]),
        (MINIMUM + "[world_mailbox]\nfolder = 'w'\n[mailbox]\nhost = 'x'\nuser = 'u'\n", ["either"]),
        (MINIMUM + "[address_list]\n[address_list.ldap]\nbind = 'ntlm'\n", [":9:", "address_list.ldap.bind", "gssapi"]),
        (MINIMUM + "[address_list.ews]\nauth = 'basic'\n", [":7:", "address_list.ews.url", "missing"]),
        ("[account\n", ["line 1"]),
    ],
)
def test_errors_name_line_and_key(tmp_path: Path, text: str, words: list[str]) -> None:
    with pytest.raises(SettingsError) as caught:
        load_text(tmp_path, text)
    assert "outlook-settings.toml" in str(caught.value)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", " a", r"a\n"])
def test_a_contacts_folder_has_one_name(tmp_path: Path, name: str) -> None:
    table = '[address_list.ews]\nurl = "https://mail.acme.example/EWS/Exchange.asmx"\n'
    with pytest.raises(SettingsError, match=r"toml:9: address_list\.ews\.folder: must be the name of one folder"):
        load_text(tmp_path, MINIMUM + table + f'folder = "{name}"\n')
    load_text(tmp_path, MINIMUM + table + 'folder = "Zertifikate für IME (intern)"\n')


def test_a_missing_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load(tmp_path / "none.toml")


def test_passwords_may_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALICE_PASSWORD", "hunter2")
    path = tmp_path / "s.toml"
    path.write_text(MINIMUM + "user = 'alice'\npassword_env = 'ALICE_PASSWORD'\nca_file = 'ca.pem'\n")
    settings = load(path)
    assert settings.submission.secret == "hunter2"
    assert settings.submission.ca_file == tmp_path / "ca.pem"


def test_settings_in_a_log_or_traceback_show_no_password(tmp_path: Path) -> None:
    secret = "user = 'alice'\npassword = 'Geheim-42'\n"
    tables = "[mailbox]\nhost = 'imap.acme.example'\n" + secret
    tables += "[address_list.ldap]\nurl = 'ldaps://dc1'\nbase = 'DC=acme'\n" + secret
    tables += "[address_list.ews]\nurl = 'https://mail/EWS/Exchange.asmx'\n" + secret
    settings = load_text(tmp_path, MINIMUM + secret + tables)
    assert "alice" in repr(settings)
    assert "Geheim-42" not in f"{settings!r} {settings}"


def test_file_names_are_relative_to_the_file(tmp_path: Path) -> None:
    path = tmp_path / "alice.toml"
    path.write_text(MINIMUM)
    assert load(path).profile == tmp_path / "alice.profile"
    assert load(path).container.ime_certificate is None
    path.write_text(
        MINIMUM + "[container]\nime_certificate = 'ime.pem'\nprofile = 'p'\n[world_mailbox]\nfolder = 'world'\n"
    )
    settings = load(path)
    assert settings.profile == tmp_path / "p"
    assert settings.container.ime_certificate == tmp_path / "ime.pem"
    assert settings.world_mailbox is not None and settings.world_mailbox.folder == tmp_path / "world"


def test_settings_that_come_from_no_file_have_no_profile() -> None:
    with pytest.raises(SettingsError, match="profile"):
        _ = OutlookSettings(account=Account(address="a@b.example"), submission=Submission(host="h")).profile


def test_the_annotated_sample_is_valid_and_names_every_key(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(SAMPLE)
    assert settings.registry.ime_version == 1
    text = SAMPLE.read_text()
    for section in ("account", "submission", "registry", "container", "mailbox"):
        model = getattr(settings, section)
        for name in type(model).model_fields:
            assert f"{name} =" in text, f"{section}.{name} is not in the sample"
    assert "[world_mailbox]" in text and "folder =" in text


def test_what_the_sample_only_mentions_is_valid_too(tmp_path: Path) -> None:
    """The lines that are switched off: IME 2.0 with all of its keys."""
    text = SAMPLE.read_text()
    for line in ("ime_certificate = ", "profile = "):
        text = text.replace(f"# {line}", line)
    default, ime2 = re.findall(r"^(?:# )?InternalRecipient = .*$", text, re.MULTILINE)
    text = text.replace(default, "", 1).replace(ime2, ime2.removeprefix("# "), 1)
    path = tmp_path / "outlook-settings.toml"
    path.write_text(text)
    settings = load(path)
    assert settings.registry.ime_version == 2
    assert settings.profile == tmp_path / "alice.profile"
    assert settings.container.ime_certificate == tmp_path / "contact/certificate.pem"
