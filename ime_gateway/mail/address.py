"""Mail addresses and lists of them, read so that no two programs could mean different people.

A gateway chooses keys by address, so an address that mail programs read differently is a hole:
whatever is not plainly RFC 5321 section 4.1.2 or RFC 5322 section 3.4 is refused, not guessed.
The obsolete syntax of RFC 5322 section 4.4 is taken where it cannot be misread (empty list
elements, dots in display names) and refused elsewhere (source routes, blanks inside addresses).
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

import idna

from ime_gateway.base.errors import UnreadableMail
from ime_gateway.mail.address_tokens import Token, tokenize
from ime_gateway.mail.encoded_words import decode_words

LOCAL_LIMIT = 256
"""Characters of a local part. RFC 5321 section 4.5.3.1.1 demands 64; VERP senders use more."""
DOMAIN_LIMIT = 255
"""Octets of a domain (RFC 5321 section 4.5.3.1.2)."""

_DOT_ATOM = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-\u00a0-\U0010ffff]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-\u00a0-\U0010ffff]+)*"
)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*+)"')
_HOST = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")
_LITERAL = re.compile(r"\[[!-Z^-~]+\]")
_SPECIALS = frozenset('()<>[]:;@\\,. "')
_ESCAPE = re.compile(r"\\(.)")
_ENCODED_WORD = re.compile(r"=\?[^?]*\?[bBqQ]\?")
_X500 = re.compile(r"[\"']?/o=", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Address:
    """A mailbox name as envelopes carry it (RFC 5321 section 4.1.2).

    Equality is exact; compare and look up by `key`.
    """

    local: str
    """As written, without the quotes of a quoted string."""
    domain: str
    """Lower case; international domains as A-labels (RFC 5890 section 2.3.2.1)."""

    @property
    def key(self) -> str:
        """The form for look-ups: the local part without regard to case, `@`, the domain."""
        local = self.local if self.local.isascii() else unicodedata.normalize("NFC", self.local)
        return f"{local.lower()}@{self.domain}"

    @property
    def smtputf8(self) -> bool:
        """True when only a server with SMTPUTF8 can take this address (RFC 6531)."""
        return not (self.local.isascii() and self.domain.isascii())

    def __str__(self) -> str:
        """The address as SMTP and header fields write it, the local part quoted when it must be."""
        if _DOT_ATOM.fullmatch(self.local):
            return f"{self.local}@{self.domain}"
        escaped = self.local.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"@{self.domain}'


@dataclass(frozen=True, slots=True)
class Mailbox:
    """An address with the name shown beside it, decoded (RFC 5322 section 3.4)."""

    display_name: str
    address: Address


@dataclass(frozen=True, slots=True)
class Group:
    """A named list such as `undisclosed-recipients:;` (RFC 5322 section 3.4)."""

    name: str
    members: tuple[Mailbox, ...]


def parse_path(text: str) -> Address:
    """Read one RFC 5321 Mailbox: no angle brackets, no source route, no display name.

    Raises UnreadableMail with the reason.
    """
    local, at, domain = text.rpartition("@")
    if not at:
        raise UnreadableMail("an address has no @", evidence=_shown(text))
    return _address(local, domain)


def parse_address_list(text: str, *, semicolons: bool = False) -> tuple[Mailbox | Group, ...]:
    """Read an RFC 5322 address-list with comments, quoted names, groups and empty elements.

    text: the unfolded or folded value of a field. semicolons: read it as Outlook and Exchange
    write lists: `;` separates too (it still ends a group), and addresses that only Exchange itself
    can deliver (X.500) are refused by name. Raises UnreadableMail; takes time linear in the text.
    """
    return _ListReader(tokenize(text), semicolons).read()


def flatten(items: Iterable[Mailbox | Group]) -> tuple[Mailbox, ...]:
    """The mailboxes of a list in their order, those of groups included."""
    mailboxes: list[Mailbox] = []
    for item in items:
        if isinstance(item, Group):
            mailboxes.extend(item.members)
        else:
            mailboxes.append(item)
    return tuple(mailboxes)


def normalize_domain(domain: str) -> str:
    """The form of a domain that is compared: lower-case A-labels (UTS 46, RFC 5890).

    Raises UnreadableMail when the text can be no domain at all.
    """
    if domain.isascii():
        folded = domain.lower()
        if len(folded) <= DOMAIN_LIMIT and (_HOST.fullmatch(folded) or _LITERAL.fullmatch(folded)) and _honest(folded):
            return folded
        raise UnreadableMail("an address has a domain that is none", evidence=_shown(domain))
    if len(domain) > DOMAIN_LIMIT:  # IDNA is slow on long labels
        raise UnreadableMail("an address has a domain that is too long", evidence=_shown(domain))
    try:
        return normalize_domain(idna.encode(domain, uts46=True, transitional=False).decode("ascii"))
    except idna.IDNAError:
        # Labels newer than our tables are compared as they stand, but nothing that hides punctuation.
        folded = domain.lower()
        word = all(c in ".-" or c.isalnum() or unicodedata.category(c).startswith("M") for c in folded)
        if word and unicodedata.normalize("NFKC", folded) == folded and all(folded.split(".")):
            return folded
        raise UnreadableMail("an address has a domain that is none", evidence=_shown(domain)) from None


def _honest(domain: str) -> bool:
    """False for an `xn--` label that no encoder writes: it decodes to something else than it compares as."""
    if "xn--" not in domain:
        return True
    for label in domain.split("."):
        if label.startswith("xn--"):
            try:
                decoded = label[4:].encode("ascii").decode("punycode")
            except UnicodeError:
                return False
            canonical = unicodedata.normalize("NFC", decoded.lower())
            if decoded.isascii() or canonical != decoded or decoded.encode("punycode").decode("ascii") != label[4:]:
                return False
    return True


def _address(local: str, domain: str) -> Address:
    """Check both sides of an `@` and build the address; the local part may be a quoted string."""
    if quoted := _QUOTED.fullmatch(local):
        local = _ESCAPE.sub(r"\1", quoted[1])
    elif not _DOT_ATOM.fullmatch(local):
        raise UnreadableMail("an address has a local part that is not allowed", evidence=_shown(local))
    if not 0 < len(local) <= LOCAL_LIMIT:
        raise UnreadableMail("an address has a local part that is empty or too long", evidence=_shown(local))
    if not local.isprintable() or "\ufffd" in local:
        raise UnreadableMail("an address has characters in it that cannot be read", evidence=_shown(local))
    if not local.isascii() and set(unicodedata.normalize("NFKC", local)) & _SPECIALS - set(local):
        raise UnreadableMail("an address has characters that look like punctuation", evidence=_shown(local))
    if "=?" in local and _ENCODED_WORD.search(local):
        # RFC 2047 section 5 (3): an encoded word is never part of an address.
        raise UnreadableMail("an address holds an encoded word", evidence=_shown(local))
    return Address(local, normalize_domain(domain))


class _ListReader:
    """One pass over the tokens of an address list."""

    def __init__(self, tokens: list[Token], semicolons: bool) -> None:
        self._tokens = tokens
        self._semicolons = semicolons
        self._items: list[Mailbox | Group] = []
        self._group_name: str | None = None
        self._members: list[Mailbox] = []
        self._words: list[Token] = []
        self._bracketed: list[Token] | None = None
        self._closed = False

    def read(self) -> tuple[Mailbox | Group, ...]:
        for token in self._tokens:
            if self._bracketed is not None and not self._closed:
                self._inside_brackets(token, self._bracketed)
            else:
                self._outside_brackets(token)
        if self._bracketed is not None and not self._closed:
            raise UnreadableMail("an address list has an angle bracket that is not closed")
        self._element()
        if self._group_name is not None:
            raise UnreadableMail("an address list has a group without its end")
        return tuple(self._items)

    def _inside_brackets(self, token: Token, bracketed: list[Token]) -> None:
        if token.kind == ">":
            self._closed = True
        elif token.kind in "<,;":
            raise UnreadableMail("an address list has an angle bracket that is not closed")
        else:
            bracketed.append(token)

    def _outside_brackets(self, token: Token) -> None:
        kind = token.kind
        if kind in ",;":
            self._element()
            if kind == ";":
                self._semicolon()
        elif kind == "comment":
            self._words.append(token)
        elif self._closed:
            raise UnreadableMail("an address list has text after an address without a comma between")
        elif kind == "<":
            self._bracketed = []
        elif kind == ">":
            raise UnreadableMail("an address list closes an angle bracket that it never opened")
        elif kind == ":":
            self._open_group()
        else:
            self._words.append(token)

    def _open_group(self) -> None:
        name = _phrase(self._words)
        if self._group_name is not None or not name or any(word.kind == "@" for word in self._words):
            raise UnreadableMail("an address list has a colon where none may stand")
        self._group_name, self._words = name, []

    def _semicolon(self) -> None:
        if self._group_name is not None:
            self._items.append(Group(self._group_name, tuple(self._members)))
            self._group_name, self._members = None, []
        elif not self._semicolons:
            raise UnreadableMail("an address list has a semicolon outside of a group")

    def _element(self) -> None:
        words, bracketed = self._words, self._bracketed
        self._words, self._bracketed, self._closed = [], None, False
        if bracketed is not None:
            mailbox = self._named(words, bracketed)
        elif any(word.kind != "comment" for word in words):
            mailbox = Mailbox("", self._addr_spec(words))
        else:
            return  # an empty element, RFC 5322 section 4.4
        (self._members if self._group_name is not None else self._items).append(mailbox)

    def _named(self, words: list[Token], bracketed: list[Token]) -> Mailbox:
        address = self._addr_spec(bracketed)
        if any(word.kind == "@" for word in words):
            # `a@x <b@y>`: programs take one or the other, unless both are the same.
            if self._addr_spec(words).key != address.key:
                raise UnreadableMail("an address stands unquoted where a name should")
            return Mailbox(str(address), address)
        return Mailbox(_phrase(words), address)

    def _addr_spec(self, tokens: list[Token]) -> Address:
        """RFC 5322 section 3.4.1, with comments and blanks only where they cannot mislead."""
        core = [token for token in tokens if token.kind != "comment"]
        written = "".join(token.text for token in core)
        if _X500.match(written):
            raise UnreadableMail(f"{_shown(written)} is an X.500 address that only Exchange can deliver")
        ats = [place for place, token in enumerate(core) if token.kind == "@"]
        if len(ats) != 1:
            raise UnreadableMail("an address list has an element that is no address", evidence=_shown(written))
        at = ats[0]
        local, domain = core[:at], core[at + 1 :]
        if any(token.spaced for token in (*local[1:], *domain[1:])):
            raise UnreadableMail("an address has blanks in it", evidence=_shown(written))
        _refuse_misleading_comments(tokens)
        if any(token.kind == "quoted" for token in local) and len(local) != 1:
            raise UnreadableMail("an address has quotes in the middle", evidence=_shown(written))
        address = _address("".join(token.text for token in local), "".join(token.text for token in domain))
        if self._semicolons and address.local.lower().startswith("imceaex-"):
            raise UnreadableMail(f"{_shown(written)} is an X.500 address that only Exchange can deliver")
        return address


def _refuse_misleading_comments(tokens: list[Token]) -> None:
    """Refuse `user(<boss@bank>)@evil`: a comment inside an address that looks like one itself."""
    first = next(place for place, token in enumerate(tokens) if token.kind != "comment")
    last = max(place for place, token in enumerate(tokens) if token.kind != "comment")
    for token in tokens[first : last + 1]:
        if token.kind == "comment" and any(character in token.text for character in "@<>"):
            raise UnreadableMail("an address has another address in a comment in it")


def _phrase(words: list[Token]) -> str:
    """The display name: words with their blanks, quoted strings unquoted, encoded words decoded."""
    pieces: list[str] = []
    plain: list[str] = []
    for word in words:
        if word.kind == "comment":
            continue
        gap = " " if word.spaced and (pieces or plain) else ""
        if word.kind == "quoted":
            pieces += (decode_words("".join(plain)), gap, _ESCAPE.sub(r"\1", word.text[1:-1]))
            plain = []
        else:
            plain += (gap, word.text)
    pieces.append(decode_words("".join(plain)))
    name = " ".join("".join(pieces).split())
    return "".join(character if character.isprintable() else " " for character in name)


def _shown(text: str) -> str:
    """A piece of the mail as a sentence may quote it: short, printable ASCII."""
    ascii_text = text.encode("ascii", "replace").decode("ascii")
    return "".join(c if c.isprintable() else "?" for c in ascii_text[:80])
