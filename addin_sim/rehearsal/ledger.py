"""What is expected and what was seen, for all users together: the books of a rehearsal.

Every mail is entered before it is submitted, so that nothing can arrive unexpected; the books are closed when
everything has been seen or time is up, and what is open then is a deviation.
"""

import threading
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from addin_sim.rehearsal.judgement import Deviation, Kind
from addin_sim.rehearsal.letters import Letter, Version
from addin_sim.rehearsal.timings import Step, Timings


@dataclass(slots=True)
class _Entry:
    """One mail."""

    letter: Letter
    accepted: float | None = None
    """When the mail server took it (monotonic seconds)."""
    refused: bool = False
    put_off: str = ""
    """Why no server took it when it was tried last, with a full stop."""
    missing: set[str] = field(default_factory=set)
    """Recipients who have not got it."""
    copy_filed: bool = False
    copies_told: bool = False
    """Two copies came back, and this was said."""
    settled: bool = False
    """Refused, or seen everywhere."""


@dataclass(frozen=True, slots=True)
class Tally:
    """How far it has come; counts of mails."""

    sent: int = 0
    """Taken by the mail server."""
    by_version: dict[Version, int] = field(default_factory=dict)
    refused: int = 0
    deliveries: int = 0
    """Expected: one for each recipient of each mail that was not refused."""
    arrived: int = 0
    copies_filed: int = 0
    under_way: int = 0
    """Not seen everywhere when somebody ended the rehearsal, but not late either: nobody knows how they end."""
    deviations: int = 0


