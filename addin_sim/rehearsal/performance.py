"""All users at once, a thread each: they send until the time is up, then wait until everything has been seen.

A user looks at the mailbox when the mail server has news. Looking costs a server more than taking a mail, so under
full load each user rests after a look as long as four such looks take, two seconds at most, and sends meanwhile.
"""

import itertools
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from addin_sim.mailbox.interface import LoginRefusedError, MailboxError
from addin_sim.outlook_settings import SettingsError
from addin_sim.own_keys import ProfileError
from addin_sim.raw_mail import UnusableMailError
from addin_sim.rehearsal.judgement import Deviation, Kind
from addin_sim.rehearsal.ledger import Ledger, Tally
from addin_sim.rehearsal.letters import Version, plan_letter
from addin_sim.rehearsal.people import Player
from addin_sim.rehearsal.player import PlayedOutlook
from addin_sim.rehearsal.timings import Timings

_SHORTEST_REST = 0.2
_REST_PER_LOOK = 4.0
_LONGEST_REST = 2.0
"""Between two looks of a user: seconds, but for the middle one, which is in times of a look."""
_LONGEST_WAIT = 1.0
"""Seconds until a user who waits for news sees that all others have finished."""
_AFTER_TROUBLE = 1.0
"""Seconds until a user whose turn failed tries again."""
_PROGRESS_SECONDS = 5.0
_NOTICE_SECONDS = 0.5
"""How long Ctrl-C and a mistake of ours may go unnoticed."""
_TROUBLES = (MailboxError, ProfileError, SettingsError, UnusableMailError)
"""What ends a turn of one user, not the rehearsal."""


@dataclass(frozen=True, slots=True)
class Script:
    """How it is played; times in seconds."""

    seconds: float
    """How long mails are sent."""
    each: float
    """Between two mails of one user; 0: as fast as the servers take them."""
    at_once: int
    """A user sends no further mail while so many have not been seen everywhere."""
    patience: float
    """How long after the last mail everything may take to arrive."""
    slow: float
    """After how long an arrival or a filed copy is a deviation, from the mail server's acceptance on."""
    linger: float
    """How long everybody goes on looking when everything has been seen, for what comes too much."""
    versions: tuple[Version, ...]
    keep: bool = False
    """Leave every mail where it is."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of it; times in seconds."""

    run: str
    tally: Tally
    sending: float
    """From the first mail to the end of sending: the time that was asked for, or longer when the last one took long."""
    settling: float
    """From then until everything had been seen, or patience ended."""
    processor: float
    """Processor time that the rehearsal itself used, for all users."""
    interrupted: bool
    """Somebody ended it before its time."""
    deviations: list[Deviation]


