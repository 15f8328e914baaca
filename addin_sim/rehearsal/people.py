"""Who plays along in a rehearsal, and the Outlook of each: one settings file describes one Outlook, this many.

The settings of the rehearsal serve everybody: mail server, address list and InternalRecipient are the same. Address,
login and keys are each person's own and stand in the people file (TOML).
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import Field, ValidationError, model_validator

from addin_sim.outlook_settings import Account, OutlookSettings, SettingsError
from addin_sim.own_keys import KEY_FILE, mail_addresses
from addin_sim.settings_tables import Section, WithPasswordAtHand, mistakes
from addin_sim.whole_file import write_whole


class PersonEntry(Account, WithPasswordAtHand):
    """One `[[person]]`; without `user` the login is the address, without password that of the settings."""

    certificate: Path | None = None
    key: Path | None = None
    """The pair that opens what arrives and signs containers (PEM, no password; RSA).

    Without it a pair is made that nobody knows: what arrives is checked for clear text only.
    """

    @model_validator(mode="after")
    def _belong_together(self) -> "PersonEntry":
        if (self.certificate is None) != (self.key is None):
            raise ValueError("give certificate and key, or neither")
        return self


class PeopleFile(Section):
    """All of the file."""

    person: tuple[PersonEntry, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _are_different(self) -> "PeopleFile":
        addresses = [person.address.lower() for person in self.person]
        for address in addresses:
            if addresses.count(address) > 1:
                raise ValueError(f"{address} stands there twice")
        return self


@dataclass(frozen=True, slots=True)
class Player:
    """A person who plays along, ready to do so."""

    outlook: OutlookSettings
    has_key: bool
    """The gateway is expected to encrypt to this person's own certificate."""

    @property
    def address(self) -> str:
        """In small letters."""
        return self.outlook.account.address.lower()


def players(outlook: OutlookSettings, file: Path | None, wanted: int) -> list[Player]:
    """The first `wanted` people of the file, each with settings of their own; without a file the account alone.

    Their key pairs are put into profile folders beside the file. Raises `SettingsError`.
    """
    if file is None:
        if wanted != 1:
            raise SettingsError(
                f"{wanted} users need a file that names them: give --people ("
                "`addin-sim world crowd DIR` makes one to begin with)."
            )
        return [Player(outlook, has_key=True)]
    people = _read(file).person
    if wanted > len(people):
        raise SettingsError(f"{file}: names {len(people)} people, too few for {wanted} users.")
    return [_player(outlook, file, person) for person in people[:wanted]]


def _read(file: Path) -> PeopleFile:
    try:
        text = file.read_text("utf-8")
        return PeopleFile.model_validate(tomllib.loads(text))
    except OSError as error:
        raise SettingsError(f"{file}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{file}: {error}") from error
    except ValidationError as error:
        raise SettingsError(mistakes(file, text, error)[0]) from error


def _player(outlook: OutlookSettings, file: Path, person: PersonEntry) -> Player:
    profile = file.parent / f"{file.stem}.rehearsal" / person.address.lower().replace("/", "_")
    if person.certificate is not None and person.key is not None:
        _lay_pair(profile, person.address, file.parent / person.certificate, file.parent / person.key)
    changes: dict[str, object] = {
        "account": Account(address=person.address, display_name=person.display_name),
        "container": outlook.container.model_copy(update={"profile": profile}),
    }
    login: dict[str, object] = {"user": person.user or person.address}
    if person.password or person.password_env:
        login |= {"password": person.password, "password_env": person.password_env}
    for name in ("submission", "mailbox"):
        section = getattr(outlook, name)
        if section is not None and section.user:  # a server without login stays one
            changes[name] = section.model_copy(update=login)
    return Player(outlook.model_copy(update=changes), has_key=person.key is not None)


def _lay_pair(profile: Path, address: str, certificate: Path, key: Path) -> None:
    """Put the pair where `own_keys` finds it; written anew each time, so that a renewed one counts."""
    try:
        pem, key_pem = certificate.read_bytes(), key.read_bytes()
        owner = x509.load_pem_x509_certificate(pem)
        private = serialization.load_pem_private_key(key_pem, None)
    except OSError as error:
        raise SettingsError(f"{error.filename}: cannot be read: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        raise SettingsError(
            f"{certificate}, {key}: must be a PEM certificate and a PEM key without password."
        ) from error
    if not isinstance(private, rsa.RSAPrivateKey) or owner.public_key() != private.public_key():
        raise SettingsError(f"{key}: must be an RSA key, and the one of {certificate}.")
    if address.lower() not in mail_addresses(owner):
        raise SettingsError(
            f"{certificate}: is no certificate of {address}; correct address, or name that person's own pair."
        )
    try:
        profile.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(profile / KEY_FILE, key_pem + b"\n" + pem, mode=0o600)
    except OSError as error:
        raise SettingsError(f"{profile / KEY_FILE}: cannot be written: {error.strerror}") from error
