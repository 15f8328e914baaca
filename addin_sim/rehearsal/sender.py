"""The half of a played Outlook that writes and hands in, in both versions, and keeps what must not be lost.

The steps are those of `addin_sim.sending`; only what that does once per start (opening the mailbox, finding the
certificate, reading the pair) is done once here.
"""

import hashlib
import time
import uuid
from collections.abc import Callable

from cryptography import x509

from addin_sim.compose import compose
from addin_sim.handing_in import hand_in
from addin_sim.ime1 import MARKER, for_ime1
from addin_sim.ime2 import for_ime2
from addin_sim.ime_certificate import ime_certificate
from addin_sim.mailbox.interface import SEEN, MailboxBackend
from addin_sim.outbox import Outbox, State
from addin_sim.outlook_settings import IME1_RECIPIENT, OutlookSettings
from addin_sim.own_keys import OwnKeys, ProfileError
from addin_sim.raw_mail import RawMail
from addin_sim.rehearsal.ledger import Ledger
from addin_sim.rehearsal.letters import Letter, written
from addin_sim.rehearsal.timings import Step, Timings
from addin_sim.submission import Accepted, Refused


class Sender:
    """Sends the letters of one user."""

    def __init__(
        self,
        outlook: OutlookSettings,
        keys: OwnKeys,
        outbox: Outbox,
        ledger: Ledger,
        timings: Timings,
        mailbox: Callable[[], MailboxBackend],
    ) -> None:
        """`mailbox` gives the open one when an original is to be saved."""
        self._outlook = outlook
        self._keys = keys
        self._outbox = outbox
        self._ledger = ledger
        self._timings = timings
        self._mailbox = mailbox
        self._certificate: x509.Certificate | None = None
        self._put_off: dict[bytes, Letter] = {}
        """Of IME 2.0 what no server took at once, by the digest of its carrier: the add-in's pass hands it in again."""

    def find(self) -> None:
        """Look for the IME certificate, as the add-in does when Outlook starts."""
        with self._timings.timed(Step.FIND):
            self._certificate = ime_certificate(self._outlook, time.time())

    def send(self, letter: Letter) -> None:
        """Write it and hand it in; what is refused for good is noted."""
        self._ledger.enter(letter)
        mail = compose(written(letter), self._outlook.account, moment=time.time(), unique=uuid.uuid4().hex)
        answer = self._send_ime1(letter, mail) if letter.ime == 1 else self._send_ime2(letter, mail)
        if isinstance(answer, Refused) and (answer.for_good or letter.ime == 1):
            self._ledger.refused(letter, answer.sentence)

    def hand_in(self, recipient: str, data: bytes) -> Accepted | Refused:
        """To the server that takes this Outlook's mail."""
        answer = hand_in(self._outlook, [recipient], data)
        letter = self._put_off.get(_digest(data))
        if letter is not None and isinstance(answer, Accepted):
            del self._put_off[_digest(data)]
            self._ledger.accepted(letter, time.monotonic())
        elif letter is not None and isinstance(answer, Refused):
            self._ledger.put_off(letter, answer.sentence)
        return answer

    def _send_ime1(self, letter: Letter, mail: RawMail) -> Accepted | Refused:
        with self._timings.timed(Step.WRITE):
            outgoing = for_ime1(mail, IME1_RECIPIENT)
        answer = self._submit(letter, outgoing.recipient, outgoing.data)
        if isinstance(answer, Accepted):
            self._mailbox().append_to_sent(outgoing.data, (SEEN, MARKER))
        return answer

    def _send_ime2(self, letter: Letter, mail: RawMail) -> Accepted | Refused:
        assert self._certificate is not None, "find comes first"
        recipient = self._outlook.registry.InternalRecipient
        with self._timings.timed(Step.WRITE):
            unique = uuid.uuid4().hex
            carrier = for_ime2(mail, recipient, self._certificate, self._keys, self._outlook.container, unique)
            try:
                kept = self._outbox.keep(mail, carrier, time.time())
            except ProfileError as error:
                return Refused("", str(error), for_good=True)
        answer = self._submit(letter, recipient, carrier.data)
        if isinstance(answer, Accepted):
            self._outbox.mark(kept, State.SENT, answer.reply)
        elif answer.for_good:
            self._outbox.drop(kept)
        else:
            self._put_off[_digest(carrier.data)] = letter
            self._ledger.put_off(letter, answer.sentence)
        return answer

    def _submit(self, letter: Letter, recipient: str, data: bytes) -> Accepted | Refused:
        began = time.monotonic()
        answer = self.hand_in(recipient, data)
        if isinstance(answer, Accepted):
            now = time.monotonic()
            self._timings.add(Step.SUBMIT, now - began)
            self._ledger.accepted(letter, now)
        return answer


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
