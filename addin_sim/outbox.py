"""What was written stays until its encrypted copy has come back: a refusal never destroys a mail.

IME 2.0 saves nothing in Sent Items. Instead the carrier itself is kept, byte for byte as it was submitted:
it is encrypted to the user's own key too, so it rests sealed, can be read by `addin-sim outbox show`, and
can be submitted again. A second submission is the same container, which the gateway knows from its
signature: nobody gets the mail twice.
"""

import contextlib
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from addin_sim.ime2 import Carrier
from addin_sim.own_keys import ProfileError
from addin_sim.raw_mail import RawMail, make_field
from addin_sim.whole_file import write_whole


class State(StrEnum):
    """How far a kept mail has come."""

    WAITING = "waiting"
    """No mail server has it: it is submitted again by the next pass."""
    SENT = "sent"
    """A mail server has it; its encrypted copy has not come back."""
    REFUSED = "refused"
    """It was refused for good; it stays until its author drops it."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A kept mail, as far as one can know it without a key."""

    id: str
    recipient: str
    message_id: str
    """Of the mail inside: what its copy is recognised by."""
    date: str
    """Of the mail inside, as it stands in its header."""
    carrier_id: str
    """Message-ID of the carrier: what reports of mail servers are recognised by."""
    state: State
    since: float
    """When it was written down here, before any mail server saw it; in seconds since 1970 UTC."""
    reply: str = ""
    """What was said last about it."""

    @property
    def header(self) -> RawMail:
        """Message-ID and Date of the mail inside, to hold against a copy."""
        return RawMail((make_field("Message-ID", self.message_id), make_field("Date", self.date)), b"")


class Outbox:
    """A folder with two files for each mail: `ID.eml` the carrier, `ID.json` what is known of it."""

    def __init__(self, profile: Path) -> None:
        self._folder = profile / "outbox"

    def keep(self, mail: RawMail, carrier: Carrier, moment: float) -> Kept:
        """Keep it before it is submitted, at `moment` (seconds since 1970 UTC); durable on return. `ProfileError`."""
        kept = Kept(
            uuid.uuid4().hex[:12],
            carrier.recipient,
            mail.value("Message-ID"),
            mail.value("Date"),
            carrier.message_id,
            State.WAITING,
            moment,
        )
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(self._carrier_file(kept.id), carrier.data, mode=0o600)
            self._describe(kept)
        except OSError as error:
            raise ProfileError(f"The mail was not sent, because it cannot be kept: {error}") from error
        return kept

    def items(self) -> list[Kept]:
        """Everything kept, the oldest first; raises `ProfileError`.

        A description without its mail (or the reverse) is no item.
        """
        found: list[tuple[float, Kept]] = []
        with self._failures("read"):
            for file in self._folder.glob("*.json"):
                try:
                    written = self._carrier_file(file.stem).stat().st_mtime
                    found.append((written, _described(file, written)))
                except FileNotFoundError:  # another program drops it at this moment
                    continue
        return [kept for _, kept in sorted(found, key=lambda entry: (entry[0], entry[1].id))]

    def find(self, identifier: str) -> Kept:
        """The item of that id; `ProfileError` when there is none."""
        for kept in self.items():
            if kept.id == identifier:
                return kept
        raise ProfileError(f"The outbox holds no mail {identifier!r}; see `addin-sim outbox list`.")

    def carrier(self, kept: Kept) -> bytes | None:
        """The bytes as they were submitted first; None when it is gone. Raises `ProfileError`."""
        with self._failures("read"):
            try:
                return self._carrier_file(kept.id).read_bytes()
            except FileNotFoundError:
                return None

    def mark(self, kept: Kept, state: State, reply: str) -> Kept:
        """Note how far it has come. Raises `ProfileError`; what was noted before stands then."""
        marked = replace(kept, state=state, reply=reply)
        with self._failures("written"):
            if self._carrier_file(kept.id).exists():
                self._describe(marked)
        return marked

    def drop(self, kept: Kept) -> None:
        """Forget it; what is gone already is no error. Raises `ProfileError`."""
        with self._failures("written"):
            self._description_file(kept.id).unlink(missing_ok=True)
            self._carrier_file(kept.id).unlink(missing_ok=True)

    def _describe(self, kept: Kept) -> None:
        described = {name: getattr(kept, name) for name in Kept.__slots__}
        described_as = json.dumps(described, ensure_ascii=False).encode()
        write_whole(self._description_file(kept.id), described_as, mode=0o600)

    @contextlib.contextmanager
    def _failures(self, used: str) -> Iterator[None]:
        """A full disk or a missing right as one sentence."""
        try:
            yield
        except OSError as error:
            raise ProfileError(
                f"The outbox {self._folder} cannot be {used}: {error.strerror}. The mails in it stay as they are; make "
                "room, or correct the folder's rights."
            ) from error

    def _carrier_file(self, identifier: str) -> Path:
        return self._folder / f"{identifier}.eml"

    def _description_file(self, identifier: str) -> Path:
        return self._folder / f"{identifier}.json"


def _described(file: Path, written: float) -> Kept:
    """Descriptions of old say nothing of `since`; the time of the mail's own file serves then."""
    try:
        described = json.loads(file.read_bytes())
        return Kept(**{"since": written, **described, "state": State(described["state"])})
    except (ValueError, TypeError, KeyError) as error:
        raise ProfileError(f"{file}: is no description of a kept mail.") from error
