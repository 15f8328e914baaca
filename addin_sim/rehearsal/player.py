"""One user of a rehearsal: an Outlook with its add-in, over a mailbox that stays open.

It does what `send`, `sync` and `watch` do, made of the same parts, over a mailbox that is opened once; what it sees
goes into the ledger that all users share.
"""

import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from addin_sim.ime1 import MARKER
from addin_sim.ime2_pass import Ime2Addin
from addin_sim.mailbox.interface import Folder, Item, MailboxBackend, Uid
from addin_sim.mailbox.opening import require_mailbox
from addin_sim.outbox import Outbox, State
from addin_sim.own_keys import KEY_FILE, own_keys
from addin_sim.refusals import read_report
from addin_sim.rehearsal.judgement import Deviation, Kind, Reader, judge_copy, judge_delivery
from addin_sim.rehearsal.ledger import Ledger
from addin_sim.rehearsal.letters import Letter, mark, number_of
from addin_sim.rehearsal.observed import ObservedMailbox
from addin_sim.rehearsal.opening import Opener, names_of
from addin_sim.rehearsal.people import Player
from addin_sim.rehearsal.sender import Sender
from addin_sim.rehearsal.timings import Step, Timings
from addin_sim.sent_items import COPY_HEADER, FILED, is_encrypted, sync

_REPORTS_SECONDS = 5.0
"""How often the Inbox is searched for reports of refusals (IME 1.0) while copies are awaited."""


