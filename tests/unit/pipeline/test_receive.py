"""DATA in, reply out: what is promised, what is refused, and what is left on disk either way."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from ime_gateway.base.errors import StoreUnavailable
from ime_gateway.base.outcome import Accepted, Refused
from ime_gateway.base.reasons import Reason
from ime_gateway.ports.directory import TrustEntry
from ime_gateway.settings.site import PartnerDomain, Policy
from tests.core import PSEUDO, Core, close, make_core, person, root
from tests.openssl import decrypt
from tests.pki import make_user

MARKER = "heliotrope-5590"
INTERNET = {"name": "internet", "role": "internet", "port": 0}


@pytest.fixture
def core(tmp_path: Path) -> Iterator[Core]:
    made = make_core(tmp_path)
    yield made
    close(made)


def ime(*orig: str, text: str = MARKER, extra: str = "") -> bytes:
    lines = "".join(f"{line}\n" for line in orig)
    return f"From: anna@acme.example\nTo: {PSEUDO}\nSubject: x\n{extra}{lines}\n{text}\n".encode()


def grep(folder: Path, text: str) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


@pytest.mark.parametrize("size", [10, 300_000, 3_000_000])
def test_clear_text_of_protected_mail_never_touches_the_disk(core: Core, tmp_path: Path, size: int) -> None:
    text = (MARKER + "\n") * (size // len(MARKER) + 1)
    outcome, copies = core.send(ime("X-SM-ORIGTO: bob@acme.example", text=text), "anna@acme.example", [PSEUDO])
    assert isinstance(outcome, Accepted)
    assert grep(tmp_path, MARKER) == []
    clear = decrypt(copies[0].wire, person("bob@acme.example"))
    assert clear is not None and clear.replace(b"\r\n", b"\n").endswith(text.encode() + b"\n")


def test_mail_that_passes_rests_sealed_too(core: Core, tmp_path: Path) -> None:
    data = f"From: anna@acme.example\nTo: x@elsewhere.example\nSubject: {MARKER}\n\n{MARKER}\n".encode()
    outcome, copies = core.send(data, "anna@acme.example", ["x@elsewhere.example"])
    assert isinstance(outcome, Accepted) and MARKER.encode() in copies[0].wire
    assert grep(tmp_path, MARKER) == []


def test_bytes_that_are_not_edited_stay(core: Core) -> None:
    body = b"odd  spacing \t\n\n.dot\n" + "Grüße".encode("latin-1") + b"\xff\xfe\n" + b"x" * 3000 + b"\n"
    head = b"From: anna@acme.example\nTO:x@elsewhere.example\nsubject:   kept \n  as it is\nX-Odd : 1\n"
    _, copies = core.send(head + b"\n" + body, "anna@acme.example", ["x@elsewhere.example"])
    wire = copies[0].wire
    assert wire.endswith((head + b"\n" + body).replace(b"\n", b"\r\n"))


def test_store_that_cannot_write_is_a_temporary_refusal(
    core: Core, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise StoreUnavailable("the disk is full", "ENOSPC")

    monkeypatch.setattr(core.store.queue, "enqueue", broken)
    text = MARKER * 30_000
    outcome, copies = core.send(ime("X-SM-ORIGTO: bob@acme.example", text=text), "anna@acme.example", [PSEUDO])
    assert isinstance(outcome, Refused) and outcome.temporary and outcome.reason is Reason.STORE_UNAVAILABLE
    assert copies == []
    assert [path for path in (tmp_path / "spool").rglob("*") if path.is_file()] == []


def test_a_refusal_that_cannot_be_recorded_is_temporary(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise StoreUnavailable("the database is locked")

    monkeypatch.setattr(core.store.queue, "record", broken)
    outcome, _ = core.send(ime("X-SM-ORIGTO: nobody@acme.example"), "anna@acme.example", [PSEUDO])
    assert isinstance(outcome, Refused) and outcome.temporary


def test_a_denied_certificate_is_dead_with_the_next_message(core: Core) -> None:
    mail = ime("X-SM-ORIGTO: bob@acme.example")
    assert isinstance(core.send(mail, "anna@acme.example", [PSEUDO])[0], Accepted)
    thumbprint = person("bob@acme.example").certificate.thumbprint
    core.configure(lambda live: live.put_trust(TrustEntry(thumbprint, "deny")))
    outcome, _ = core.send(mail, "anna@acme.example", [PSEUDO])
    assert isinstance(outcome, Refused) and outcome.reason is Reason.CERTIFICATE_DENIED
    core.configure(lambda live: live.delete_trust(thumbprint))
    assert isinstance(core.send(mail, "anna@acme.example", [PSEUDO])[0], Accepted)


def test_the_closest_wildcard_partner_decides(core: Core) -> None:
    core.configure(
        lambda live: live.put_partner_domain(PartnerDomain(name="*.far.example", encryption="mandatory"), ())
    )
    core.configure(lambda live: live.put_partner_domain(PartnerDomain(name="*.b.far.example", encryption="never"), ()))

    def decision(domain: str) -> bool:
        data = f"From: anna@acme.example\nTo: x@{domain}\n\nhi\n".encode()
        return isinstance(core.send(data, "anna@acme.example", [f"x@{domain}"])[0], Accepted)

    assert not decision("a.far.example")
    assert not decision("a.c.far.example")
    assert decision("a.b.far.example")
    assert decision("far.example")


def test_next_hop_that_takes_less_is_known_before_the_promise(core: Core) -> None:
    core.relay.sizes["smtp://127.0.0.1:26"] = 100_000
    small, _ = core.send(ime("X-SM-ORIGTO: bob@acme.example", text="x" * 500), "anna@acme.example", [PSEUDO])
    assert isinstance(small, Accepted)
    large, copies = core.send(ime("X-SM-ORIGTO: bob@acme.example", text="x" * 80_000), "anna@acme.example", [PSEUDO])
    assert isinstance(large, Refused) and large.reason is Reason.TOO_LARGE and "100000" in large.detail
    assert copies == []


def test_the_third_failure_of_the_same_message_is_held_without_its_body(core: Core, tmp_path: Path) -> None:
    submission = core.submission(ime("X-SM-ORIGTO: bob@acme.example"), "anna@acme.example", [PSEUDO])
    answers = [core.run(core.receiver.failed(submission, "RuntimeError: x")) for _ in range(3)]
    assert [answer.temporary for answer in answers] == [True, True, False]
    held = core.store.registry.held()
    assert [(entry.sender, tuple(entry.recipients)) for entry in held] == [("anna@acme.example", (PSEUDO,))]
    assert MARKER.encode() not in held[0].headers and b"Subject: x" in held[0].headers
    assert grep(tmp_path, "Subject: x") == [] and grep(tmp_path, MARKER) == []
    other = core.submission(ime("X-SM-ORIGTO: carol@acme.example"), "anna@acme.example", [PSEUDO])
    assert core.run(core.receiver.failed(other, "RuntimeError: x")).temporary


def test_second_pass_of_our_own_mail_is_taken_a_third_is_a_loop(core: Core) -> None:
    data = b"From: anna@acme.example\nTo: x@elsewhere.example\nMessage-ID: <1@acme.example>\n\nhi\n"
    for _ in range(2):
        outcome, copies = core.send(data, "anna@acme.example", ["x@elsewhere.example"])
        assert isinstance(outcome, Accepted)
        data = copies[0].wire
    outcome, _ = core.send(data, "anna@acme.example", ["x@elsewhere.example"])
    assert isinstance(outcome, Refused) and outcome.reason is Reason.LOOP


@pytest.mark.parametrize(
    ("header", "taken"),
    [
        ("X-Secret: open sesame", True),
        ("x-secret:open sesame", True),
        ("X-Secret: open Sesame", False),
        ("X-Other: 1", False),
    ],
)
def test_required_header(tmp_path: Path, header: str, taken: bool) -> None:
    listener = {
        "name": "internal",
        "role": "internal",
        "port": 0,
        "allow": ["127.0.0.0/8"],
        "require_header": "X-Secret: open sesame",
    }
    core = make_core(tmp_path, [listener, INTERNET])
    outcome, copies = core.send(
        ime("X-SM-ORIGTO: bob@acme.example", extra=f"{header}\n"), "anna@acme.example", [PSEUDO]
    )
    assert isinstance(outcome, Accepted) is taken
    if taken:
        assert all("sesame" not in copy.head for copy in copies)
    else:
        assert outcome.reason is Reason.RELAY_DENIED and "sesame" not in outcome.detail
    close(core)


def test_dsn_parameters_are_kept(core: Core) -> None:
    data = b"From: anna@acme.example\nTo: x@elsewhere.example\n\nhi\n"
    _, copies = core.send(
        data, "anna@acme.example", ["x@elsewhere.example"], notify="SUCCESS,DELAY", orcpt="rfc822;x@elsewhere.example",
        ret="HDRS", envid="QQ314159",
    )  # fmt: skip
    assert (copies[0].notify, copies[0].orcpt) == ("SUCCESS,DELAY", "rfc822;x@elsewhere.example")


def test_five_hundred_recipients_each_blind_one_in_an_envelope_alone(core: Core) -> None:
    core.configure(lambda live: live.put_policy(Policy(sent_copy_without_key="omit")))
    names = ["bob", "carol", "dora", "emil"]
    certificates = [person(f"{name}@acme.example").certificate for name in names]

    def many(live: object) -> None:
        for number in range(500):
            live.put_certificate(certificates[number % 4], (f"u{number}@acme.example",), None)  # type: ignore[attr-defined]

    core.configure(many)
    people = ", ".join(f"u{number}@acme.example" for number in range(500))
    outcome, copies = core.send(ime(f"X-SM-ORIGBCC: {people}"), "anna@acme.example", [PSEUDO])
    assert isinstance(outcome, Accepted)
    assert len({copy.envelope for copy in copies}) == 501
    wire = copies[7].wire
    assert decrypt(wire, person(f"{names[7 % 4]}@acme.example")) is not None
    assert not any(f"u{number}@".encode() in wire for number in range(500))


@pytest.mark.parametrize(("notify", "events"), [("", ["refused", "reported"]), ("NEVER", ["refused"])])
def test_who_is_left_out_is_never_passed_over_in_silence(core: Core, notify: str, events: list[str]) -> None:
    core.configure(lambda live: live.put_policy(Policy(on_unprotectable="report")))
    mail = ime("X-SM-ORIGTO: bob@acme.example, nobody@acme.example")
    outcome, copies = core.send(mail, "anna@acme.example", [PSEUDO], notify=notify)
    assert isinstance(outcome, Accepted)
    assert [copy.recipient for copy in copies] == ["bob@acme.example", "anna@acme.example"]
    told = core.store.registry.events(recipient="nobody@acme.example")
    assert [(event.event, event.reason) for event in told] == [(name, "no-certificate") for name in events]
    reports = [line for line in core.store.registry.queue_lines() if line.sender == ""]
    assert [line.recipient for line in reports] == (["anna@acme.example"] if not notify else [])


def test_an_omitted_sent_copy_stands_in_tracking(core: Core) -> None:
    core.configure(lambda live: live.put_policy(Policy(sent_copy_without_key="omit")))
    data = ime("X-SM-ORIGTO: bob@acme.example").replace(b"anna@", b"nina@")
    outcome, _ = core.send(data, "nina@acme.example", [PSEUDO])
    assert isinstance(outcome, Accepted)
    told = core.store.registry.events(recipient="nina@acme.example")
    assert [(event.event, event.copy, event.reason) for event in told] == [("refused", "sent", "no-sender-certificate")]


@pytest.mark.parametrize(("listener", "traces"), [("internal", 1), ("internet", 0)])
def test_insiders_who_are_turned_away_are_tracked_outsiders_cannot_fill_our_disk(
    core: Core, listener: str, traces: int
) -> None:
    submission = core.submission(b"From: a@b.example\n\n", "mallory@evil.example", ["x@else.example"], listener)
    refused = Refused(Reason.RELAY_DENIED, "not here", address="x@else.example")
    core.run(
        core.receiver.turned_away(submission.session, submission.sender, submission.recipients[0].address, refused)
    )
    assert len(core.store.registry.events(recipient="x@else.example")) == traces


def test_a_certificate_that_lists_gcm_gets_gcm(core: Core) -> None:
    capability = x509.UnrecognizedExtension(
        x509.ObjectIdentifier("1.2.840.113549.1.9.15"), bytes.fromhex("300d300b060960864801650304012e")
    )
    modern = make_user("modern@acme.example", root(), extra=[(capability, False)])
    core.configure(lambda live: live.put_certificate(modern.certificate, ("modern@acme.example",), None))
    _, copies = core.send(ime("X-SM-ORIGTO: modern@acme.example"), "anna@acme.example", [PSEUDO])
    assert "smime-type=authEnveloped-data" in copies[0].unfolded
    assert "smime-type=enveloped-data" in copies[1].unfolded
    clear = decrypt(copies[0].wire, modern)
    assert clear is not None and MARKER.encode() in clear
    _, copies = core.send(ime("X-SM-ORIGTO: modern@acme.example, bob@acme.example"), "anna@acme.example", [PSEUDO])
    assert "smime-type=enveloped-data" in copies[0].unfolded, "one reader who says nothing decides for the envelope"
