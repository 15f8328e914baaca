"""What a recipient gets of a mail that was opened: the content under the envelope's header, with nothing that steers.

Only whole entities were opened (`smime/layers`), so nothing from outside stands beside the content. Signatures inside
the encryption stay with it and stay valid (P7); opaque ones move beside their text, so that every reader can read it,
and compression, which would hide it too, is taken off.
"""

from ime_gateway.base.errors import UnreadableMail
from ime_gateway.mail.legacy_removal import without_legacy_display
from ime_gateway.mail.markers import strip_markers
from ime_gateway.mail.message import Message, parse_message
from ime_gateway.mail.opened_headers import opened_headers
from ime_gateway.mail.result_tags import without_tags
from ime_gateway.pipeline.signature_verdicts import protected_headers
from ime_gateway.smime.detach import detached
from ime_gateway.smime.layers import CompressedLayer, EncryptedLayer, Opened, SignedLayer
from ime_gateway.smime.structures import CmsLimits

_NOTE = (
    b"Content-Type: text/plain; charset=us-ascii\r\n\r\n"
    b"This message came encrypted and could not be opened by the mail gateway.\r\n"
    b"Mail that cannot be scanned is not delivered here, so its content was left out.\r\n"
    b"Please ask the sender to send it again.\r\n"
)


def delivered_message(outer: Message, opened: Opened, tags: tuple[str, ...]) -> Message | None:
    """The opened mail without markers and forged tags; None when it must stay sealed: nothing was opened, or markers
    hide in it where they cannot be removed. A further layer that cannot be taken off is content like any other.

    outer: as it came, without markers. tags: words that only we may write into a subject.
    """
    if not opened.encrypted:
        return None
    content, protected = _content(opened), protected_headers(opened)
    if protected is not None and protected.kind == "cipher" and content is opened.message:
        content = without_legacy_display(content)  # its subject is going to be shown
    try:
        headers = opened_headers(outer.headers, content.headers, protected)
        message = strip_markers(Message(headers, content.body), exchange_headers=True)
    except UnreadableMail:
        return None
    return message.with_headers(without_tags(message.headers, tags))


def withheld_message(outer: Message) -> Message:
    """A mail whose content could not be opened and may not pass unscanned: its header, and a note in its place.

    Sent on where a refusal would tell an outsider how far his forged ciphertext was understood (RFC 3218).
    """
    note = parse_message(_NOTE)
    return Message(opened_headers(outer.headers, note.headers, None), note.body)


def _content(opened: Opened) -> Message:
    """The entity that goes on: inside the last encryption, and inside what hides text around or behind it."""
    content = opened.message
    limits = CmsLimits()
    keeps_signature = False
    for layer in opened.layers:
        match layer:
            case EncryptedLayer():
                content, keeps_signature = layer.inside, False
            case SignedLayer():
                if not keeps_signature and not layer.detached:
                    content = detached(content, limits) or content
                keeps_signature = True
            case CompressedLayer():
                content = content if keeps_signature else layer.inside
    return content
