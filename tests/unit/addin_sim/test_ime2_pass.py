"""One pass with IME 2.0: copies, refusals, the gateway's questions, second submissions; and every kill in between."""

import itertools
from pathlib import Path

import pytest

from addin_sim.challenges import CHALLENGE_HEADER
from addin_sim.ime1 import MARKER
from addin_sim.ime2 import Carrier
from addin_sim.ime2_pass import Ime2Addin
from addin_sim.mailbox.interface import SEEN, Folder
from addin_sim.outbox import Kept, Outbox, State
from addin_sim.outlook_settings import Account, OutlookSettings, Registry, Submission
from addin_sim.own_keys import OwnKeys, ProfileError, own_keys
from addin_sim.raw_mail import parse
from addin_sim.sent_items import FILED
from addin_sim.submission import Accepted, Refused
from tests.doubles.memory_mailbox import MemoryMailbox
from tests.full_disk import FullDisk
from tests.unit.addin_sim.test_challenges import DCA, TOKEN, question
from tests.unit.addin_sim.test_refusals import REPLY, postfix_report
from tests.unit.addin_sim.test_sent_items import ALICE, KilledError, encrypted_copy, filed, original

MOMENT = 1_795_000_000.0
ACCOUNT = Account(address=ALICE, display_name="Alice")
DATA = b"Subject: Encrypted message\r\n\r\nMIIB\r\n"
LATER = Refused("451 4.7.1 confirm first", "The mail server refused the mail: 451 4.7.1 confirm first")
NEVER = Refused("554 5.7.1 no", "The mail server refused the mail: 554 5.7.1 no", for_good=True)
TAKEN = Accepted("250 2.0.0 Ok")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> OwnKeys:
    return own_keys(tmp_path_factory.mktemp("profile"), ACCOUNT, MOMENT)


class Outlook:
    """One user with mailbox, outbox and a mail server that answers as told."""

    def __init__(self, folder: Path, keys: OwnKeys) -> None:
        self.mailbox = MemoryMailbox()
        self.outbox = Outbox(folder)
        self.answers: list[Accepted | Refused] = []
        self.submitted: list[tuple[str, bytes]] = []
        settings = OutlookSettings(
            account=ACCOUNT, submission=Submission(host="h"), registry=Registry(InternalRecipient=DCA)
        )
        unique = map(str, itertools.count())
        self.addin = Ime2Addin(
            settings, keys, self.outbox, self.submit, clock=lambda: MOMENT, unique=lambda: next(unique)
        )

    def submit(self, recipient: str, data: bytes) -> Accepted | Refused:
        self.submitted.append((recipient, data))
        return self.answers.pop(0) if self.answers else TAKEN

    def keep(self, state: State = State.SENT, moment: float = MOMENT, carrier_id: str = "<c1@acme.example>") -> Kept:
        kept = self.outbox.keep(parse(original()), Carrier(DCA, carrier_id, DATA), moment)
        return self.outbox.mark(kept, state, "")

    def look(self):  # type: ignore[no-untyped-def]
        return self.addin.one_pass(self.mailbox, ALICE)


@pytest.fixture
def outlook(tmp_path: Path, keys: OwnKeys) -> Outlook:
    return Outlook(tmp_path, keys)


@pytest.mark.parametrize("state", [State.WAITING, State.SENT])
@pytest.mark.parametrize(
    "copy", [encrypted_copy(), encrypted_copy("<new@gw>", references="<m1@acme.example>")], ids=["same id", "new id"]
)
def test_a_mail_leaves_the_outbox_when_its_copy_is_filed(outlook: Outlook, state: State, copy: bytes) -> None:
    outlook.keep(state)
    outlook.answers = [LATER]
    outlook.mailbox.put(Folder.INBOX, copy)
    report = outlook.look()
    assert (report.filed, report.confirmed, report.changed) == (1, ["<m1@acme.example>"], True)
    assert (report.unsent, report.refused) == (0, 0)
    assert outlook.outbox.items() == []
    assert outlook.submitted == [], "what has come back is not submitted again"
    assert [stored.data for stored in outlook.mailbox.contents(Folder.SENT)] == [filed(copy)]
    assert not outlook.look().changed


