"""What was opened here stays protected: answers, forwards and reports about it leave encrypted, cut, or not at all."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from ime_gateway.app.assemble import protected_ids_key
from ime_gateway.app.explainer import Explainer
from ime_gateway.base.errors import StoreUnavailable
from ime_gateway.base.outcome import Accepted, Refused
from ime_gateway.base.reasons import Reason
from ime_gateway.pipeline.protected_ids import keyed_hash
from ime_gateway.ports.incoming import IncomingRecord
from ime_gateway.ports.queue import Parcel
from ime_gateway.settings.site import PartnerDomain, Policy
from ime_gateway.smtp.replies import reply_for
from tests.core import PSEUDO, Core, Delivered, allow, close, make_core, person
from tests.openssl import decrypt

CANARY = "heliotrope-7731"
SECRET = "secret.7@partner.example"
FRIEND = "max@friend.example"


@pytest.fixture
def core(tmp_path: Path) -> Iterator[Core]:
    made = make_core(tmp_path)
    protect(made, SECRET)
    yield made
    close(made)


def protect(core: Core, message_id: str) -> None:
    """As if a mail with this Message-ID had been opened here."""
    digest = keyed_hash(protected_ids_key(core.installation.master_key), message_id)
    parcel = Parcel("opened", "", "", "internet", 0.0, (), (), ())
    core.run(core.store.queue.enqueue(parcel, (), None, incoming=IncomingRecord(protected_ids=(digest,))))


def with_certificate(core: Core, address: str = FRIEND) -> None:
    core.configure(lambda live: live.put_certificate(person(address).certificate, (address,), None))


def answer(*extra: str, to: str = FRIEND, name: str = f"In-Reply-To: <{SECRET}>") -> bytes:
    lines = "".join(f"{line}\n" for line in (name, *extra))
    head = f"From: anna@acme.example\nTo: {to}\nSubject: Re: x\nMessage-ID: <own@acme.example>\n"
    return f"{head}{lines}\n> {CANARY}\nyes\n".encode()


def send(core: Core, data: bytes, *to: str, sender: str = "anna@acme.example") -> tuple[Any, list[Delivered]]:
    return core.send(data, sender, to or (FRIEND,))


def refused(outcome: Any, reason: Reason = Reason.NO_CERTIFICATE) -> None:
    assert isinstance(outcome, Refused) and outcome.reason is reason and not outcome.temporary
    assert "came encrypted" in outcome.detail


@pytest.mark.parametrize("to", [FRIEND, "x@elsewhere.example"])
@pytest.mark.parametrize(
    "name",
    [
        f"In-Reply-To: <{SECRET}>",
        f"References: <old@x>\n <{SECRET}>",
        f"X-Other: 1\nReferences: <{SECRET.upper()}> <new@x>",
        f"Resent-Message-ID: <{SECRET}>",
        f"In-Reply-To: =?utf-8?q?=3C{SECRET[:9]}?=\n =?utf-8?q?{SECRET[9:]}=3E?=",
    ],
)
def test_an_answer_that_cannot_be_encrypted_stays_here(core: Core, to: str, name: str) -> None:
    outcome, copies = send(core, answer(to=to, name=name), to)
    refused(outcome)
    assert copies == [] and outcome.address == to


def test_the_refusal_says_by_which_name_it_was_recognised(core: Core) -> None:
    """Anybody outside chooses the names of their mail: an administrator must see when one of ours has the same."""
    outcome, _ = send(core, answer(name=f"References: <older@x> <{SECRET.upper()}> <a@acme.example>"))
    refused(outcome)
    assert f"(Message-ID <{SECRET}>)" in reply_for(outcome)
    (told,) = [event for event in core.store.registry.events(recipient=FRIEND) if event.event == "refused"]
    assert f"<{SECRET}>" in told.detail


def test_an_odd_name_breaks_no_reply(core: Core) -> None:
    name = "\u00fc\x07" + "n" * 600 + "@partner.example"
    protect(core, name)
    outcome, _ = send(core, answer(name=f"In-Reply-To: <{name}>"))
    refused(outcome)
    reply = reply_for(outcome)
    assert len(reply) <= 400 and reply.isascii() and reply.isprintable() and reply.endswith(")")
    assert "<??nnn" in reply and "n...n" in reply and "@partner.example>), so" in reply


def test_an_answer_that_can_be_encrypted_is(core: Core) -> None:
    with_certificate(core)
    outcome, (copy,) = send(core, answer("x-smplain: yes"))
    assert isinstance(outcome, Accepted)
    assert (copy.protection, copy.reason) == ("smime-personal", "plain-overruled")
    assert CANARY.encode() not in copy.wire
    assert CANARY.encode() in (decrypt(copy.wire, person(FRIEND)) or b"")


def test_a_redirected_mail_is_known_by_its_own_name(core: Core) -> None:
    data = f"From: eve@partner.example\nTo: anna@acme.example\nMessage-ID: <{SECRET}>\n\n{CANARY}\n".encode()
    refused(send(core, data, "anna@elsewhere.example")[0])


def test_a_forwarded_mail_is_known_by_what_it_carries(core: Core) -> None:
    inner = f"From: eve@partner.example\nMessage-ID: <{SECRET}>\n\n{CANARY}\n"
    data = f"From: anna@acme.example\nTo: {FRIEND}\nContent-Type: message/rfc822\n\n{inner}".encode()
    refused(send(core, data)[0])


@pytest.mark.parametrize(
    "said", ["application/octet-stream; name=it.eml", "application/mbox", "text/plain; name=it.eml"]
)
def test_a_mail_attached_as_a_file_is_known_too(core: Core, said: str) -> None:
    inner = f"From: eve@partner.example\nMessage-ID: <{SECRET}>\n\n{CANARY}\n"
    parts = f"--b\n\nsee this\n--b\nContent-Type: {said}\n\n{inner}\n--b--\n"
    head = f"From: anna@acme.example\nTo: {FRIEND}\nContent-Type: multipart/mixed; boundary=b\n\n"
    refused(send(core, (head + parts).encode())[0])


def test_an_answer_in_the_costume_of_openpgp_is_in_clear(core: Core) -> None:
    """It would be exempt, being encrypted already."""
    costume = (
        'Content-Type: multipart/encrypted; protocol="application/pgp-encrypted"; boundary=b\n\n--b\n'
        "Content-Type: application/pgp-encrypted\n\nVersion: 1\n--b\nContent-Type: application/octet-stream\n\n"
        f"-----BEGIN PGP MESSAGE-----\n\n{CANARY} it is\n-----END PGP MESSAGE-----\n--b--\n"
    )
    head = f"From: anna@acme.example\nTo: {FRIEND}\nIn-Reply-To: <{SECRET}>\n"
    refused(send(core, (head + costume).encode())[0])


def test_a_large_mail_is_looked_through_as_well(core: Core) -> None:
    filler = "x" * 70 + "\n"
    parts = f"--b\n\n{filler * 5000}\n--b\nContent-Type: message/rfc822\n\nMessage-ID: <{SECRET}>\n\nx\n--b--\n"
    head = f"From: anna@acme.example\nTo: {FRIEND}\nContent-Type: multipart/mixed; boundary=b\n\n"
    refused(send(core, (head + parts).encode())[0])


def test_recipients_inside_are_no_strangers_to_it(core: Core) -> None:
    outcome, (copy,) = send(core, answer(to="bob@acme.example"), "bob@acme.example")
    assert isinstance(outcome, Accepted) and copy.protection == "none"
    with_certificate(core)
    outcome, copies = send(core, answer(), "bob@acme.example", FRIEND)
    assert isinstance(outcome, Accepted)
    found = {copy.recipient: (copy.protection, CANARY.encode() in copy.wire) for copy in copies}
    assert found == {"bob@acme.example": ("none", True), FRIEND: ("smime-personal", False)}


def test_one_recipient_who_cannot_be_served_keeps_the_whole_answer_here(core: Core) -> None:
    with_certificate(core)
    outcome, copies = send(core, answer(), "bob@acme.example", FRIEND, "x@elsewhere.example")
    refused(outcome)
    assert copies == []


def test_never_means_that_it_cannot_be_sent(core: Core) -> None:
    core.configure(lambda live: live.put_partner_domain(PartnerDomain(name="friend.example", encryption="never"), ()))
    with_certificate(core)
    refused(send(core, answer())[0], Reason.METHOD_DISABLED)


def test_an_invitation_in_answer_is_no_exception(core: Core) -> None:
    core.configure(lambda live: live.put_policy(Policy(calendar="pass")))
    data = answer("Content-Type: text/calendar; method=REPLY").replace(b"> ", b"BEGIN:VCALENDAR\nMETHOD:REPLY\n> ")
    refused(send(core, data)[0])


def test_policy_may_let_it_go(core: Core) -> None:
    core.configure(lambda live: live.put_policy(Policy(reply_to_encrypted="may")))
    outcome, (copy,) = send(core, answer())
    assert isinstance(outcome, Accepted) and copy.protection == "none"


def test_other_mail_goes_as_ever(core: Core) -> None:
    outcome, (copy,) = send(core, answer(name="In-Reply-To: <other@partner.example>"))
    assert isinstance(outcome, Accepted) and copy.protection == "none"


def test_ninety_days_later_it_is_forgotten(core: Core) -> None:
    path = make_url(core.installation.settings.store.url).database
    with closing(sqlite3.connect(str(path))) as database, database:
        database.execute("UPDATE protected_ids SET keep_until = 1")
    assert isinstance(send(core, answer())[0], Accepted)


def test_what_its_sender_encrypted_is_encrypted(core: Core) -> None:
    with_certificate(core)
    _, (copy,) = send(core, answer(name="X-SMENC: yes"))
    assert copy.protection == "smime-personal"
    core.configure(lambda live: live.delete_certificate(person(FRIEND).certificate.thumbprint))
    sealed = copy.wire.replace(b"Message-ID:", b"References: <" + SECRET.encode() + b">\r\nMessage-ID:", 1)
    outcome, (again,) = send(core, sealed)
    assert isinstance(outcome, Accepted) and again.protection == "none"
    assert CANARY.encode() not in again.wire


def test_internal_encryption_is_none_the_worse(core: Core) -> None:
    data = answer("X-SM-ORIGTO: bob@acme.example", to=PSEUDO)
    outcome, copies = send(core, data, PSEUDO)
    assert isinstance(outcome, Accepted) and {copy.protection for copy in copies} == {"smime-personal"}


def test_mail_from_outside_is_not_concerned(core: Core) -> None:
    outcome, (copy,) = core.send(
        answer(to="anna@acme.example"), "x@elsewhere.example", ["anna@acme.example"], "internet"
    )
    assert isinstance(outcome, Accepted) and copy.protection == "none"


def test_a_store_that_cannot_answer_lets_nothing_out(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object) -> bool:
        raise StoreUnavailable("the store is away")

    monkeypatch.setattr(core.store.incoming, "came_protected", away)
    outcome, copies = send(core, answer())
    assert isinstance(outcome, Refused) and outcome.temporary and copies == []


def test_so_many_names_that_nobody_can_tell_keep_it_here(core: Core) -> None:
    listed = "\n".join(f" <{number}@x>" for number in range(3000))
    outcome, _ = send(core, answer(name=f"References:\n{listed}"))
    refused(outcome)
    assert "nobody can tell" in outcome.detail


def test_mail_that_must_be_encrypted_anyway_asks_nobody(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: object) -> bool:
        raise AssertionError("asked")

    monkeypatch.setattr(core.store.incoming, "came_protected", never)
    outcome, (copy,) = send(core, answer(to="eve@partner.example"), "eve@partner.example")
    assert isinstance(outcome, Accepted) and copy.protection == "smime-domain"
    assert isinstance(send(core, answer(to="bob@acme.example"), "bob@acme.example")[0], Accepted)


def report(kind: str = "delivery-status", subject: str = CANARY) -> bytes:
    status = (
        f"Reporting-UA: x; {CANARY}\nFinal-Recipient: rfc822; anna@acme.example\nOriginal-Message-ID: <{SECRET}>\n"
        "Disposition: manual-action/MDN-sent-manually; displayed\n"
        if kind == "disposition-notification"
        else f"Reporting-MTA: dns; mail.acme.example\n\nFinal-Recipient: rfc822; anna@acme.example\nAction: failed\n"
        f"Status: 5.2.2\nDiagnostic-Code: smtp; 552 mailbox full, {CANARY}\n"
    )
    returned = f"From: {FRIEND}\nSubject: {CANARY}\nMessage-ID: <{SECRET}>\n\n{CANARY}\n"
    return (
        f"From: <postmaster@acme.example>\nTo: {FRIEND}\nSubject: Undeliverable: {subject}\n"
        f"Message-ID: <ndr@acme.example>\nContent-Type: multipart/report; report-type={kind}; boundary=b\n\n"
        f"--b\n\nYour message {CANARY} was not delivered.\n--b\nContent-Type: message/{kind}\n\n{status}\n"
        f"--b\nContent-Type: message/rfc822\n\n{returned}\n--b--\n"
    ).encode()


@pytest.mark.parametrize("kind", ["delivery-status", "disposition-notification"])
def test_a_report_leaves_without_what_it_returned(core: Core, kind: str) -> None:
    outcome, (copy,) = send(core, report(kind), sender="")
    assert isinstance(outcome, Accepted)
    assert CANARY.encode() not in copy.wire
    assert copy.sender == "" and copy.protection == "none"
    assert SECRET.encode() in copy.wire and b"Final-Recipient: rfc822; anna@acme.example" in copy.wire
    events = explained(core, report(kind))
    assert events["decision"] == "deliver" and "came encrypted" in events["recipients"][0]["detail"]
    (told,) = [event for event in core.store.registry.events(id=copy.message) if event.event == "accepted"]
    assert "came encrypted" in told.detail


def explained(core: Core, data: bytes) -> dict[str, Any]:
    submission = core.submission(data, "", [FRIEND])
    listener = core.installation.settings.listener_named("internal")
    assert listener is not None
    explainer = Explainer(core.installation)
    found = asyncio.run(
        explainer(bytearray(submission.data), listener, "", [FRIEND], "127.0.0.1", submission.received_at)
    )
    return dict(found)


def test_a_report_that_can_be_encrypted_keeps_all_it_says(core: Core) -> None:
    with_certificate(core)
    outcome, (copy,) = send(core, report(), sender="")
    assert isinstance(outcome, Accepted) and copy.protection == "smime-personal"
    assert CANARY.encode() not in copy.wire.partition(b"\r\n\r\n")[2]
    assert CANARY.encode() in (decrypt(copy.wire, person(FRIEND)) or b"")


def test_a_report_about_other_mail_stays_whole(core: Core) -> None:
    data = report().replace(SECRET.encode(), b"other@partner.example")
    outcome, (copy,) = send(core, data, sender="")
    assert isinstance(outcome, Accepted) and copy.wire.count(CANARY.encode()) == data.count(CANARY.encode())


def test_a_report_to_a_mandatory_partner_is_not_made_harmless(core: Core) -> None:
    """The partner's mode asks for encryption whatever is in the mail."""
    data = report().replace(FRIEND.encode(), b"x@strict.example")
    outcome, copies = send(core, data, "x@strict.example", sender="")
    assert isinstance(outcome, Refused) and copies == []


