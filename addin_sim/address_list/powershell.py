"""Publishes the IME contact by scripts for an administrator: for Exchange Online, and for Exchange Server.

Nothing but PowerShell writes the certificates of a mail contact in Exchange Online. The scripts carry names and
addresses as quoted data, so that no name can become a command (about_Quoting_Rules: inside single quotes only the
quotes themselves count, the typographic ones too).
"""

import base64
import re
import textwrap
import unicodedata
from hashlib import sha256
from pathlib import Path

from addin_sim.address_list.errors import AddressListError
from addin_sim.address_list.powershell_head import FIND, HEAD
from addin_sim.address_list.powershell_scripts import ONLINE_PLACE, ONLINE_WRITE, SERVER_PLACE, SERVER_WRITE
from addin_sim.address_list.publisher import Action, Change, Contact, Outcome, Plan, Progress
from addin_sim.whole_file import write_whole

ONLINE = "publish-exchange-online.ps1"
SERVER = "publish-exchange-server.ps1"
MARK = "Made by addin-sim publish."
"""Stands in every script; a file without it is somebody else's and is never overwritten."""

_QUOTES = "'\u2018\u2019\u201a\u201b"
"""What PowerShell takes for a single quote."""
_NO_TEXT = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
"""Unicode categories that have no place in a name: line ends, controls, turning of the writing direction."""
_LONGEST_NAME = 64
"""Of a CN (X.520, ub-common-name) and of an alias."""


class PowerShellPublisher:
    """Writes the two scripts into a folder; Exchange itself is not touched before somebody runs one.

    `place` is the organizational unit for a new contact on Exchange Server (DN); empty: where Exchange puts it."""

    def __init__(self, folder: Path, place: str, say: Progress) -> None:
        self._folder = folder
        self._place = place
        self._say = say

    def plan(self, contact: Contact) -> Plan:
        """What the scripts will set; the values of today are known to Exchange alone."""
        return self._planned(contact, removal=False)

    def plan_removal(self, contact: Contact) -> Plan:
        """The same scripts: they remove with `-Remove`."""
        return self._planned(contact, removal=True)

    def carry_out(self, plan: Plan) -> Outcome:
        """Write the files. Raises `AddressListError` when the folder takes none."""
        wanted = scripts(plan.contact, self._place)
        if plan.action is not Action.NOTHING:
            for name, text in wanted.items():
                self._say(f"Writing {self._folder / name}.")
                _write(self._folder / name, text)
        how = " with -Remove" if plan.action is Action.REMOVE else ""
        sentence = (
            f"The scripts for {plan.contact.address} are in {self._folder}; "
            f"nothing in Exchange changes before you run one of them{how}."
        )
        return Outcome(plan.action, plan.place, sentence, _how_to_run(removal=plan.action is Action.REMOVE))

    def remove(self, contact: Contact) -> Outcome:
        """`carry_out(plan_removal(contact))`."""
        return self.carry_out(self.plan_removal(contact))

    def close(self) -> None:
        """Nothing is open."""

    def _planned(self, contact: Contact, *, removal: bool) -> Plan:
        wanted = scripts(contact, self._place)
        before = {name: _read(self._folder / name) for name in wanted}
        action = Action.REMOVE
        if not removal:
            known = [text for text in before.values() if text is not None]
            action = Action.NOTHING if before == wanted else Action.CHANGE if known else Action.ADD
        return Plan(
            action=action,
            place=str(self._folder),
            key="",
            contact=contact,
            changes=_changes(contact, self._place, action),
            remarks=(
                "What Exchange holds now is not read here: run a script with -WhatIf to see what it would do there.",
            ),
        )


def scripts(contact: Contact, place: str = "") -> dict[str, bytes]:
    """Both scripts by file name, ready to be written: UTF-8 with a byte order mark (Windows PowerShell 5.1 takes
    anything else for ANSI) and CRLF.

    Raises `AddressListError` for a name or address with line ends or other controls."""
    own_place = f"        # The place you named\n        OrganizationalUnit     = {quoted(place)}"
    shared = _values(contact) | {"PLACE": own_place if place else _NO_PLACE}
    texts = {
        ONLINE: (HEAD + ONLINE_PLACE + FIND + ONLINE_WRITE, "Publishes the IME contact in Exchange Online.", SERVER),
        SERVER: (HEAD + SERVER_PLACE + FIND + SERVER_WRITE, "Publishes the IME contact on Exchange Server.", ONLINE),
    }
    return {
        name: _filled(template, shared | {"FILE": name, "TITLE": title, "OTHER_FILE": other})
        for name, (template, title, other) in texts.items()
    }


_NO_PLACE = "        # OrganizationalUnit = '...'                      # a place of its own; without it: Users"


def quoted(text: str) -> str:
    """A PowerShell string that means exactly `text`.

    Raises `AddressListError` for controls: no name has them, and a line end would leave a comment."""
    return in_quotes(_plain(text))