@pytest.mark.parametrize(
    "copy",
    [
        encrypted_copy("<other@acme.example>"),
        encrypted_copy(sender="mallory@evil.example"),
        encrypted_copy(media_type="text/plain"),
        encrypted_copy("<new@gw>", references="<m1@acme.example>", date="Mon, 23 Nov 2026 10:00:00 +0000"),
    ],
    ids=["another mail", "foreign From", "clear", "a reply"],
)
def test_what_is_not_its_encrypted_copy_removes_nothing(outlook: Outlook, copy: bytes) -> None:
    kept = outlook.keep()
    outlook.mailbox.put(Folder.INBOX, copy)
    report = outlook.look()
    assert (report.confirmed, report.waiting) == ([], 1)
    assert outlook.outbox.items() == [kept]


def test_a_refused_mail_is_never_dropped_by_itself(outlook: Outlook) -> None:
    kept = outlook.keep(State.REFUSED)
    outlook.mailbox.put(Folder.INBOX, encrypted_copy())
    report = outlook.look()
    assert (report.filed, report.confirmed, report.refused) == (1, [], 1)
    assert not outlook.look().changed
    assert outlook.outbox.items() == [kept]


def test_two_texts_with_one_message_id_of_which_the_second_is_refused(outlook: Outlook) -> None:
    """The copy of the first is in Sent Items already; the report and the second pass come together."""
    first = outlook.keep()
    outlook.mailbox.put(Folder.INBOX, encrypted_copy())
    assert outlook.look().returned == [first.id]
    second = outlook.keep(carrier_id="<c2@acme.example>")
    outlook.mailbox.put(Folder.INBOX, postfix_report(message_id="<c2@acme.example>"))
    report = outlook.look()
    assert (report.confirmed, report.refused, len(report.problems)) == ([], 1, 1)
    assert [kept.id for kept in outlook.outbox.items()] == [second.id]
    assert outlook.outbox.carrier(second) == DATA


def test_an_older_copy_is_the_copy_of_another_mail(outlook: Outlook) -> None:
    kept = outlook.keep()
    outlook.mailbox.put(Folder.SENT, filed(encrypted_copy()), FILED, arrived=MOMENT - 400)
    assert (outlook.look().confirmed, outlook.outbox.items()) == ([], [kept])
    assert outlook.look().awaiting_copy == 1


def test_an_older_copy_in_the_inbox_waits(outlook: Outlook) -> None:
    kept = outlook.keep()
    outlook.mailbox.put(Folder.INBOX, encrypted_copy(), arrived=MOMENT - 400)
    report = outlook.look()
    assert (report.filed, report.waiting, report.confirmed) == (0, 1, [])
    assert outlook.outbox.items() == [kept]


def test_a_mail_server_whose_clock_is_a_little_behind(outlook: Outlook) -> None:
    outlook.keep()
    outlook.mailbox.put(Folder.INBOX, encrypted_copy(), arrived=MOMENT - 200)
    assert outlook.look().confirmed == ["<m1@acme.example>"]


def test_a_filed_copy_keeps_the_time_of_its_arrival(outlook: Outlook) -> None:
    outlook.mailbox.put(Folder.SENT, original(), MARKER)
    outlook.mailbox.put(Folder.INBOX, encrypted_copy(), arrived=1000.0)
    outlook.look()
    assert [stored.arrived for stored in outlook.mailbox.contents(Folder.SENT)] == [1000.0]


def test_of_two_that_wait_with_one_message_id_none_is_dropped(outlook: Outlook) -> None:
    kept = [outlook.keep(), outlook.keep(carrier_id="<c2@acme.example>")]
    outlook.mailbox.put(Folder.INBOX, encrypted_copy())
    report = outlook.look()
    assert (report.filed, report.confirmed, report.awaiting_copy) == (1, [], 2)
    assert {item.id for item in outlook.outbox.items()} == {item.id for item in kept}
    outlook.outbox.mark(kept[1], State.REFUSED, "554")
    assert outlook.look().confirmed == ["<m1@acme.example>"]
    assert [item.id for item in outlook.outbox.items()] == [kept[1].id]