@pytest.mark.parametrize("sender", ["", "anna@acme.example"])
def test_an_out_of_office_mail_is_no_report(core: Core, sender: str) -> None:
    data = answer("Auto-Submitted: auto-replied", name=f"In-Reply-To: <{SECRET}>")
    outcome, copies = send(core, data, sender=sender)
    refused(outcome)
    assert copies == []


def test_a_bounce_without_structure_is_recognised_and_stays_here(core: Core) -> None:
    text = (
        f"Hi. This is the qmail-send program.\n--- Below this line is a copy.\n\nMessage-ID: <{SECRET}>\n\n{CANARY}\n"
    )
    data = f"From: MAILER-DAEMON@acme.example\nTo: {FRIEND}\nSubject: failure notice\n\n{text}".encode()
    refused(send(core, data, sender="")[0])


def test_a_person_is_not_served_with_a_cut_mail(core: Core) -> None:
    """Only a mail server's own mail is edited; whoever sends a report by hand hears what is wrong."""
    data = report().replace(b"<postmaster@acme.example>", b"anna@acme.example")
    refused(send(core, data)[0])


def test_trust_in_a_certificate_given_later_lets_the_next_attempt_out(core: Core) -> None:
    entity = person(FRIEND, "selfsigned")
    core.configure(lambda live: live.put_certificate(entity.certificate, (FRIEND,), None))
    refused(send(core, answer())[0], Reason.CERTIFICATE_UNTRUSTED)
    core.configure(lambda live: allow(live, entity))
    assert isinstance(send(core, answer())[0], Accepted)


def test_the_hash_in_the_store_names_nobody(core: Core) -> None:
    path = Path(str(make_url(core.installation.settings.store.url).database))
    files = list(path.parent.glob(path.name + "*"))
    assert path in files and all(SECRET.encode() not in file.read_bytes() for file in files)
