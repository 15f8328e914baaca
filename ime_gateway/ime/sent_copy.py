"""The sender's own encrypted copy, which the add-in files in Sent Items in place of the clear one.

Exchange drops a second delivery to one mailbox with the same Message-ID (duplicate suppression), so
a sender who is also a recipient gets the sent copy under a new Message-ID with References to the
original (design 6.5, fact 5). A sent copy asks nobody for a receipt: no notification about it may
ever come back (RFC 8098 section 2.1).
"""

from ime_gateway.mail.headers import HeaderBlock, make_field, without_controls

SENT_COPY_MARKER = "X-ESWmail-InternalEncrypt-sentcopy"

_RECEIPT_HEADERS = frozenset({"disposition-notification-to", "return-receipt-to", "x-confirm-reading-to"})


def sent_copy_headers(headers: HeaderBlock, *, sender_is_recipient: bool, new_message_id: str) -> HeaderBlock:
    """The outer headers of the sent copy.

    headers: those of the recipients' copy. new_message_id: with angle brackets, used only when the
    sender is a recipient too.
    """
    marked = headers.without(_RECEIPT_HEADERS).append(make_field(SENT_COPY_MARKER, "yes"))
    original = marked.first("message-id")
    if not sender_is_recipient or original is None:
        return marked
    references = marked.first("references")
    thread = f"{references.text.strip()} {original.text.strip()}" if references is not None else original.text.strip()
    return marked.replace("Message-ID", make_field("Message-ID", new_message_id)).replace(
        "References", make_field("References", without_controls(thread))
    )