def test_a_second_copy_that_is_removed_as_a_duplicate_confirms_nothing(outlook: Outlook) -> None:
    kept = outlook.keep()
    outlook.mailbox.put(Folder.SENT, filed(encrypted_copy()), FILED, arrived=MOMENT - 400)
    outlook.mailbox.put(Folder.SENT, filed(encrypted_copy()), FILED)
    report = outlook.look()
    assert (report.duplicates_removed, report.confirmed) == (1, [])
    assert outlook.outbox.items() == [kept]


def test_the_report_says_what_waits_and_since_when(outlook: Outlook) -> None:
    assert (outlook.look().awaiting_copy, outlook.look().oldest_awaiting) == (0, None)
    outlook.keep(moment=MOMENT + 5)
    outlook.keep(moment=MOMENT)
    outlook.keep(State.REFUSED, moment=MOMENT - 9)
    report = outlook.look()
    assert (report.awaiting_copy, report.oldest_awaiting) == (2, MOMENT)


def test_a_kill_at_any_step_never_loses_the_mail(tmp_path: Path, keys: OwnKeys) -> None:
    for steps in itertools.count():
        outlook = Outlook(tmp_path / str(steps), keys)
        outlook.keep()
        outlook.mailbox.put(Folder.INBOX, encrypted_copy())
        left = iter(range(steps))

        def kill(_: str, left: "itertools.Iterator[int]" = left) -> None:
            if next(left, None) is None:
                raise KilledError

        try:
            outlook.addin.one_pass(outlook.mailbox.connect(kill), ALICE)
        except KilledError:
            there = [stored.data for folder in Folder for stored in outlook.mailbox.contents(folder)]
            assert outlook.outbox.items() or filed(encrypted_copy()) in there
            while outlook.look().changed:
                continue
            assert outlook.outbox.items() == []
            assert [stored.data for stored in outlook.mailbox.contents(Folder.SENT)] == [filed(encrypted_copy())]
        else:
            assert steps > 5
            return


def test_a_report_of_a_refusal_keeps_the_mail_and_says_where(outlook: Outlook) -> None:
    kept = outlook.keep()
    uid = outlook.mailbox.put(Folder.INBOX, postfix_report())
    report = outlook.look()
    (problem,) = report.problems
    assert REPLY.replace(" ", "") in problem.replace(" ", "")
    assert f"outbox show {kept.id}" in problem
    assert report.refused == 1
    assert outlook.outbox.find(kept.id).state is State.REFUSED
    assert list(outlook.mailbox.shared.folders[Folder.INBOX]) == [uid], "the report is for its reader"
    assert outlook.look().problems == [], "said once"


def test_a_delay_or_a_foreign_report_is_no_refusal(outlook: Outlook) -> None:
    kept = outlook.keep()
    outlook.mailbox.put(Folder.INBOX, postfix_report(action="delayed"))
    outlook.mailbox.put(Folder.INBOX, postfix_report(message_id="<other@acme.example>"))
    assert outlook.look().problems == []
    assert outlook.outbox.items() == [kept]


def test_what_no_server_took_is_submitted_again_as_it_was(outlook: Outlook) -> None:
    kept = outlook.keep(State.WAITING)
    outlook.answers = [LATER, TAKEN]
    report = outlook.look()
    assert (report.resubmitted, report.unsent, report.problems, report.changed) == (0, 1, [], False)
    assert outlook.outbox.find(kept.id).reply == LATER.reply
    report = outlook.look()
    assert (report.resubmitted, report.unsent) == (1, 0)
    assert outlook.outbox.find(kept.id).state is State.SENT
    outlook.look()
    assert outlook.submitted == [(DCA, DATA)] * 2


def test_a_refusal_at_the_second_submission_is_said(outlook: Outlook) -> None:
    kept = outlook.keep(State.WAITING)
    outlook.answers = [NEVER]
    (problem,) = outlook.look().problems
    assert "554 5.7.1 no" in problem
    assert outlook.outbox.find(kept.id).state is State.REFUSED
    assert outlook.look().refused == 1
    assert len(outlook.submitted) == 1, "it is never submitted a third time"


