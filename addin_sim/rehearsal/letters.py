"""What the users of a rehearsal write: each mail follows from its number, so nothing written need be kept.

A mail is known again by its Message-ID (RFC 5322 section 3.6.4), which names run and number; its text and its
attachments hold a word that must stand nowhere in clear.
"""

import base64
import functools
import hashlib
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from addin_sim.raw_mail import RawMail, make_field

Version = Literal[1, 2]

_NAMED = re.compile(r"<rehearsal-([0-9a-f]+)-(\d+)@[^>\s]+>")
_ATTACHMENT_BYTES = (0, 12_000, 0, 0, 40_000, 0, 0, 150_000)
"""The first attachment of the mails in turn; most mails have none."""
_LINES = 30


@dataclass(frozen=True, slots=True)
class Letter:
    """One mail of the rehearsal."""

    run: str
    number: int
    ime: Version
    sender: str
    to: tuple[str, ...]
    cc: tuple[str, ...] = ()
    bcc: tuple[str, ...] = ()
    attached: tuple[int, ...] = ()
    """The attachments' sizes in bytes."""

    @property
    def message_id(self) -> str:
        """Names run and number; the domain is the sender's."""
        return f"<{mark(self.run)}{self.number}@{self.sender.rpartition('@')[2]}>"

    @property
    def readers(self) -> tuple[str, ...]:
        """Everybody who is to get it; the sender's own copy is not counted."""
        return (*self.to, *self.cc, *self.bcc)

    @property
    def secret(self) -> str:
        """The word that must stand nowhere in clear."""
        return "canary-" + hashlib.sha256(f"{self.run}/{self.number}".encode()).hexdigest()[:24]


def mark(run: str) -> str:
    """How the Message-IDs of a run begin."""
    return f"rehearsal-{run}-"


def number_of(header: RawMail, run: str) -> int | None:
    """The number of the mail with this header; None when it is none of the run.

    A sent copy whose Message-ID was exchanged (the sender is a recipient too) names the mail in References.
    """
    for name in ("Message-ID", "References"):
        for found in _NAMED.finditer(header.value(name)):
            if found[1] == run:
                return int(found[2])
    return None


def plan_letter(run: str, number: int, sender: str, people: Sequence[str], versions: Sequence[Version]) -> Letter:
    """The mail of that number: versions take turns, every third mail has a blind copy, every ninth goes to its sender.

    `people` are all who play along, the sender among them. Nobody is named twice; alone, the sender writes to
    themselves.
    """
    chance = random.Random(f"{run}/{number}/{sender}")  # noqa: S311 - variety, not secrecy
    others = [person for person in people if person != sender]
    chosen = chance.sample(others, min(len(others), 4))
    to, rest = chosen[:1], chosen[1:]
    bcc = [rest.pop()] if rest and number % 3 == 0 else []
    cc = [rest.pop()] if rest and number % 5 == 0 else []
    if rest and number % 12 == 0:
        bcc.append(rest.pop())
    if number % 9 == 4 or not to:
        to.append(sender)
    size = _ATTACHMENT_BYTES[chance.randrange(len(_ATTACHMENT_BYTES))]
    attached = (size, 900) if size > 100_000 else (size,) if size else ()
    version = versions[number % len(versions)]
    return Letter(run, number, version, sender, tuple(to), tuple(cc), tuple(bcc), attached)


def written(letter: Letter) -> bytes:
    """The mail as its author saves it: with recipients, without From and Date."""
    fields = [
        make_field("Subject", f"Rehearsal {letter.run}, mail {letter.number}"),
        make_field("Message-ID", letter.message_id),
    ]
    for name, addresses in (("To", letter.to), ("Cc", letter.cc), ("Bcc", letter.bcc)):
        if addresses:
            fields.append(make_field(name, ", ".join(addresses)))
    fields.append(make_field("MIME-Version", "1.0"))
    text = make_field("Content-Type", "text/plain; charset=us-ascii")
    fields.append(text if not letter.attached else make_field("Content-Type", _mixed(letter)))
    return RawMail(tuple(fields), _body(letter)).to_bytes()


@functools.lru_cache(maxsize=256)
def pieces_of(letter: Letter) -> tuple[bytes, ...]:
    """The text and each attachment (in base64), with CRLF line ends and none at the end.

    They must come through byte for byte. What stands around them need not: a gateway that hides the subject changes
    the header of the text part and writes the subject above the text (RFC 9788 section 5.2).
    """
    lines = [f"This is mail {letter.number} of a rehearsal; please ignore it. Word: {letter.secret}"]
    lines += [f"Line {line:02} of a text that is about as long as those that people write." for line in range(_LINES)]
    attachments = (_attachment(letter, place, size) for place, size in enumerate(letter.attached))
    return ("\r\n".join(lines).encode("ascii"), *attachments)


def _body(letter: Letter) -> bytes:
    text, *attachments = pieces_of(letter)
    if not attachments:
        return text
    edge = f"--{_boundary(letter)}".encode("ascii")
    parts = [b"Content-Type: text/plain; charset=us-ascii\r\n\r\n" + text]
    for place, attachment in enumerate(attachments):
        parts.append(
            f'Content-Type: application/octet-stream; name="figures-{place}.bin"\r\n'
            "Content-Transfer-Encoding: base64\r\n"
            f'Content-Disposition: attachment; filename="figures-{place}.bin"\r\n\r\n'.encode("ascii")
            + attachment
        )
    return b"".join(edge + b"\r\n" + part + b"\r\n" for part in parts) + edge + b"--"


def _attachment(letter: Letter, place: int, size: int) -> bytes:
    chance = random.Random(f"{letter.run}/{letter.number}/{place}")  # noqa: S311
    data = letter.secret.encode("ascii") + chance.randbytes(size)
    encoded = base64.b64encode(data)
    return b"\r\n".join(encoded[start : start + 76] for start in range(0, len(encoded), 76))


def _mixed(letter: Letter) -> str:
    return f'multipart/mixed; boundary="{_boundary(letter)}"'


def _boundary(letter: Letter) -> str:
    return f"rehearsal-part-{letter.run}-{letter.number}"
