"""Header protection (RFC 9788): header fields inside the encryption, and what stays readable outside.

Encryption of mail leaves its Subject to everyone on the way. With header protection the entity that is
encrypted carries the header fields itself, says so (`hp="cipher"`), and notes what the outside says
(`HP-Outer`), so that a reader can tell what was confidential. Made by `hide_subject`; `read_protected`
reads what other programs made.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from ime_gateway.base.errors import UnreadableMail
from ime_gateway.mail.content_type import content_type_of, parse_content_type, with_parameter
from ime_gateway.mail.encoded_words import decode_words
from ime_gateway.mail.headers import Field, HeaderBlock, make_field
from ime_gateway.mail.legacy_display import with_legacy_display
from ime_gateway.mail.markers import BLIND_HEADERS, strip_controls, strip_status
from ime_gateway.mail.message import Message
from ime_gateway.mail.recognise import protection_of
from ime_gateway.mail.secure_parts import SecuredEntity

OUTER_SUBJECT = "[...]"
"""What stands outside in the place of a hidden subject (RFC 9788, the policy hcp_baseline)."""
_HP_OUTER = "hp-outer"
_REMOVED = frozenset(("keywords", "comments", "thread-topic", _HP_OUTER))
"""Hidden along with the subject: hcp_baseline names the first two, Exchange repeats the subject in the third."""
_TRANSPORT = frozenset(
    (
        *("received", "return-path", "received-spf", "authentication-results", "delivered-to", "x-imegw-trace"),
        *("disposition-notification-to", "return-receipt-to"),
    )
)
"""Written by mail servers on the way or meant for the recipients' copies only: they stay outside."""
_SIGNATURES = ("dkim-signature", "domainkey-signature", "arc-")
"""They cover the subject and the clear body, whose guesses they would confirm; encryption breaks them anyway."""
_NEEDED_OUTSIDE = frozenset(
    (
        *("from", "sender", "reply-to", "to", "cc", "date", "message-id", "in-reply-to", "references"),
        *("received", "return-path", "x-imegw-trace"),
    )
)
"""What carries and threads the mail stays outside, whatever stands in it."""
_PEOPLE = frozenset(("from", "sender", "reply-to", "to", "cc", "disposition-notification-to"))
_IDS = re.compile(r"(?:<[^<>\s]+>\s*)+")
_LISTED = {
    "date": re.compile(r"[a-z0-9:,+ -]{10,60}(?: \([a-z]{1,5}\))?", re.IGNORECASE),
    "message-id": _IDS,
    "in-reply-to": _IDS,
    "references": _IDS,
    "sensitivity": re.compile(r"normal|personal|private|company-confidential", re.IGNORECASE),
    "importance": re.compile(r"low|normal|high", re.IGNORECASE),
    "priority": re.compile(r"non-urgent|normal|urgent", re.IGNORECASE),
    "x-priority": re.compile(r"[1-5](?: \((?:highest|high|normal|low|lowest)\))?", re.IGNORECASE),
    "auto-submitted": re.compile(r"no|auto-generated|auto-replied", re.IGNORECASE),
}
"""The other fields of the list, each in the form that says nothing but what it is for (RFC 5322 section 3.6, RFC 2156,
RFC 3834): comments and phrases in them could say anything."""
_SHORTEST_TELLING = 6
"""A subject of fewer characters is not looked for in other fields: it would be found everywhere."""
_MOST_SUBJECTS = 4
_REPLY_MARK = re.compile(r"(?:\s{0,3}[a-z]{2,4}(?:\[\d{1,4}\])?:)+\s{0,3}", re.IGNORECASE)
_HP_PARAMETER = re.compile(rb';[ \t\r\n]*hp[ \t]*=[ \t]*(?:"[^"]*"|[^;\s]*)', re.IGNORECASE)

Kind = Literal["cipher", "clear", "v1"]


@dataclass(frozen=True, slots=True)
class ProtectedHeaders:
    """The header fields that an entity carries under its protection."""

    kind: Kind
    """`cipher`: made for encryption, `clear`: for signing only, `v1`: the older form without HP-Outer."""
    fields: HeaderBlock = field(repr=False)
    """Non-structural fields, without any that steer a gateway: whoever wrote the mail gives no orders (P5)."""
    outer: tuple[tuple[str, str], ...] = field(repr=False)
    """Names (lower case) and values of the fields outside, as the author's program wrote them."""

    @property
    def confidential(self) -> frozenset[str]:
        """Names of fields that stood differently or not at all outside (RFC 9788 section 4.3): these must not get
        out when somebody answers or forwards. Nothing is known of `v1`, so all of them."""
        if self.kind == "clear":
            return frozenset()
        shown = set(self.outer)
        return frozenset(f.key for f in self.fields.fields if (f.key, _comparable(f.text)) not in shown)