def test_the_question_is_answered_before_the_second_submission(outlook: Outlook, keys: OwnKeys) -> None:
    outlook.keep(State.WAITING)
    outlook.mailbox.put(Folder.INBOX, question(keys))
    report = outlook.look()
    assert (report.challenges_answered, report.resubmitted, report.problems) == (1, 1, [])
    (first_to, first), second = outlook.submitted
    assert first_to == DCA and TOKEN.encode() in first
    assert second == (DCA, DATA)
    assert outlook.mailbox.contents(Folder.INBOX) == []


@pytest.mark.parametrize("refused", [False, True])
def test_nothing_waits_nothing_answered(outlook: Outlook, keys: OwnKeys, refused: bool) -> None:
    if refused:
        outlook.keep(State.REFUSED)
    outlook.mailbox.put(Folder.INBOX, question(keys))
    report = outlook.look()
    (remark,) = report.remarks
    assert remark.startswith("A question about your certificate is left over; no mail of yours waits for it.")
    assert (report.challenges_answered, report.problems, outlook.submitted) == (0, [], [])
    (left,) = outlook.mailbox.contents(Folder.INBOX)
    assert SEEN in left.flags
    assert outlook.look().remarks == [], "said once"
    outlook.keep()
    assert outlook.look().challenges_answered == 1, "it was read, but a mail waits for it now"


@pytest.mark.parametrize(
    "changes",
    [
        {"X-IMEGW-Challenge-Certificate": "sha256:" + "0" * 64},
        {"From": "dca@ime.evil.example"},
        {"Reply-To": "mallory@evil.example"},
    ],
)
def test_a_question_about_somebody_elses_doing_is_left_to_the_user(
    outlook: Outlook, keys: OwnKeys, changes: dict[str, str]
) -> None:
    outlook.keep()
    mail = question(keys, **changes)
    outlook.mailbox.put(Folder.INBOX, mail)
    report = outlook.look()
    assert "not sent from here" in report.remarks[0]
    assert (report.problems, outlook.submitted, outlook.look().remarks) == ([], [], [])
    assert [stored.data for stored in outlook.mailbox.contents(Folder.INBOX)] == [mail]


def test_a_question_that_was_read_is_not_told_again(outlook: Outlook, keys: OwnKeys) -> None:
    outlook.mailbox.put(Folder.INBOX, question(keys), SEEN)
    assert (outlook.look().problems, outlook.look().remarks) == ([], [])


def test_a_mail_that_only_looks_like_a_question_is_let_be(outlook: Outlook) -> None:
    outlook.keep()
    outlook.mailbox.put(Folder.INBOX, f"{CHALLENGE_HEADER}: short\r\n\r\n".encode())
    report = outlook.look()
    assert (report.problems, outlook.submitted) == ([], [])


def test_an_answer_that_cannot_go_out_is_tried_again(outlook: Outlook, keys: OwnKeys) -> None:
    outlook.keep()
    outlook.mailbox.put(Folder.INBOX, question(keys))
    outlook.answers = [LATER, NEVER]
    assert "451" in outlook.look().problems[0]
    assert len(outlook.mailbox.contents(Folder.INBOX)) == 1
    assert "554" in outlook.look().problems[0]
    assert outlook.mailbox.contents(Folder.INBOX) == [], "an answer that is refused for good is not given for ever"


def test_while_the_disk_is_full_nothing_is_submitted_again(tmp_path: Path, keys: OwnKeys) -> None:
    outlook = Outlook(tmp_path, keys)
    kept = outlook.keep(State.WAITING)
    with FullDisk() as disk:
        disk.fill()
        for _ in range(2):
            with pytest.raises(ProfileError, match="cannot be written"):
                outlook.addin.one_pass(outlook.mailbox, ALICE)
    assert outlook.submitted == []
    outlook.addin.one_pass(outlook.mailbox, ALICE)
    assert [data for _, data in outlook.submitted] == [DATA]
    assert outlook.outbox.find(kept.id).state is State.SENT
