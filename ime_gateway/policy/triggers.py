"""What an insider asked for: control headers, Sensitivity and subject keywords (design 6.4).

Read only from mail of an internal listener; on mail from outside the same words were removed or mean
nothing (P5). Control headers and keywords are taken out before the mail goes on, Sensitivity stays.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from ime_gateway.mail.headers import HeaderBlock, decode_words, make_field, without_controls
from ime_gateway.settings.site import SubjectKeywords


@dataclass(frozen=True, slots=True)
class Wishes:
    """The sender's wishes, and the headers without the words that expressed them."""

    encrypt: bool
    plain: bool
    sign: bool
    portal: bool
    hidden_subject: bool
    """The subject shall not be readable outside the encryption."""
    headers: HeaderBlock

    @property
    def unavailable(self) -> str:
        """What this version cannot do, in words; empty when it can do everything asked for."""
        if self.portal:
            return "the portal is not available in this version"
        return ""


def read_wishes(headers: HeaderBlock, keywords: SubjectKeywords) -> Wishes:
    """Read and remove the words by which an insider steers the gateway.

    A control header counts when its value is `yes` in any case (SEPPmail's add-in writes that); for encryption
    everything counts that is no clear "no", so that `true` or `1` never costs anybody their secret.
    Keywords are looked for in the decoded, unfolded subject in any case (RFC 2047). Contradictions stay as they are:
    `policy/decide` takes the safer wish.
    """
    sensitivity = {" ".join(field.text.lower().split()) for field in headers.all("sensitivity")}
    subjects = [decode_words(field.text) for field in headers.all("subject")]
    subject = subjects[0] if subjects else ""
    found = {
        "encrypt": _asked(headers, "x-smenc") or not sensitivity.isdisjoint(_CONFIDENTIAL),
        "plain": _said(headers, "x-smplain"),
        "sign": _said(headers, "x-smsign"),
        "portal": _said(headers, "x-smwebmail") or "private" in sensitivity,
    }
    reply = headers.first("in-reply-to") is not None or headers.first("references") is not None
    own, quoted = _own_words(subject, reply=reply)
    edited = False
    for wish in found:
        own, spoken = _take_out(own, getattr(keywords, wish))
        found[wish] = found[wish] or spoken
        edited = edited or spoken
    # In a reply the words may be an outsider's (P5): those still count that make the mail safer.
    quoted, spoken = _take_out(quoted, keywords.encrypt)
    found["encrypt"] = found["encrypt"] or spoken
    edited = edited or spoken
    # A second subject is no subject, but somebody may have meant it.
    spoken = any(_take_out(other, keywords.encrypt)[1] for other in subjects[1:_MOST_SUBJECTS])
    found["encrypt"] = found["encrypt"] or spoken
    edited = edited or spoken
    rest = f"{own} {quoted}".strip() if own and quoted else own or quoted
    cleaned = headers.without(_WISH_HEADERS)
    if edited:
        cleaned = cleaned.replace("Subject", make_field("Subject", without_controls(rest)))
    return Wishes(**found, hidden_subject=_said(headers, "x-smsubjectencrypt"), headers=cleaned)


def hides_subject(
    protect: Literal["never", "on-request", "ime2", "always"], requested: bool, ime: Literal["1.0", "2.0"] | None
) -> bool:
    """Whether `[policy] protect_subject` hides the subject of a message wherever that is encrypted.

    Each word includes the ones before it: `ime2` is on request and for all IME 2.0 mail. `never` also overrules the
    request, so that administrators can keep subjects searchable.
    """
    match protect:
        case "never":
            return False
        case "on-request":
            return requested
        case "ime2":
            return requested or ime == "2.0"
        case "always":
            return True


_CONFIDENTIAL = frozenset({"company-confidential", "company confidential"})
"""RFC 2156 section 5.3.4 and what Outlook's dialogue calls it."""
_REFUSALS = frozenset({"", "no", "n", "false", "off", "0"})
_MOST_SUBJECTS = 16
_WISH_HEADERS = frozenset({"x-smenc", "x-smsign", "x-smplain", "x-smwebmail", "x-smsubjectencrypt"})


_REPLY = re.compile(
    r"\b(?:re|aw|antw|fwd?|wg|sv|vs|vb|rv|tr|ref|odp|rif)\s{0,3}(?:\[\d{1,4}\]|\(\d{1,4}\))?\s{0,3}:",
    re.IGNORECASE,
)
"""How mail programs mark replies and forwarded mail, in the languages of our users."""


_COLON = re.compile("[:\uff1a]")


def _own_words(subject: str, *, reply: bool) -> tuple[str, str]:
    """What the sender wrote before the first mark of a reply, and the rest, which may be anybody's.

    reply: the header says that it is one (RFC 5322 section 3.6.4), so the first word with a colon is its mark in
    whatever language.
    """
    known, colon = _REPLY.search(subject), _COLON.search(subject) if reply else None
    if colon is not None and (known is None or colon.start() < known.start()):
        at = subject.rfind(" ", 0, colon.start()) + 1
    elif known is not None:
        at = known.start()
    else:
        return subject, ""
    return subject[:at].rstrip(), subject[at:]


def _said(headers: HeaderBlock, name: str) -> bool:
    return any(field.text.strip().lower() == "yes" for field in headers.all(name))


def _asked(headers: HeaderBlock, name: str) -> bool:
    return any(field.text.strip().lower() not in _REFUSALS for field in headers.all(name))


def _take_out(subject: str, words: Iterable[str]) -> tuple[str, bool]:
    """The subject without each of `words`, in any case, and whether one was there. Linear in the subject."""
    pattern = "|".join(re.escape(word) for word in words if word)
    if not pattern:
        return subject, False
    rest, found = re.subn(pattern, " ", subject, flags=re.IGNORECASE)
    return (" ".join(rest.split()), True) if found else (subject, False)
