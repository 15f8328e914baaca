"""The people file of a rehearsal: each person's own login and keys, and a sentence for what is wrong with it."""

import shutil
import time
from pathlib import Path

import pytest

from addin_sim.outlook_settings import OutlookSettings, SettingsError, load
from addin_sim.own_keys import KEY_FILE, own_keys
from addin_sim.rehearsal.people import players
from tests.full_disk import FullDisk
from tests.rehearsal_cast import ADA, BEAT, cast


@pytest.fixture
def outlook(tmp_path: Path) -> OutlookSettings:
    file = tmp_path / "outlook.toml"
    file.write_text(
        f'[account]\naddress = "{ADA}"\n[submission]\nhost = "mail.acme.example"\n'
        '[mailbox]\nhost = "mail.acme.example"\nuser = "ada"\npassword = "hers"\n'
    )
    return load(file)


def written(folder: Path, text: str) -> Path:
    file = folder / "people.toml"
    file.write_text(text)
    for stem in ("user001", "user002"):
        for end in (".pem", ".key.pem"):
            shutil.copy(cast().folder / f"{stem}{end}", folder)
    return file


PAIR = 'certificate = "user001.pem"\nkey = "user001.key.pem"\n'


def test_everybody_has_their_own(outlook: OutlookSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEATS", "his")
    file = written(
        tmp_path,
        f'[[person]]\naddress = "{ADA}"\n{PAIR}'
        f'[[person]]\naddress = "{BEAT.upper()}"\nuser = "beat"\npassword_env = "BEATS"\n'
        '[[person]]\naddress = "not@invited.example"\n',
    )
    ada, beat = players(outlook, file, 2)
    assert (ada.address, beat.address) == (ADA, BEAT)
    assert (ada.has_key, beat.has_key) == (True, False)
    assert ada.outlook.mailbox is not None and beat.outlook.mailbox is not None
    assert (ada.outlook.mailbox.user, ada.outlook.mailbox.secret) == (ADA, "hers")
    assert (beat.outlook.mailbox.user, beat.outlook.mailbox.secret) == ("beat", "his")
    assert beat.outlook.submission.user == "", "a server that asks for no login is given none"
    assert ada.outlook.profile != beat.outlook.profile
    pair = own_keys(ada.outlook.profile, ada.outlook.account, time.time())
    assert pair.certificate == cast().keys[ADA].certificate
    assert (ada.outlook.profile / KEY_FILE).stat().st_mode & 0o777 == 0o600


def test_without_a_file_the_account_plays_alone(outlook: OutlookSettings) -> None:
    (alone,) = players(outlook, None, 1)
    assert alone.outlook is outlook
    with pytest.raises(SettingsError, match="2 users need a file that names them: give --people"):
        players(outlook, None, 2)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "people.toml: person: is missing"),
        ("person = 3", "people.toml:1: person"),
        (f'[[person]]\naddress = "{ADA}"\n\n[[person]]\naddress = "ada"\n', "people.toml:5: person.2.address: must be"),
        (f'[[person]]\naddress = "{ADA}"\n\n[[person]]\nuser = "b"\n', "people.toml:4: person.2.address: is missing"),
        ("[[person]\n", "people.toml: "),
        (f'[[person]]\naddress = "{ADA}"\n' * 2, f"{ADA} stands there twice"),
        (f'[[person]]\naddress = "{ADA}"\n[[person]]\naddress = "{ADA.upper()}"\n', f"{ADA} stands there twice"),
        (f'[[person]]\naddress = "{ADA}"\nphone = "1"\n', "people.toml:3: person.1.phone: is not a known key"),
        (
            f'[[person]]\naddress = "{ADA}"\nkey = "user001.key.pem"\n',
            "toml:1: person.1: give certificate and key, or neither",
        ),
        (f'[[person]]\naddress = "{ADA}"\nkey = 7\n', "people.toml:3: person.1.key: must be the name of a file"),
        (f'[[person]]\naddress = "äda@acme.example"\n{PAIR}', "user001.pem: is no certificate of äda@acme.example;"),
        (f'[[person]]\naddress = "{ADA}"\npassword_env = "NOT_SET"\n', "NOT_SET, which is not in the environment"),
        (f'[[person]]\naddress = "{ADA}"\npassword = "a"\npassword_env = "PATH"\n', "either password or password_env"),
        (f'[[person]]\naddress = "{ADA}"\n{PAIR.replace("user001.pem", "user009.pem")}', "user009.pem: cannot be read"),
        (f'[[person]]\naddress = "{ADA}"\n{PAIR.replace("user001.pem", "user002.pem")}', "and the one of"),
        (f'[[person]]\naddress = "{ADA}"\n{PAIR.replace("user001.key", "user001")}', "must be a PEM certificate and"),
    ],
)
def test_what_is_wrong_is_one_sentence(outlook: OutlookSettings, tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        players(outlook, written(tmp_path, text), 1)
    assert said in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_full_disk_is_one_sentence_that_names_the_file(outlook: OutlookSettings, tmp_path: Path) -> None:
    file = written(tmp_path, f'[[person]]\naddress = "{ADA}"\n{PAIR}')
    with FullDisk() as disk:
        disk.fill()
        with pytest.raises(SettingsError, match=r"own-key\.pem: cannot be written: File too large"):
            players(outlook, file, 1)


def test_too_few_people_and_no_file(outlook: OutlookSettings, tmp_path: Path) -> None:
    file = written(tmp_path, f'[[person]]\naddress = "{ADA}"\n')
    with pytest.raises(SettingsError, match="names 1 people, too few for 2 users"):
        players(outlook, file, 2)
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        players(outlook, tmp_path / "nobody.toml", 1)