def read_protected(entity: Message) -> ProtectedHeaders | None:
    """The protected header fields of a cryptographic payload, that is the innermost entity behind signatures and
    encryption; None when it has none.

    Only meaningful for what really was signed or encrypted: the caller knows. Raises UnreadableMail
    when the entity says in two ways what it is.
    """
    parameters = content_type_of(entity.headers).parameters
    kind: Kind
    match parameters.get("hp", "").lower(), parameters.get("protected-headers", "").lower():
        case "cipher", _:
            kind = "cipher"
        case "clear", _:
            kind = "clear"
        case _, "v1":
            kind = "v1"
        case _:
            return None
    outer = []
    for noted in entity.headers.all(_HP_OUTER):
        name, colon, value = noted.text.partition(":")
        if colon:
            outer.append((name.strip().lower(), _comparable(value)))
    carried = HeaderBlock(f for f in entity.headers.fields if f.name and not _is_structural(f) and f.key != _HP_OUTER)
    fields = strip_controls(strip_status(carried)).without(BLIND_HEADERS)
    return ProtectedHeaders(kind, fields, tuple(outer))


def is_protected(headers: HeaderBlock) -> bool:
    """The author's program protected this header for encryption, so its subject is confidential already."""
    said = headers.first("content-type")
    return said is not None and parse_content_type(said.value.decode("latin-1")).parameters.get("hp") == "cipher"


def without_protection(headers: HeaderBlock) -> HeaderBlock:
    """A header without the words of header protection, for an entity that is not going to carry its own fields.

    A reader would look for all fields inside and find none. The block itself when it holds no such word.
    """
    plain = headers.without({_HP_OUTER})
    old = plain.first("content-type")
    if old is None or "hp" not in (before := parse_content_type(old.value.decode("latin-1")).parameters):
        return plain
    new = Field(old.name, _HP_PARAMETER.sub(b"", old.raw))
    after = {name: value for name, value in before.items() if name != "hp"}
    same = parse_content_type(new.value.decode("latin-1")).parameters == after
    return plain.replace("Content-Type", new) if same else plain


def protect_header(message: Message, also: Sequence[Field] = ()) -> SecuredEntity:
    """Put the header of a message inside as well, where it is signed and encrypted, and hide nothing (RFC 9788
    section 5.2 with hcp_no_confidentiality): so that nobody on the way can address the content to other people.

    also: fields that stand inside only, such as the Bcc of its one reader. Raises UnreadableMail as `hide_subject`.
    """
    headers = HeaderBlock(map(_ended, message.headers.without({_HP_OUTER}).fields))
    outer = HeaderBlock(
        f
        for f in headers.fields
        if not _is_structural(f) and f.key not in BLIND_HEADERS and not f.key.startswith(_SIGNATURES)
    )
    content = HeaderBlock(f for f in headers.fields if _is_content(f))
    return SecuredEntity(outer, _inside(headers, also, outer, content), (message.body,))


def hide_subject(message: Message, *, listed_only: bool = False, also: Sequence[Field] = ()) -> SecuredEntity:
    """Protect the header of a message that is going to be encrypted (RFC 9788 section 5.2, hcp_baseline).

    All fields of the author go inside, never Bcc; outside the subject becomes `[...]`, and what repeats
    it goes. Mail that is signed or encrypted already keeps its body as it is, so that signatures stay
    whole; other mail shows the subject to programs that do not know header protection.
    listed_only: as `hidden_outer` has it; also: as `protect_header` has it. Raises
    UnreadableMail when the message says in two ways what it is.
    """
    headers = HeaderBlock(map(_ended, message.headers.without({_HP_OUTER}).fields))
    outer = hidden_outer(headers, listed_only=listed_only)
    subject = _subjects(headers)[:1]
    content = HeaderBlock(f for f in headers.fields if _is_content(f))
    body: tuple[memoryview, ...] = (message.body,)
    if subject and protection_of(message) == "none":
        shown = with_legacy_display(message.with_headers(headers), [("Subject", subject[0])])
        content, body = shown.headers, shown.body
    return SecuredEntity(outer, _inside(headers, also, outer, content), body)


