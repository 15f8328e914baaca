"""Where the address list is and who may write it: the `[address_list]` table of the Outlook settings.

Outlook knows its address list from the mail profile. Here it is named: the directory behind the list (LDAP), the
Exchange server in front of it (EWS), and how old the copy may be that Outlook keeps (the offline address book).
"""

import os
from pathlib import Path
from typing import ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from addin_sim.address_list.errors import AddressListError
from addin_sim.settings_tables import Section, WithPassword


class WithLogin(WithPassword):
    """A server that is asked only by whoever needs it, so that the others need no password."""

    table_name: ClassVar[str]

    @property
    def secret(self) -> str:
        """The password, wherever it stands; raises `AddressListError` when it is nowhere. Whoever does not log in
        here, as `settings export` or the publisher of another table, needs none."""
        if self.password_env and not os.environ.get(self.password_env):
            missing = "empty" if self.password_env in os.environ else "not in the environment"
            raise AddressListError(
                f"[{self.table_name}]: password_env names {self.password_env}, which is {missing}. "
                "Nobody was asked and nothing was changed. Export that variable, then run the command again."
            )
        return super().secret


class LdapSettings(WithLogin):
    """The directory behind the address list (RFC 4511); with Exchange it is Active Directory."""

    table_name = "address_list.ldap"

    url: str
    """`ldaps://HOST[:PORT]`, or `ldap://HOST[:PORT]` with StartTLS (RFC 4513 section 3)."""
    starttls: bool = True
    """Of meaning for `ldap://` only. Without TLS no password is ever sent."""
    ca_file: Path | None = None
    """Certificates to check the server with; none: those of the operating system."""
    client_certificate: Path | None = None
    """PEM with certificate and key, for `bind = "external"`."""
    bind: Literal["simple", "external", "gssapi", "anonymous"] = "simple"
    base: str
    """DN below which the address list is searched."""
    place: str = ""
    """DN of the organizational unit that holds our contact; `publish` writes nowhere else."""
    page_size: int = Field(default=200, ge=1, le=1000)
    timeout_seconds: float = Field(default=20.0, gt=0)

    @field_validator("url")
    @classmethod
    def _is_ldap(cls, value: str) -> str:
        parts = urlsplit(value)
        more = parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc
        if parts.scheme not in ("ldap", "ldaps") or not parts.hostname or more:
            raise ValueError("must be ldaps://HOST[:PORT] or ldap://HOST[:PORT]")
        return value


class EwsSettings(WithLogin):
    """The Exchange server in front of the address list and of mailboxes (Exchange Web Services)."""

    table_name = "address_list.ews"

    url: str
    """`https://mail.acme.example/EWS/Exchange.asmx`."""
    mailbox: str = ""
    """Whose contacts folder is used; empty: that of `[account]`."""
    auth: Literal["basic", "ntlm", "bearer"] = "basic"
    """`bearer`: the password is an access token (OAuth 2.0, RFC 6750)."""
    ca_file: Path | None = None
    folder: str = "IME certificates"
    """Contacts folder that `publish --backend ews` writes. It is no address list: users add it to Outlook."""
    public: bool = False
    """The folder is a public folder."""
    timeout_seconds: float = Field(default=60.0, gt=0)

    @field_validator("url")
    @classmethod
    def _is_https(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme != "https" or not parts.hostname:
            raise ValueError("must be https://HOST/EWS/Exchange.asmx")
        return value

    @field_validator("folder")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        if value in ("", ".", "..") or value != value.strip() or not value.isprintable() or "/" in value:
            raise ValueError("must be the name of one folder, without /, as IME certificates")
        return value


class OfflineBookSettings(Section):
    """The copy of the address list that Outlook works with (offline address book)."""

    hours: float = Field(default=24.0, ge=0)
    """How old it may grow before it is fetched again; 0: the list itself is asked each time."""


class AddressListSettings(Section):
    """Everything about the address list."""

    ldap: LdapSettings | None = None
    ews: EwsSettings | None = None
    offline_book: OfflineBookSettings = OfflineBookSettings()
