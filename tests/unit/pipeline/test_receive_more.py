"""More of what is promised at DATA: loops, reports of old systems, what a DSN may show, what is left on disk."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ime_gateway.base.errors import StoreUnavailable
from ime_gateway.base.outcome import Accepted, Refused
from ime_gateway.base.reasons import Reason
from ime_gateway.ports.revocation import StoredAnswer
from ime_gateway.settings.site import PartnerDomain, Policy
from tests.core import PSEUDO, Core, close, make_core, person
from tests.openssl import decrypt, readers
from tests.pki import NOW, make_ca, make_user
from tests.revocation import make_crl, points


@pytest.fixture
def core(tmp_path: Path) -> Iterator[Core]:
    made = make_core(tmp_path)
    yield made
    close(made)


def ime(*lines: str, text: str = "hi") -> bytes:
    extra = "".join(f"{line}\n" for line in lines)
    return f"From: anna@acme.example\nTo: {PSEUDO}\nMessage-ID: <1@acme.example>\n{extra}\n{text}\n".encode()


def spooled(folder: Path) -> list[Path]:
    return [path for path in (folder / "spool").rglob("*") if path.is_file()]


@pytest.mark.parametrize(("own", "taken"), [(3, True), (4, False)])
def test_own_received_lines_are_taken_to_three(core: Core, own: int, taken: bool) -> None:
    line = "Received: from x by gw.acme.example with ESMTP id 1; Sun, 22 Nov 2026 10:00:00 +0000\n"
    data = f"{line * own}From: anna@acme.example\nTo: x@elsewhere.example\n\nhi\n".encode()
    outcome, _ = core.send(data, "anna@acme.example", ["x@elsewhere.example"])
    assert isinstance(outcome, Accepted) if taken else outcome.reason is Reason.LOOP


@pytest.mark.parametrize(
    ("listener", "sender", "author", "taken"),
    [
        ("internal", "", "From: MAILER-DAEMON (old system)\n", True),
        ("internal", "", "", True),
        ("internal", "", "From: a@acme.example\nFrom: b@acme.example\n", False),
        ("internal", "anna@acme.example", "From: MAILER-DAEMON (old system)\n", False),
        ("internet", "", "From: MAILER-DAEMON (old system)\n", False),
    ],
)
def test_only_reports_from_inside_may_lack_a_readable_author(
    core: Core, listener: str, sender: str, author: str, taken: bool
) -> None:
    data = f"{author}To: bob@acme.example\nSubject: report\n\nhi\n".encode()
    outcome, copies = core.send(data, sender, ["bob@acme.example"], listener)
    if taken:
        assert isinstance(outcome, Accepted) and len(copies) == 1
    else:
        assert isinstance(outcome, Refused) and outcome.reason is Reason.FROM_AMBIGUOUS


def test_a_certificate_that_ends_between_two_messages_is_not_used_again(core: Core) -> None:
    data = ime("X-SM-ORIGTO: bob@acme.example")
    assert isinstance(core.send(data, "anna@acme.example", [PSEUDO])[0], Accepted)
    later = core.submission(data, "anna@acme.example", [PSEUDO])
    after = person("bob@acme.example").certificate.not_after + 1
    object.__setattr__(later, "received_at", after)
    outcome = core.run(core.receiver.receive(later))
    assert isinstance(outcome, Refused) and outcome.reason is Reason.CERTIFICATE_EXPIRED


def test_a_body_whose_envelope_cannot_be_made_is_not_left_behind(
    core: Core, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("x")

    monkeypatch.setattr("ime_gateway.pipeline.protect.frame", broken)
    submission = core.submission(
        ime("X-SM-ORIGTO: bob@acme.example", text="x" * 900_000), "anna@acme.example", [PSEUDO]
    )
    with pytest.raises(RuntimeError):
        core.run(core.receiver.receive(submission))
    assert spooled(tmp_path) == []


def test_a_refusal_for_size_leaves_no_body_behind(core: Core, tmp_path: Path) -> None:
    core.relay.sizes["smtp://127.0.0.1:26"] = 100_000
    data = ime("X-SM-ORIGTO: bob@acme.example", text="x" * 900_000)
    outcome, _ = core.send(data, "anna@acme.example", [PSEUDO])
    assert isinstance(outcome, Refused) and outcome.reason is Reason.TOO_LARGE
    assert spooled(tmp_path) == []


def test_two_people_with_one_certificate_are_one_reader(core: Core) -> None:
    shared = person("bob@acme.example").certificate
    core.configure(lambda live: live.put_certificate(shared, ("desk@acme.example",), None))
    outcome, copies = core.send(ime("X-SM-ORIGTO: bob@acme.example, desk@acme.example"), "anna@acme.example", [PSEUDO])
    assert isinstance(outcome, Accepted)
    assert readers(copies[0].wire).count("d.ktri:") == 1


def test_a_status_header_for_us_alone_does_not_go_to_strangers(core: Core) -> None:
    core.configure(lambda live: live.put_partner_domain(PartnerDomain(name="friend.example", encryption="never"), ()))
    data = b"From: anna@acme.example\nTo: bob@acme.example, x@elsewhere.example\n\nhi\n"
    _, copies = core.send(data, "anna@acme.example", ["bob@acme.example", "x@elsewhere.example"])
    assert copies and all("x-sm-" not in copy.head.lower() for copy in copies if copy.recipient.startswith("x@"))


def test_when_nobody_has_room_the_rows_are_leased_to_nobody(core: Core) -> None:
    core.receiver.handover.has_room = False  # type: ignore[misc]
    outcome, copies = core.send(ime("X-SM-ORIGTO: bob@acme.example"), "anna@acme.example", [PSEUDO])
    assert isinstance(outcome, Accepted) and copies == []
    rows = core.run(core.store.queue.lease("another", 10))
    assert sorted(row.row.recipient for row in rows) == ["anna@acme.example", "bob@acme.example"]


def test_the_header_block_for_a_report_names_no_bcc(core: Core) -> None:
    data = b"From: a@far.example\nTo: bob@acme.example\nBcc: carol@acme.example\nSubject: s\n\nhi\n"
    outcome, _ = core.send(data, "a@far.example", ["bob@acme.example"], "internet")
    headers = core.run(core.store.queue.return_headers(outcome.message_id))
    assert b"Subject: s" in headers and b"carol" not in headers


def test_dsn_parameters_of_mail_are_kept_for_the_queue(core: Core) -> None:
    data = b"From: anna@acme.example\nTo: x@elsewhere.example\n\nhi\n"
    submission = core.submission(data, "anna@acme.example", ["x@elsewhere.example"], ret="HDRS", envid="QQ314159")
    core.run(core.receiver.receive(submission))
    (leased,) = core.leased
    assert (leased.ret, leased.envid) == ("HDRS", "QQ314159")


@pytest.mark.parametrize(("local", "needed"), [("jörg", True), ("joerg", False)])
def test_restored_addresses_demand_smtputf8_by_themselves(core: Core, local: str, needed: bool) -> None:
    certificate = person("bob@acme.example").certificate
    core.configure(lambda live: live.put_certificate(certificate, (f"{local}@acme.example",), None))
    submission = core.submission(ime(f"X-SM-ORIGTO: {local}@acme.example"), "anna@acme.example", [PSEUDO])
    outcome = core.run(core.receiver.receive(submission))
    assert isinstance(outcome, Accepted)
    assert all(leased.smtputf8 is needed for leased in core.leased)


def test_a_bcc_header_beside_the_orig_headers_never_leaves(core: Core) -> None:
    data = ime("Bcc: dora@acme.example", "X-SM-ORIGTO: bob@acme.example")
    _, copies = core.send(data, "anna@acme.example", [PSEUDO])
    assert copies and all("dora" not in copy.head for copy in copies)


def test_a_lookup_that_takes_too_long_is_temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    core = make_core(tmp_path, decide_seconds=1)

    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(core.store.directory, "certificates", never)

    async def bounded() -> Any:
        async with asyncio.timeout(30):
            submission = core.submission(ime("X-SM-ORIGTO: bob@acme.example"), "anna@acme.example", [PSEUDO])
            return await core.receiver.receive(submission)

    outcome = asyncio.run(bounded())
    assert isinstance(outcome, Refused) and outcome.reason is Reason.LOOKUP_TIMEOUT and outcome.temporary
    close(core)


def test_a_held_message_is_told_to_tracking_and_an_unwritable_one_stays_temporary(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    submission = core.submission(ime("X-SM-ORIGTO: bob@acme.example"), "anna@acme.example", [PSEUDO])
    for _ in range(3):
        answer = core.run(core.receiver.failed(submission, "RuntimeError: x"))
    assert [event.event for event in core.store.registry.events(id=answer.message_id)] == ["held"]

    async def broken(*_: object) -> None:
        raise StoreUnavailable("the database is locked")

    monkeypatch.setattr(core.store.queue, "hold_evidence", broken)
    assert core.run(core.receiver.failed(submission, "RuntimeError: x")).temporary


@pytest.mark.parametrize("listed", ["To: a@partner.example", "To: a@partner.example\nCc: nobody@elsewhere.example"])
def test_a_recipient_who_is_named_nowhere_has_an_envelope_alone(core: Core, listed: str) -> None:
    data = f"From: anna@acme.example\n{listed}\nX-SMENC: yes\n\nhi\n".encode()
    people = ["a@partner.example", "bob@acme.example", "carol@acme.example"]
    outcome, copies = core.send(data, "anna@acme.example", people)
    assert isinstance(outcome, Accepted)
    assert len({copy.envelope for copy in copies}) == 3
    assert [readers(copy.wire).count("d.ktri:") for copy in copies] == [1, 1, 1]


def test_somebody_addressed_beside_the_ime_address_is_blind_to_the_others(core: Core) -> None:
    outcome, copies = core.send(
        ime("X-SM-ORIGTO: bob@acme.example"), "anna@acme.example", [PSEUDO, "dora@acme.example"]
    )
    assert isinstance(outcome, Accepted)
    assert len({copy.envelope for copy in copies}) == 3
    assert [readers(copy.wire).count("d.ktri:") for copy in copies] == [1, 1, 1]


def test_markers_that_cannot_be_removed_refuse_the_mail(core: Core) -> None:
    nested = "".join(f"Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n" for n in range(60))
    data = f"From: a@far.example\nTo: bob@acme.example\nMIME-Version: 1.0\n{nested}X-SM-decrypted: yes\n\nhi\n".encode()
    outcome, copies = core.send(data, "a@far.example", ["bob@acme.example"], "internet")
    assert isinstance(outcome, Refused) and outcome.reason is Reason.MALFORMED and copies == []


def _report_policy(core: Core) -> None:
    core.configure(lambda live: live.put_policy(Policy(on_unprotectable="report")))


@pytest.mark.parametrize(("notify", "reports"), [("", 1), ("FAILURE", 1), ("SUCCESS", 0), ("NEVER", 0)])
def test_notify_decides_whether_who_is_left_out_is_reported(core: Core, notify: str, reports: int) -> None:
    _report_policy(core)
    data = ime("X-SM-ORIGTO: bob@acme.example, nobody@acme.example")
    submission = core.submission(data, "anna@acme.example", [PSEUDO], notify=notify)
    assert isinstance(core.run(core.receiver.receive(submission)), Accepted)
    rows = core.run(core.store.queue.lease("another", 10)) + core.leased
    assert len([leased for leased in rows if not leased.sender]) == reports


def test_a_report_that_cannot_be_enqueued_leaves_no_body_behind(
    core: Core, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _report_policy(core)
    discarded: list[str] = []
    original = type(core.store.spool).discard
    monkeypatch.setattr(
        type(core.store.spool), "discard", lambda self, body: (discarded.append(body.id), original(self, body))[1]
    )

    async def broken(*_: object) -> None:
        raise StoreUnavailable("the disk is full")

    monkeypatch.setattr(core.store.queue, "enqueue", broken)
    outcome, _ = core.send(ime("X-SM-ORIGTO: bob@acme.example, nobody@acme.example"), "anna@acme.example", [PSEUDO])
    assert isinstance(outcome, Refused) and len(discarded) == 2


def test_other_peoples_authentication_results_of_the_clear_mail_are_dropped(core: Core) -> None:
    line = "ARC-Authentication-Results: i=1; mx.other.example; dkim=pass"
    _, copies = core.send(ime(line, "X-SM-ORIGTO: bob@acme.example"), "anna@acme.example", [PSEUDO])
    assert copies and all("arc-authentication-results" not in copy.head.lower() for copy in copies)


def test_the_id_of_a_sent_copy_cannot_be_foretold_without_the_key(tmp_path: Path) -> None:
    found = set()
    for number in range(2):
        (tmp_path / str(number)).mkdir()
        core = make_core(tmp_path / str(number))
        data = ime("X-SM-ORIGTO: anna@acme.example")
        _, copies = core.send(data, "anna@acme.example", [PSEUDO])
        found |= {
            line
            for copy in copies
            for line in copy.unfolded.splitlines()
            if copy.copy == "sent" and line.lower().startswith("message-id")
        }
        close(core)
    assert len(found) == 2


def test_what_the_next_hop_just_takes_is_taken(core: Core) -> None:
    data = b"From: anna@acme.example\nTo: x@elsewhere.example\n\nhi\n"
    core.relay.sizes["mx"] = 10**9
    _, copies = core.send(data, "anna@acme.example", ["x@elsewhere.example"])
    core.relay.sizes["mx"] = len(copies[0].wire)
    assert isinstance(core.send(data, "anna@acme.example", ["x@elsewhere.example"])[0], Accepted)
    core.relay.sizes["mx"] -= 1
    assert isinstance(core.send(data, "anna@acme.example", ["x@elsewhere.example"])[0], Refused)


def test_wishes_of_a_recipient_are_not_those_of_the_sent_copy(core: Core) -> None:
    """The sender writes to himself without a key: his sent copy is NOTIFY=NEVER, his report is still owed."""
    core.configure(lambda live: live.put_policy(Policy(on_unprotectable="report", sent_copy_without_key="omit")))
    data = f"From: zoe@acme.example\nTo: {PSEUDO}\nX-SM-ORIGTO: bob@acme.example, zoe@acme.example\n\nhi\n".encode()
    submission = core.submission(data, "zoe@acme.example", [PSEUDO])
    assert isinstance(core.run(core.receiver.receive(submission)), Accepted)
    rows = core.run(core.store.queue.lease("another", 10)) + core.leased
    assert [leased.row.recipient for leased in rows if not leased.sender] == ["zoe@acme.example"]


@pytest.mark.parametrize("name", ["Disposition-Notification-To", "Return-Receipt-To", "X-Confirm-Reading-To"])
def test_a_sent_copy_asks_for_no_receipt_in_any_dialect(core: Core, name: str) -> None:
    _, copies = core.send(
        ime(f"{name}: anna@acme.example", "X-SM-ORIGTO: bob@acme.example"), "anna@acme.example", [PSEUDO]
    )
    assert {copy.copy: name.lower() in copy.head.lower() for copy in copies} == {"recipient": True, "sent": False}


def test_tracking_names_for_each_recipient_the_own_reason(core: Core) -> None:
    outcome, _ = core.send(ime("X-SM-ORIGTO: nobody@acme.example, frank@acme.example"), "anna@acme.example", [PSEUDO])
    events = core.store.registry.events(id=outcome.message_id)
    assert {event.recipient: event.reason for event in events if event.copy == "recipient"} == {
        "nobody@acme.example": "no-certificate",
        "frank@acme.example": "certificate-expired",
    }


@pytest.mark.parametrize("revoked", [False, True])
def test_what_an_archive_is_owed_is_not_encrypted_to_a_revoked_key(core: Core, revoked: bool) -> None:
    """Additional certificates are asked about like those of recipients."""
    issuer, url, now = make_ca("Archive CA"), "http://crl.acme.example/archive.crl", NOW.timestamp()
    archive = make_user("archive@acme.example", issuer, extra=[points(url)])

    def act(live: Any) -> None:
        live.put_root(issuer.certificate)
        live.put_additional_certificates([archive.certificate])

    core.configure(act)
    crl = make_crl(issuer, [archive] if revoked else [])
    core.run(core.store.revocations.keep(StoredAnswer("crl", url, crl, now, now + 86_400.0, now)))
    data = b"From: anna@acme.example\nTo: eve@partner.example\n\nhi\n"
    outcome, copies = core.send(data, "anna@acme.example", ["eve@partner.example"])
    if revoked:
        assert isinstance(outcome, Refused) and outcome.reason is Reason.CERTIFICATE_REVOKED and not copies
        assert "additional certificate" in outcome.detail
    else:
        assert isinstance(outcome, Accepted) and b"hi" in (decrypt(copies[0].wire, archive) or b"")
