"""Proves after publishing that Exchange shows the IME contact and its certificate, by ResolveNames (MS-OXWSRSLNM).

A directory may hold the contact while Exchange does not show it: without an alias it is no recipient, it may be hidden,
and other domain controllers know it later. What counts is what Outlook would be told, in the order in which Outlook
takes certificates. EWS can read the address list; it cannot write it.
"""

import base64
import binascii
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from exchangelib.errors import ErrorNameResolutionNoResults
from exchangelib.services import ResolveNames
from exchangelib.util import TNS

from addin_sim.address_list.errors import AddressListError
from addin_sim.address_list.ews_failures import advice
from addin_sim.address_list.outlook_certificates import Candidate, candidates, chosen
from addin_sim.address_list.publisher import Contact, Progress
from addin_sim.address_list.settings import EwsSettings
from addin_sim.mailbox.ews_session import EwsSession
from addin_sim.mailbox.interface import MailboxError


@dataclass(frozen=True, slots=True)
class Shown:
    """An entry of the address list as Exchange shows it to this account."""

    name: str
    address: str
    kind: str
    """`t:MailboxType`: Contact for a mail contact."""
    smime: tuple[bytes, ...]
    """`UserSMIMECertificate`: the values of userSMIMECertificate."""
    plain: tuple[bytes, ...]
    """`MSExchangeCertificate`: the values of userCertificate."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether Outlook would encrypt to the published certificate, as far as Exchange can tell."""

    good: bool
    sentence: str
    """What Exchange shows; when it is not as it should be, also what to do."""
    shown: Shown | None = None
    certificate: Candidate | None = None
    """The one that Outlook would take."""
    remarks: tuple[str, ...] = ()


def verify(settings: EwsSettings, mailbox: str, contact: Contact, moment: float, say: Progress) -> Verdict:
    """Ask Exchange as the user of the settings; `mailbox` is whose mailbox is used when they name none.

    moment: now, seconds since 1970 UTC. Raises `AddressListError` when Exchange cannot be asked."""
    say(f"Asking {settings.url} for {contact.address}.")
    try:
        with contextlib.closing(EwsSession(settings, settings.mailbox or mailbox)) as session:
            shown = session.ask(lambda: _resolved(session, contact.address))
    except MailboxError as error:
        happened = str(error).rstrip(".")
        raise AddressListError(
            f"{happened}. Nothing was verified and nothing was changed. {advice(happened, error.__cause__)}."
        ) from error
    return judge(contact, shown, moment)


def judge(contact: Contact, shown: Sequence[Shown], moment: float) -> Verdict:
    """What these entries mean for Outlook; `moment` in seconds since 1970 UTC."""
    holders = [one for one in shown if one.address.lower() == contact.address.lower()]
    if not holders and shown:
        names = ", ".join(f"{one.name!r} <{one.address}>" for one in shown)
        return Verdict(
            False,
            f"Exchange takes {contact.address} for {names}: another first address, so Outlook looks for the "
            "certificate under that one. Make the IME address the contact's own, and keep address policies off it.",
        )
    if not holders:
        return Verdict(
            False,
            f"Exchange does not show {contact.address} in the address list: it is not published there, hidden, or not "
            "yet known to this server. Publish it, run Update-Recipient in Exchange, or ask again in some minutes.",
        )
    if len(holders) > 1:
        names = ", ".join(repr(one.name) for one in holders)
        return Verdict(
            False, f"Exchange shows {len(holders)} entries with {contact.address}: {names}. Leave one of them."
        )
    return _of_one(contact, holders[0], moment)


def _of_one(contact: Contact, entry: Shown, moment: float) -> Verdict:
    found = candidates(entry.smime, entry.plain, contact.address, moment)
    best = chosen(found)
    remarks = tuple(_remarks(contact, entry, found))
    if best is not None and best.thumbprint == contact.thumbprint:
        sentence = f"Exchange shows {entry.name!r} with the published certificate {best.thumbprint[:23]}…."
        return Verdict(True, sentence, entry, best, remarks)
    if best is not None:
        sentence = (
            f"Exchange shows {entry.name!r} with another certificate: {best.sentence}, and the published one is "
            f"{contact.thumbprint[:23]}…. Publish it again, or ask again when the domain controllers are in step."
        )
    elif found:
        why = "; ".join(one.sentence for one in found)
        sentence = f"Exchange shows {entry.name!r} with no certificate that Outlook would use: {why}. Publish it again."
    else:
        sentence = (
            f"Exchange shows {entry.name!r} without a certificate. Publish it with both attributes, or ask again when "
            "the domain controllers are in step."
        )
    return Verdict(False, sentence, entry, best, remarks)


def _remarks(contact: Contact, entry: Shown, found: Sequence[Candidate]) -> list[str]:
    remarks = []
    if entry.name != contact.display_name:
        remarks.append(f"It is called {entry.name!r} there and {contact.display_name!r} in the export.")
    if not entry.name.startswith("_"):
        remarks.append("Its name does not begin with _, so the add-in finds it late in a long list.")
    if entry.kind not in ("Contact", ""):
        remarks.append(f"Exchange takes it for a {entry.kind}, not for a contact outside.")
    others = {one.thumbprint for one in found if one.certificate is not None} - {contact.thumbprint}
    if others:
        remarks.append(f"It also holds {len(others)} other certificate(s); an old one may still be taken by Outlook.")
    return remarks


class _ResolveNames(ResolveNames):  # type: ignore[misc]
    """exchangelib's own reading leaves the certificates out: it takes the lists for single values."""

    def _elem_to_obj(self, elem: Any) -> Shown:
        mailbox, contact = elem.find(f"{{{TNS}}}Mailbox"), elem.find(f"{{{TNS}}}Contact")
        texts = {name: mailbox.findtext(f"{{{TNS}}}{name}") or "" for name in ("Name", "EmailAddress", "MailboxType")}
        return Shown(
            name=texts["Name"],
            address=texts["EmailAddress"],
            kind=texts["MailboxType"],
            smime=_values(contact, "UserSMIMECertificate"),
            plain=_values(contact, "MSExchangeCertificate"),
        )


def _values(contact: Any, name: str) -> tuple[bytes, ...]:
    if contact is None:
        return ()
    return tuple(_decoded(one.text or "") for one in contact.findall(f"{{{TNS}}}{name}/{{{TNS}}}Base64Binary"))


def _decoded(text: str) -> bytes:
    """Empty when it is no base64; an empty value holds no certificate, and that is said."""
    try:
        return base64.b64decode(text)
    except binascii.Error:
        return b""


def _resolved(session: EwsSession, address: str) -> list[Shown]:
    """The directory alone is asked, so that a personal contact of this account proves nothing."""
    answers = _ResolveNames(protocol=session.account.protocol).call(
        unresolved_entries=[f"smtp:{address}"],
        return_full_contact_data=True,
        search_scope="ActiveDirectory",
        contact_data_shape="AllProperties",
    )
    found = []
    for answer in answers:
        if isinstance(answer, Exception) and not isinstance(answer, ErrorNameResolutionNoResults):
            raise answer
        if isinstance(answer, Shown):
            found.append(answer)
    return found
