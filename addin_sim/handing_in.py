"""Hands a finished mail to whichever server takes mail from this Outlook: SMTP submission, or Exchange itself.

Outlook gives its mail to Exchange; the other programs of a company use SMTP. With EWS the recipients are those of
the mail's own header (CreateItem with SendOnly, MS-OXWSCORE section 3.1.4.2), so a mail that is meant for somebody
else is not sent at all.
"""

from collections.abc import Sequence

from addin_sim.mailbox.interface import MailboxError
from addin_sim.outlook_settings import MailboxSettings, OutlookSettings
from addin_sim.raw_mail import mailboxes_in, parse
from addin_sim.submission import Accepted, Refused, ended, submit


def hand_in(outlook: OutlookSettings, recipients: Sequence[str], data: bytes) -> Accepted | Refused:
    """Submit one mail with CRLF line ends for all recipients or for none."""
    if outlook.submission.protocol == "smtp" or outlook.mailbox is None:
        return submit(outlook.submission, outlook.account.address, recipients, data)
    if (named := recipients_in(data)) != {recipient.lower() for recipient in recipients}:
        return Refused(
            "", f"Nothing was sent: Exchange would send the mail to {', '.join(sorted(named)) or 'nobody'}.", True
        )
    return _hand_to_exchange(outlook.mailbox, outlook.account.address, data)


def _hand_to_exchange(exchange: MailboxSettings, sender: str, data: bytes) -> Accepted | Refused:
    from addin_sim.mailbox.ews import EwsMailbox, MailRefusedError  # exchangelib takes its time to load
    from addin_sim.mailbox.ews_session import UncertainError

    try:
        mailbox = EwsMailbox(exchange, sender)
    except MailboxError as error:
        return Refused("", f"{ended(str(error))} Nothing was sent.")
    try:
        mailbox.send(data)
    except MailRefusedError as error:
        return Refused(error.code, f"{ended(str(error))} Nothing was sent.", True)
    except UncertainError as error:
        return Refused("", f"{ended(str(error))} Nobody knows whether Exchange has taken the mail.")
    except MailboxError as error:
        return Refused("", f"{ended(str(error))} Nothing was sent.")
    finally:
        mailbox.close()
    return Accepted("Exchange has taken the mail.")


def recipients_in(data: bytes) -> set[str]:
    """Whom Exchange would send the mail to, in small letters."""
    header = parse(data)
    fields = [field for name in ("To", "Cc", "Bcc") for field in header.all(name)]
    return {address.lower() for _, address in mailboxes_in(fields) if address}
