"""The settings of one Outlook: what the real add-in finds in the registry and in the mail profile.

A TOML file plays both (config/outlook-settings.toml is an annotated one). `InternalRecipient` alone
decides which internal encryption runs: its default value means IME 1.0, any other value IME 2.0.
"""

import re
import tomllib
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator, model_validator

from addin_sim.address_list.settings import AddressListSettings
from addin_sim.settings_tables import Section, WithPasswordAtHand, mistakes

IME1_RECIPIENT = "ime@imepseudodomain.local"
"""The value of `InternalRecipient` that means IME 1.0: a domain that exists nowhere."""


class SettingsError(Exception):
    """The settings file cannot be used; the text names file, line and key."""


def _address(value: str) -> str:
    if not re.fullmatch(r"[^@\s<>,;\"]+@[^@\s<>,;\"]+", value):
        raise ValueError("must be an address such as alice@acme.example")
    return value


class Account(Section):
    """Whose mail profile this is."""

    address: str
    """The envelope sender, and From where a mail has none."""
    display_name: str = ""
    """The name before the address in From."""

    _checked = field_validator("address")(_address)


class Submission(WithPasswordAtHand):
    """The mail server that takes mail from this Outlook: SMTP (RFC 6409), or the Exchange server of `[mailbox]`."""

    protocol: Literal["smtp", "ews"] = "smtp"
    """`ews`: the connection of `[mailbox]` sends; nothing else of this table is of meaning then."""
    host: str = ""
    port: int = Field(default=587, ge=1, le=65535)
    starttls: bool = False
    """Encrypt the connection before anything is said (RFC 3207); the server's certificate is checked."""
    ca_file: Path | None = None
    """Certificates to check the server with; none: those of the operating system."""
    timeout_seconds: float = Field(default=60.0, gt=0)

    @model_validator(mode="after")
    def _complete(self) -> "Submission":
        if self.protocol == "smtp" and not self.host:
            raise ValueError("host is missing")
        return self


class Registry(Section):
    """The values under the add-in's registry key, by their own names."""

    InternalRecipient: str = IME1_RECIPIENT
    """Where internally encrypted mail goes: an address in a domain that Exchange sends to the gateway."""
    key_path: str = r"HKEY_CURRENT_USER\Software\addin-sim"
    """The key itself, for `settings export`. The real add-in's is not public; the default is a key of our own."""

    _checked = field_validator("InternalRecipient")(_address)

    @property
    def ime_version(self) -> Literal[1, 2]:
        """The internal encryption that this recipient stands for."""
        return 1 if self.InternalRecipient.lower() == IME1_RECIPIENT else 2


class MailboxSettings(WithPasswordAtHand):
    """The mailbox behind this Outlook, over IMAP (RFC 3501) or EWS (MS-OXWSCORE)."""

    protocol: Literal["imap", "ews"] = "imap"
    host: str = ""
    port: int = Field(default=143, ge=1, le=65535)
    url: str = ""
    """Of EWS: `https://mail.acme.example/EWS/Exchange.asmx`."""
    auth: Literal["basic", "ntlm", "bearer"] = "basic"
    """Of EWS. `bearer`: the password is an access token (OAuth 2.0, RFC 6750)."""
    user: str = Field(min_length=1)
    password_file: Path | None = None
    """Read at each login: another program may renew the access token that it holds."""
    tls: Literal["off", "starttls", "implicit"] = "off"
    """`implicit` speaks TLS from the first byte (port 993)."""
    ca_file: Path | None = None
    inbox: str = "INBOX"
    sent: str = ""
    """The folder of sent mail; empty: the one that the server marks as \\Sent (RFC 6154). EWS knows both by itself."""
    timeout_seconds: float = Field(default=60.0, gt=0)

    @property
    def secret(self) -> str:
        """The password, wherever it stands; raises `SettingsError` when its file cannot be read."""
        if self.password_file is not None:
            return _text_of(self.password_file)
        return super().secret

    @model_validator(mode="after")
    def _complete(self) -> "MailboxSettings":
        if self.protocol == "imap" and not self.host:
            raise ValueError("host is missing")
        if self.protocol == "imap" and self.url:
            raise ValueError('url is of EWS: set protocol = "ews", or give host')
        parts = urlsplit(self.url)
        if self.protocol == "ews" and (parts.scheme != "https" or not parts.hostname):
            raise ValueError("url must be https://HOST/EWS/Exchange.asmx")
        if self.password_file and (self.password or self.password_env):
            raise ValueError("give one of password, password_env and password_file")
        return self