def _inside(headers: HeaderBlock, also: Sequence[Field], outer: HeaderBlock, content: HeaderBlock) -> HeaderBlock:
    """The header of the entity: the author's fields, what is for inside only, what stands outside, and its type."""
    carried = [f for f in headers.fields if _goes_inside(f)]
    noted = [Field("HP-Outer", _noted(f)) for f in outer.fields if _goes_inside(f)]
    return HeaderBlock((*carried, *also, *noted, *_marked(content).fields))


def hidden_outer(headers: HeaderBlock, *, listed_only: bool = False) -> HeaderBlock:
    """What of a header stays readable outside when the subject is hidden.

    listed_only: nothing but people, date, ids, priority, sensitivity and the trace of the way. So it is for mail whose
    header nobody between author and gateway has seen (IME 2.0): in any other field its program may repeat the subject,
    and encode it so that nobody recognises it.
    """
    subjects = _subjects(headers)
    block = HeaderBlock(
        f
        for f in headers.fields
        if not _is_structural(f)
        and f.key not in _REMOVED
        and f.key not in BLIND_HEADERS
        and not f.key.startswith(_SIGNATURES)
        and (not listed_only or _is_listed(f))
        and (f.key == "subject" or f.key in _NEEDED_OUTSIDE or not _repeats(f, subjects))
    )
    return block.replace("Subject", make_field("Subject", OUTER_SUBJECT)) if block.first("subject") else block


def _subjects(headers: HeaderBlock) -> list[str]:
    return [decode_words(f.text) for f in headers.all("subject")[:_MOST_SUBJECTS] if f.text]


def _is_listed(candidate: Field) -> bool:
    key = candidate.key
    if key in _PEOPLE or key in ("subject", "received", "x-imegw-trace"):
        return True
    form = _LISTED.get(key)
    return form is not None and form.fullmatch(_comparable(candidate.text)) is not None


def _repeats(candidate: Field, subjects: Sequence[str]) -> bool:
    """Whether the field says what the subject says; programs put copies of it where nobody looks."""
    value = _comparable(decode_words(candidate.text)).casefold()
    for subject in subjects:
        said = _comparable(subject).casefold()
        bare = _REPLY_MARK.sub("", said, count=1)
        if len(bare) >= _SHORTEST_TELLING and bare in value:
            return True
    return False


def _goes_inside(candidate: Field) -> bool:
    key = candidate.key
    return (
        bool(key)
        and not _is_structural(candidate)
        and key not in _TRANSPORT
        and key not in BLIND_HEADERS
        and not key.startswith(_SIGNATURES)
    )


def _is_content(candidate: Field) -> bool:
    return candidate.key.startswith("content-")


def _is_structural(candidate: Field) -> bool:
    """RFC 9788 section 1.1: MIME-Version and Content-*."""
    return candidate.key == "mime-version" or _is_content(candidate)


def _marked(content: HeaderBlock) -> HeaderBlock:
    """The Content-* fields with `hp="cipher"` on the type, in the place of any other `hp`."""
    old = content.first("content-type")
    if old is None:
        return content.append(Field("Content-Type", b'Content-Type: text/plain; charset="us-ascii"; hp="cipher"\r\n'))
    before = parse_content_type(old.value.decode("latin-1")).parameters
    raw = _HP_PARAMETER.sub(b"", old.raw) if "hp" in before else old.raw
    new = Field(old.name, with_parameter(raw, b'hp="cipher"'))
    try:
        after = parse_content_type(new.value.decode("latin-1")).parameters
    except UnreadableMail:  # the field was full already
        return content
    if after != {**before, "hp": "cipher"}:
        return content  # a field too broken to be added to; the fields stand inside all the same
    return content.replace("Content-Type", new)


def _noted(outside: Field) -> bytes:
    """A field outside as HP-Outer says it (RFC 9788 section 2.2)."""
    return b"HP-Outer: " + outside.name.encode("ascii") + b":" + _ended(outside).raw.partition(b":")[2]


def _ended(last: Field) -> Field:
    """A field with its line end; the last of a mail that ended in its header may lack it."""
    return last if last.raw.endswith(b"\n") else Field(last.name, last.raw + b"\r\n")


def _comparable(value: str) -> str:
    """Folding and blanks make no difference."""
    return " ".join(value.split())