class Performance:
    """One run. `tell` hears how far it is, about every five seconds."""

    def __init__(
        self, players: Sequence[Player], script: Script, timings: Timings, tell: Callable[[str], None]
    ) -> None:
        self._script = script
        self._tell = tell
        self._run = uuid.uuid4().hex[:8]
        self._ledger = Ledger(timings, script.slow)
        self._outlooks = [
            PlayedOutlook(player, self._run, self._ledger, timings, keep=script.keep) for player in players
        ]
        self._people = [player.address for player in players]
        self._names = {outlook.address: outlook.envelope_names for outlook in self._outlooks}
        self._numbers = itertools.count(1)
        self._interrupted = False
        self._send_no_more = threading.Event()
        self._abandon = threading.Event()
        self._sending = len(players)
        self._lock = threading.Lock()
        self._began = self._ended = 0.0
        self._settled: float | None = None
        """When everything had been seen."""

    def interrupt(self) -> None:
        """The first time: send no more, wait for what is under way. The second time: end now."""
        self._interrupted = True
        if self._send_no_more.is_set():
            self._ledger.abandon(time.monotonic())
            self._abandon.set()
        self._send_no_more.set()

    def play(self) -> Result:
        """All of it. Raises `SettingsError`, `MailboxError`, `ProfileError` when somebody cannot even begin."""
        with ThreadPoolExecutor(len(self._outlooks), "user") as threads:
            try:
                list(threads.map(self._prepare, self._outlooks))
                processor = time.process_time()
                self._began = time.monotonic()
                playing = [threads.submit(self._play_user, place) for place in range(len(self._outlooks))]
                self._watch(playing)
            finally:
                self._abandon.set()
        settled = self._settled or time.monotonic()
        return Result(
            self._run,
            self._ledger.tally(),
            self._ended - self._began,
            settled - self._ended,
            time.process_time() - processor,
            self._interrupted,
            self._ledger.closed(),
        )

    def _prepare(self, outlook: PlayedOutlook) -> None:
        """What happens when Outlook starts; a wrong password or a missing certificate shows before anything is sent."""
        if 2 in self._script.versions:
            outlook.find()
        assert outlook.mailbox is not None

    def _watch(self, playing: "list[Future[None]]") -> None:
        left = set(playing)
        tell_at = self._began + _PROGRESS_SECONDS
        warned = resigned = False
        while left:
            done, left = wait(left, _NOTICE_SECONDS, FIRST_EXCEPTION)
            for future in done:
                future.result()  # an error of ours ends the rehearsal
            if self._interrupted and not warned:
                warned = True
                self._tell("No more mails are sent, those under way are waited for. The next Ctrl-C ends at once.")
            if left and self._abandon.is_set() and not resigned:
                resigned = True
                self._tell(
                    f"A server owes {len(left)} of the users an answer: that is waited for, at most timeout_seconds."
                )
            if left and time.monotonic() >= tell_at:
                tell_at += _PROGRESS_SECONDS
                self._tell(self._progress())

    def _progress(self) -> str:
        tally = self._ledger.tally()
        awaited = "" if self._sending else ", waiting for the rest"
        return (
            f"{time.monotonic() - self._began:.0f} s: {tally.sent} mails sent, {tally.arrived} of {tally.deliveries} "
            f"arrived, {tally.copies_filed} copies filed, {tally.deviations} deviations{awaited}"
        )

    # -- one user ------------------------------------------------------------------------------------------------

    def _play_user(self, place: int) -> None:
        outlook = self._outlooks[place]
        turn = _Turn(self._began + self._script.each * place / len(self._outlooks))
        told = ""
        barred = False
        while self._goes_on(turn):
            if barred:  # each further login would bring the account nearer to its lock
                self._abandon.wait(_AFTER_TROUBLE)
                continue
            try:
                self._take_turn(outlook, turn)
            except _TROUBLES as error:
                if str(error) != told:
                    self._ledger.note(Deviation(Kind.TROUBLE, outlook.address, str(error)))
                told = str(error)
                barred = isinstance(error, LoginRefusedError)
                outlook.close()
                self._abandon.wait(_AFTER_TROUBLE)
        if barred or (told and self._abandon.is_set()):  # nobody waits again for a server that did not answer
            return
        try:
            outlook.look(self._names)
            outlook.audit()
        except _TROUBLES as error:
            self._ledger.note(Deviation(Kind.TROUBLE, outlook.address, str(error)))
        finally:
            outlook.close()

    def _end_sending_in_time(self, turn: "_Turn", now: float) -> None:
        """This user sends no more once the time is up, or somebody ends the sending."""
        end = self._began + self._script.seconds
        if turn.sending and (now >= end or self._send_no_more.is_set()):
            turn.sending = False
            with self._lock:
                self._sending -= 1
                self._ended = max(self._ended, min(now, end))

    def _goes_on(self, turn: "_Turn") -> bool:
        """Is there anything left to send, or to wait for?"""
        now = time.monotonic()
        self._end_sending_in_time(turn, now)
        if self._abandon.is_set():
            return False
        if turn.sending or self._sending:
            return True
        if self._ledger.open_mails() > 0:
            return now < self._ended + self._script.patience
        self._settled = self._settled or now
        return now < self._settled + self._script.linger

    def _take_turn(self, outlook: PlayedOutlook, turn: "_Turn") -> None:
        now = time.monotonic()
        may_send = turn.sending and self._ledger.open_mails(outlook.address) < self._script.at_once
        if may_send and now >= turn.send_at:
            turn.send_at = max(turn.send_at + self._script.each, now)
            number = next(self._numbers)
            outlook.send(plan_letter(self._run, number, outlook.address, self._people, self._script.versions))
            now = time.monotonic()
            with self._lock:
                self._ended = max(self._ended, now)
        if now >= turn.look_at:
            outlook.look(self._names)
            ended = time.monotonic()
            if not self._sending and not self._ledger.open_mails():
                self._settled = self._settled or ended
            turn.look_at = ended + self._rest_after(ended - now)
        self._rest(outlook, turn, may_send=may_send)

    def _rest_after(self, look: float) -> float:
        """For how long a user looks no more; a look on a busy machine may take long."""
        wanted = _REST_PER_LOOK * look if self._sending else 0.0
        return min(max(_SHORTEST_REST, wanted), _LONGEST_REST)

    def _rest(self, outlook: PlayedOutlook, turn: "_Turn", *, may_send: bool) -> None:
        """Until it is time to send, or there may be something to see."""
        now = time.monotonic()
        send_in = turn.send_at - now if may_send else _LONGEST_WAIT
        if send_in <= 0:
            return
        if now < turn.look_at:
            self._abandon.wait(min(send_in, turn.look_at - now))
        else:
            outlook.wait(min(send_in, _LONGEST_WAIT), self._abandon.is_set)


@dataclass(slots=True)
class _Turn:
    """Where one user is; monotonic seconds."""

    send_at: float
    look_at: float = 0.0
    sending: bool = True