class Ledger:
    """For any number of threads; moments are monotonic seconds, addresses in small letters."""

    def __init__(self, timings: Timings, slow: float) -> None:
        """`slow`: seconds from acceptance after which an arrival is a deviation."""
        self._timings = timings
        self._slow = slow
        self._abandoned: float | None = None
        self._entries: dict[int, _Entry] = {}
        self._open: Counter[str] = Counter()
        """For each sender: how many mails were not seen everywhere."""
        self._awaited: defaultdict[str, set[int]] = defaultdict(set)
        """For each sender: the mails whose copies are to come."""
        self._deviations: list[Deviation] = []
        self._lock = threading.Lock()

    def enter(self, letter: Letter) -> None:
        """It is about to be submitted."""
        with self._lock:
            self._entries[letter.number] = _Entry(letter, missing=set(letter.readers))
            self._open[letter.sender] += 1
            self._awaited[letter.sender].add(letter.number)

    def accepted(self, letter: Letter, moment: float) -> None:
        """The mail server took it."""
        with self._lock:
            entry = self._entries[letter.number]
            if entry.accepted is None:
                entry.accepted = moment

    def refused(self, letter: Letter, reply: str) -> None:
        """A mail server or the gateway refused it for good; told once."""
        with self._lock:
            entry = self._entries[letter.number]
            if entry.refused:
                return
            entry.refused = True
            self._settle(entry)
            self._deviations.append(
                Deviation(Kind.REFUSED, letter.sender, f"Mail {letter.number}: {reply}", letter.message_id)
            )

    def put_off(self, letter: Letter, sentence: str) -> None:
        """No mail server takes it now, for the reason in `sentence`; it is tried again."""
        with self._lock:
            self._entries[letter.number].put_off = sentence

    def was_refused(self, letter: Letter) -> bool:
        """Did anybody refuse it?"""
        with self._lock:
            return self._entries[letter.number].refused

    def letter(self, number: int) -> Letter | None:
        """The mail of that number; None when none was entered."""
        with self._lock:
            entry = self._entries.get(number)
            return entry.letter if entry else None

    def arrived(self, letter: Letter, reader: str, moment: float, found: list[Deviation]) -> bool:
        """Somebody's Outlook saw it, and judged it so. False: it is wrong in itself, or one too many."""
        with self._lock:
            entry = self._entries[letter.number]
            self._deviations += found
            if reader not in letter.readers:
                return False
            if reader not in entry.missing:
                said = f"Mail {letter.number} of {letter.sender} arrived twice."
                self._deviations.append(Deviation(Kind.DOUBLED, reader, said, letter.message_id))
                return False
            entry.missing.discard(reader)
            self._settle(entry)
            self._time(entry, Step.ARRIVE, reader, moment)
            return not found

    def filed(self, letter: Letter, moment: float, found: list[Deviation]) -> None:
        """Its encrypted copy lies in Sent Items, and was judged so."""
        with self._lock:
            entry = self._entries[letter.number]
            self._deviations += found
            if entry.copy_filed:
                self._tell_of_copies(entry)
                return
            entry.copy_filed = True
            self._settle(entry)
            self._time(entry, Step.FILE, letter.sender, moment)

    def two_copies(self, letter: Letter) -> None:
        """More than one copy of it came back to its sender; told once."""
        with self._lock:
            self._tell_of_copies(self._entries[letter.number])

    def abandon(self, moment: float) -> None:
        """Nobody waits any longer. Takes no lock: a signal's handler calls it."""
        self._abandoned = moment

    def is_under_way(self, letter: Letter) -> bool:
        """Was the rehearsal ended before this mail could be expected everywhere?"""
        with self._lock:
            return self._is_under_way(self._entries[letter.number])

    def note(self, deviation: Deviation) -> None:
        """Anything else that is wrong."""
        with self._lock:
            self._deviations.append(deviation)

    def open_mails(self, sender: str | None = None) -> int:
        """Mails, of one sender or of all, that have not been seen everywhere and were not refused."""
        with self._lock:
            return self._open[sender] if sender is not None else self._open.total()

    def awaited(self, sender: str) -> list[Letter]:
        """This sender's mails whose encrypted copies are still to be filed."""
        with self._lock:
            return [self._entries[number].letter for number in sorted(self._awaited[sender])]

    def tally(self) -> Tally:
        """How far it has come."""
        with self._lock:
            entries = self._entries.values()
            taken = [entry for entry in entries if entry.accepted is not None]
            standing = [entry for entry in entries if not entry.refused]
            expected = sum(len(entry.letter.readers) for entry in standing)
            return Tally(
                sent=len(taken),
                by_version=dict(Counter(entry.letter.ime for entry in taken)),
                refused=sum(entry.refused for entry in entries),
                deliveries=expected,
                arrived=expected - sum(len(entry.missing) for entry in standing),
                copies_filed=sum(entry.copy_filed for entry in entries),
                under_way=sum(self._is_under_way(entry) for entry in entries),
                deviations=len(self._deviations),
            )

    def closed(self) -> list[Deviation]:
        """Every deviation; what is still open is one now."""
        with self._lock:
            found = list(self._deviations)
            for entry in self._entries.values():
                if entry.refused or self._is_under_way(entry):
                    continue
                letter = entry.letter
                of = f"Mail {letter.number} of {letter.sender}"
                if entry.accepted is None and len(entry.missing) == len(letter.readers):
                    said = f"{of}: no mail server took it before the end. {entry.put_off}".rstrip()
                    found.append(Deviation(Kind.REFUSED, letter.sender, said, letter.message_id))
                    continue
                found += [
                    Deviation(Kind.MISSING, reader, f"{of} did not arrive.", letter.message_id)
                    for reader in sorted(entry.missing)
                ]
                if not entry.copy_filed:
                    said = f"{of}: its encrypted copy is not in Sent Items."
                    found.append(Deviation(Kind.COPY_MISSING, letter.sender, said, letter.message_id))
            return found

    def _is_under_way(self, entry: _Entry) -> bool:
        if self._abandoned is None or entry.settled:
            return False
        return entry.accepted is None or self._abandoned - entry.accepted < self._slow

    def _time(self, entry: _Entry, step: Step, person: str, moment: float) -> None:
        """Note how long it took, and whether that was too long."""
        taken = moment - (entry.accepted if entry.accepted is not None else moment)
        self._timings.add(step, taken)
        if taken > self._slow:
            letter = entry.letter
            what = "arrived" if step is Step.ARRIVE else "was filed as a copy"
            said = f"Mail {letter.number} of {letter.sender} {what} after {taken:.0f} s."
            self._deviations.append(Deviation(Kind.SLOW, person, said, letter.message_id))

    def _tell_of_copies(self, entry: _Entry) -> None:
        if not entry.copies_told:
            entry.copies_told = True
            letter = entry.letter
            said = f"Two copies of mail {letter.number} came back."
            self._deviations.append(Deviation(Kind.DOUBLED, letter.sender, said, letter.message_id))

    def _settle(self, entry: _Entry) -> None:
        """Count it as done once it is; to be called after each change."""
        if not entry.settled and (entry.refused or (entry.copy_filed and not entry.missing)):
            entry.settled = True
            self._open[entry.letter.sender] -= 1
        if entry.refused or entry.copy_filed:
            self._awaited[entry.letter.sender].discard(entry.letter.number)
