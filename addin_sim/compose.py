"""What Outlook does before the add-in sees a mail: recipients, From, Date and Message-ID are in place.

Everything else of the .eml file stays as it was written, except that lines end in CRLF.
"""

import email.utils
from collections.abc import Sequence
from datetime import UTC, datetime

from addin_sim.outlook_settings import Account
from addin_sim.raw_mail import Field, RawMail, UnusableMailError, canonical_newlines, make_field, parse


def compose(
    eml: bytes,
    account: Account,
    *,
    to: Sequence[str] = (),
    cc: Sequence[str] = (),
    bcc: Sequence[str] = (),
    moment: float,
    unique: str,
) -> RawMail:
    """The finished mail.

    Each of `to`, `cc`, `bcc` that is given replaces the field of that name; the others stay. `moment`
    is in seconds since 1970 UTC, `unique` the left side of a Message-ID should one be missing (RFC 5322
    section 3.6.4). Raises `UnusableMailError`.
    """
    mail = parse(canonical_newlines(eml))
    if not any(field.name for field in mail.fields):
        raise UnusableMailError("The file is no mail: it has no header fields.")
    for name, addresses in (("To", to), ("Cc", cc), ("Bcc", bcc)):
        if addresses:
            mail = mail.put(_address_field(name, addresses))
    domain = account.address.rpartition("@")[2]
    if not mail.all("From"):
        mail = mail.add(make_field("From", email.utils.formataddr((account.display_name, account.address))))
    if not mail.all("Date"):
        mail = mail.add(make_field("Date", email.utils.format_datetime(datetime.fromtimestamp(moment, UTC))))
    if not mail.value("Message-ID"):
        mail = mail.put(make_field("Message-ID", f"<{unique}@{domain}>"))
    return mail


def _address_field(name: str, addresses: Sequence[str]) -> Field:
    for address in addresses:
        if "@" not in address:
            raise UnusableMailError(f"{address!r} is no mail address.")
    return make_field(name, ", ".join(address.strip() for address in addresses))