class ContainerSettings(Section):
    """How IME 2.0 containers are made; of no meaning while `InternalRecipient` has its default value."""

    ime_certificate: Path | None = None
    """The certificate of the IME address (PEM or DER): containers are encrypted to it."""
    signature: Literal["opaque", "detached"] = "opaque"
    """`opaque`: application/pkcs7-mime; `detached`: multipart/signed (RFC 8551 section 3.5)."""
    original: Literal["rfc822", "mixed", "message"] = "rfc822"
    """What is signed: a message/rfc822 part, a multipart/mixed around such a part, or the mail itself."""
    profile: Path | None = None
    """The folder of the own key pair and of the outbox; None only before `load` has filled it in."""


class WorldMailbox(Section):
    """The mailbox of somebody in the small mail world, which speaks no IMAP."""

    folder: Path
    """Where `addin-sim world serve` keeps its mailboxes; it prints the path when it begins."""


class OutlookSettings(Section):
    """All of the file."""

    account: Account
    submission: Submission
    registry: Registry = Registry()
    mailbox: MailboxSettings | None = None
    """Without it nothing is saved in Sent Items, and `sync` and `watch` have nothing to do."""
    world_mailbox: WorldMailbox | None = None
    """Instead of `mailbox`, in the small mail world of the demo."""
    container: ContainerSettings = ContainerSettings()
    address_list: AddressListSettings = AddressListSettings()
    """Where the certificate contact is published and found, and distribution groups are looked up by `send`."""

    @property
    def profile(self) -> Path:
        """The folder of the own key pair and of the outbox."""
        if self.container.profile is None:
            raise SettingsError("These settings were not read from a file, so they have no profile folder.")
        return self.container.profile

    @model_validator(mode="after")
    def _one_mailbox(self) -> "OutlookSettings":
        if self.mailbox is not None and self.world_mailbox is not None:
            raise ValueError("give either mailbox or world_mailbox")
        if self.submission.protocol == "ews" and (self.mailbox is None or self.mailbox.protocol != "ews"):
            raise ValueError('submission.protocol = "ews" needs a [mailbox] with protocol = "ews"')
        return self


def load(path: Path) -> OutlookSettings:
    """Read and check the file; file names in it are relative to its folder. Raises `SettingsError`."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingsError(f"{path}: cannot be read: {reason}") from error
    try:
        settings = OutlookSettings.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: {error}") from error
    except ValidationError as error:
        raise SettingsError("\n".join(mistakes(path, text, error))) from error
    return _relative_to(settings, path)


def _text_of(file: Path) -> str:
    try:
        return file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file}: the password cannot be read: {error}") from error


def _relative_to(settings: OutlookSettings, file: Path) -> OutlookSettings:
    """File names in the file are relative to its folder; the profile lies beside the file and is called like it."""
    folder = file.parent
    container = settings.container
    changes: dict[str, object] = {
        "container": container.model_copy(
            update={
                "profile": folder / (container.profile or f"{file.stem}.profile"),
                "ime_certificate": folder / container.ime_certificate if container.ime_certificate else None,
            }
        )
    }
    for name in ("submission", "mailbox"):
        section = getattr(settings, name)
        files = {key: getattr(section, key, None) for key in ("ca_file", "password_file")}
        found = {key: folder / file for key, file in files.items() if file is not None}
        if found:
            changes[name] = section.model_copy(update=found)
    changes["address_list"] = _list_relative_to(settings.address_list, folder)
    if settings.world_mailbox is not None:
        changes["world_mailbox"] = WorldMailbox(folder=folder / settings.world_mailbox.folder)
    return settings.model_copy(update=changes)


def _list_relative_to(wanted: AddressListSettings, folder: Path) -> AddressListSettings:
    changes: dict[str, object] = {}
    for name in ("ldap", "ews"):
        table = getattr(wanted, name)
        files = ("ca_file", "client_certificate")
        found = {key: folder / file for key in files if (file := getattr(table, key, None)) is not None}
        if found:
            changes[name] = table.model_copy(update=found)
    return wanted.model_copy(update=changes)