def in_quotes(text: str) -> str:
    """The same for people to read: refuses nothing."""
    return "'" + "".join(letter * 2 if letter in _QUOTES else letter for letter in text) + "'"


def _plain(text: str) -> str:
    if any(unicodedata.category(letter) in _NO_TEXT for letter in text):
        raise AddressListError(
            f"The contact has a control character in {text!r}, so no script was written; export it with another name."
        )
    return text


def _values(contact: Contact) -> dict[str, str]:
    if any(letter in contact.address for letter in _QUOTES[1:]):
        raise AddressListError(
            f"{contact.address} has a typographic quotation mark, so no script was written; use a plain address."
        )
    owner = contact.address.replace("'", "''")
    moment = contact.not_after
    return {
        "MARK": MARK,
        "ADDRESS_TEXT": _plain(contact.address),
        "ADDRESS": quoted(contact.address),
        "DISPLAY_NAME": quoted(contact.display_name),
        "NAME": quoted(object_name(contact)),
        "ALIAS": quoted(alias(contact.address)),
        "FILTER": quoted(f"EmailAddresses -eq '{owner}' -or ExternalEmailAddress -eq '{owner}'"),
        "THUMBPRINT": quoted(sha256(contact.certificate).hexdigest().upper()),
        "VALID_UNTIL": ", ".join(
            str(part) for part in (moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second)
        ),
        "CERTIFICATE": _base64_lines(contact.certificate),
        "SMIME_VALUE": _base64_lines(contact.smime_value),
    }


def object_name(contact: Contact) -> str:
    """The name of the object: with the domain where that fits, since every managed domain has such a contact."""
    longer = f"{contact.common_name} {contact.address.rpartition('@')[2]}"
    return longer if len(longer) <= _LONGEST_NAME else contact.common_name


def alias(address: str) -> str:
    """Exchange's short name: the address in letters, digits and hyphens; a long one is cut and told apart by a hash."""
    spelt = re.sub(r"[^A-Za-z0-9]+", "-", address).strip("-") or "ime"
    if len(spelt) <= _LONGEST_NAME and re.fullmatch(r"[A-Za-z0-9@._-]+", address):
        return spelt
    return f"{spelt[: _LONGEST_NAME - 9]}-{sha256(address.lower().encode()).hexdigest()[:8]}"


def _base64_lines(value: bytes) -> str:
    lines = textwrap.wrap(base64.b64encode(value).decode("ascii"), 96)
    return "\n".join(f"    '{line}'" for line in lines)


def _filled(template: str, values: dict[str, str]) -> bytes:
    """In one pass: what stands in a value is never filled in again."""
    text = re.sub(r"@@([A-Z_]+)@@", lambda found: values[found.group(1)], template)
    return b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode("utf-8")


def _set(contact: Contact, place: str) -> tuple[Change, ...]:
    wanted: dict[str, str | bytes] = {
        "Name": object_name(contact),
        "DisplayName": contact.display_name,
        "Alias": alias(contact.address),
        "ExternalEmailAddress": f"SMTP:{contact.address}",
        "UseMapiRichTextFormat": "Never",
        "UserCertificate": contact.certificate,
        "UserSMimeCertificate": contact.smime_value,
    }
    if place:
        wanted["OrganizationalUnit"] = place
    return tuple(Change(name, (), (value,)) for name, value in wanted.items())


def _changes(contact: Contact, place: str, action: Action) -> tuple[Change, ...]:
    """What the scripts of this plan will do, which is nothing new when they are there already."""
    if action is Action.NOTHING:
        return ()
    return _gone(contact) if action is Action.REMOVE else _set(contact, place)


def _gone(contact: Contact) -> tuple[Change, ...]:
    return (Change("ExternalEmailAddress", (f"SMTP:{contact.address}",), ()),)


def _how_to_run(*, removal: bool) -> tuple[str, ...]:
    switch = " -Remove" if removal else ""
    return (
        f"Exchange Online: Connect-ExchangeOnline; .\\{ONLINE}{switch} -WhatIf; then the same without -WhatIf.",
        f"Exchange Server (Management Shell): .\\{SERVER}{switch} -WhatIf; then the same without -WhatIf.",
    )


def _read(path: Path) -> bytes | None:
    """What lies there. Raises `AddressListError` when it is not ours."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise AddressListError(f"{path} cannot be read ({error.strerror}), so nothing was written.") from error
    if MARK.encode() not in text:
        raise AddressListError(f"{path} was not made by this program, so nothing was written; choose another folder.")
    return text


def _write(path: Path, text: bytes) -> None:
    """Whole or not at all."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text)
    except OSError as error:
        raise AddressListError(
            f"{path} cannot be written ({error.strerror}); what was there before is unchanged. Make room or choose "
            "another folder, and run the command again before any script: the two may be of different certificates."
        ) from error