class PlayedOutlook:
    """One user; not for use by two threads. Methods raise `MailboxError`, `ProfileError`, `SettingsError`."""

    def __init__(self, player: Player, run: str, ledger: Ledger, timings: Timings, *, keep: bool) -> None:
        self.address = player.address
        self._outlook = player.outlook
        self._run = run
        self._ledger = ledger
        self._timings = timings
        self._keep = keep
        self._keys = own_keys(player.outlook.profile, player.outlook.account, time.time())
        self._outbox = Outbox(player.outlook.profile)
        self._sender = Sender(player.outlook, self._keys, self._outbox, ledger, timings, lambda: self.mailbox)
        self._reader = Reader(self.address, player.has_key, Opener(self._keys, player.outlook.profile / KEY_FILE).open)
        self._mailbox: MailboxBackend | None = None
        self._seen: set[Uid] = set()
        """Mails of the Inbox that stay there and were judged."""
        self._judged: set[Uid] = set()
        """Copies in Sent Items that were judged."""
        self._came: defaultdict[int, set[Uid]] = defaultdict(set)
        """Of each own mail: the copies of it that lay in the Inbox; a unique id never comes again."""
        self._reports_at = 0.0

    @property
    def envelope_names(self) -> tuple[bytes, ...]:
        """How envelopes name this user."""
        return names_of(self._keys.certificate)

    @property
    def mailbox(self) -> MailboxBackend:
        """Opened when it is needed first."""
        if self._mailbox is None:
            self._mailbox = ObservedMailbox(require_mailbox(self._outlook), self._notice_copy)
        return self._mailbox

    def find(self) -> None:
        """Look for the IME certificate, as the add-in does when Outlook starts."""
        self._sender.find()

    def close(self) -> None:
        """Leave the mailbox; it is opened again when needed."""
        if self._mailbox is not None:
            self._mailbox.close()
            self._mailbox = None

    def send(self, letter: Letter) -> None:
        """Write it and hand it in; what is refused for good is noted."""
        self._sender.send(letter)

    # -- looking -------------------------------------------------------------------------------------------------

    def look(self, names: Mapping[str, tuple[bytes, ...]]) -> None:
        """Judge what came, then let the add-in do its pass while copies are awaited."""
        self._read_inbox(names)
        if self._ledger.awaited(self.address):
            self._pass()
            self._read_sent_items()
            if time.monotonic() >= self._reports_at:
                self._reports_at = time.monotonic() + _REPORTS_SECONDS
                self._read_reports()

    def wait(self, seconds: float, stop: Callable[[], bool]) -> None:
        """Until the Inbox has news, at most so long."""
        self.mailbox.wait(seconds, stop)

    def audit(self) -> None:
        """At the end: which clear originals are left in Sent Items, and what lies unfiled in the Inbox?"""
        left = {item.uid: item for item in self.mailbox.with_keyword(Folder.SENT, MARKER)}
        left |= {item.uid: item for item in self._mine(Folder.SENT) if not is_encrypted(item.header)}
        for item in left.values():
            letter = self._letter_of(item)
            if letter is not None and not (self._ledger.was_refused(letter) or self._ledger.is_under_way(letter)):
                said = f"The clear original of mail {letter.number} is still in Sent Items."
                self._ledger.note(Deviation(Kind.ORIGINAL_LEFT, self.address, said, letter.message_id))
        waiting = {letter.number for letter in self._ledger.awaited(self.address)}
        for item in self.mailbox.with_header(Folder.INBOX, COPY_HEADER, "yes"):
            letter = self._letter_of(item)
            stored = self.mailbox.read(Folder.INBOX, item.uid) if letter and letter.number in waiting else None
            if letter is not None and stored is not None:
                for deviation in judge_copy(letter, stored.data, self._reader):
                    self._ledger.note(deviation)

    def _notice_copy(self, item: Item) -> None:
        """A sent copy lies in the Inbox; the pass files it, and drops what came twice."""
        letter = self._letter_of(item)
        if letter is None:
            return
        if letter.sender == self.address:
            self._came[letter.number].add(item.uid)
            if len(self._came[letter.number]) > 1:
                self._ledger.two_copies(letter)
        elif item.uid not in self._seen and self.address not in letter.readers:
            self._seen.add(item.uid)
            said = f"The sender's own copy of mail {letter.number} of {letter.sender} came here."
            self._ledger.note(Deviation(Kind.WRONG_RECIPIENT, self.address, said, letter.message_id))

    def _read_inbox(self, names: Mapping[str, tuple[bytes, ...]]) -> None:
        done: list[Uid] = []
        for item in self._mine(Folder.INBOX):
            letter = self._letter_of(item)
            own_copy = item.header.value(COPY_HEADER) and letter is not None and letter.sender == self.address
            if letter is None or own_copy or item.uid in self._seen:
                continue
            arrived = time.monotonic()
            stored = self.mailbox.read(Folder.INBOX, item.uid)
            if stored is None:
                continue
            with self._timings.timed(Step.OPEN):
                found = judge_delivery(letter, stored.data, self._reader, names)
            right = self._ledger.arrived(letter, self.address, arrived, found)
            self._seen.add(item.uid)
            if right and not self._keep:
                done.append(item.uid)
        self.mailbox.delete(Folder.INBOX, done)

    def _mine(self, folder: Folder) -> Sequence[Item]:
        """Mails of this run; a renamed copy names its mail in References, but those are the add-in's work."""
        return self.mailbox.with_header(folder, "Message-ID", mark(self._run))

    def _pass(self) -> None:
        if self._outlook.registry.ime_version == 1:
            report = sync(self.mailbox, self.address)
        else:
            report = Ime2Addin(
                self._outlook, self._keys, self._outbox, self._sender.hand_in, time.time, lambda: uuid.uuid4().hex
            ).one_pass(self.mailbox, self.address)
        known = self._refused_by_report() if report.refused else 0
        for problem in report.problems[known:]:
            self._ledger.note(Deviation(Kind.TROUBLE, self.address, problem))

    def _refused_by_report(self) -> int:
        """IME 2.0: the pass has read reports and marked the mails; how many of them are ours."""
        count = 0
        for kept in self._outbox.items():
            number = number_of(kept.header, self._run)
            letter = self._ledger.letter(number) if number is not None else None
            if kept.state is State.REFUSED and letter is not None:
                self._ledger.refused(letter, kept.reply)
                self._outbox.drop(kept)
                count += 1
        return count

    def _read_sent_items(self) -> None:
        """Judge the copies that were filed; one goes when neither original nor outbox needs it any more."""
        filed = [item for item in self.mailbox.with_keyword(Folder.SENT, FILED) if self._letter_of(item) is not None]
        fresh = [item for item in filed if item.uid not in self._judged]
        if not fresh:
            return
        moment = time.monotonic()
        needed = {kept.message_id for kept in self._outbox.items()}
        needed |= {item.header.value("Message-ID") for item in self.mailbox.with_keyword(Folder.SENT, MARKER)}
        done: list[Uid] = []
        for item in fresh:
            letter = self._letter_of(item)
            stored = self.mailbox.read(Folder.SENT, item.uid)
            if letter is None or stored is None or letter.message_id in needed:
                continue
            with self._timings.timed(Step.OPEN):
                found = judge_copy(letter, stored.data, self._reader)
            self._ledger.filed(letter, moment, found)
            self._judged.add(item.uid)
            if not (found or self._keep):
                done.append(item.uid)
        self.mailbox.delete(Folder.SENT, done)

    def _read_reports(self) -> None:
        """IME 1.0: a report names the mail by its own Message-ID."""
        awaited = {letter.message_id: letter for letter in self._ledger.awaited(self.address) if letter.ime == 1}
        if not awaited:
            return
        for item in self.mailbox.with_header(Folder.INBOX, "Content-Type", "delivery-status"):
            stored = self.mailbox.read(Folder.INBOX, item.uid) if item.uid not in self._seen else None
            told = read_report(stored.data, awaited) if stored is not None else None
            if told is not None:
                self._ledger.refused(awaited[told.carrier_id], told.reply)
                self._seen.add(item.uid)

    def _letter_of(self, item: Item) -> Letter | None:
        number = number_of(item.header, self._run)
        return self._ledger.letter(number) if number is not None else None
