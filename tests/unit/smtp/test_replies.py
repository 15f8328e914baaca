import inspect
import re

import pytest

from ime_gateway.base.outcome import Accepted, Refused
from ime_gateway.base.reasons import Reason
from ime_gateway.ime.container import closed
from ime_gateway.smtp import replies

SHAPE = re.compile(r"([245])\d\d \1\.\d{1,3}\.\d{1,3} [ -~]+")


def test_success_is_worded_as_the_contract_says() -> None:
    assert replies.outcome(Accepted("01abc")) == b"250 2.0.0 accepted id=01abc\r\n"


@pytest.mark.parametrize("reason", Reason)
@pytest.mark.parametrize("temporary", [True, False])
def test_every_reason_has_a_reply_of_the_right_class(reason: Reason, temporary: bool) -> None:
    reply = replies.reply_for(Refused(reason, "evidence", temporary=temporary, address="b@x.example", message_id="01a"))
    match = SHAPE.fullmatch(reply)
    assert match
    ours = reason in (Reason.STORE_UNAVAILABLE, Reason.LOOKUP_TIMEOUT)
    assert match[1] == ("4" if temporary or ours else "5")
    assert reply[10:].startswith(f"<b@x.example> {reason}: {reason.sentence} (evidence)")
    assert reply.endswith(" (id=01a)")


@pytest.mark.parametrize(
    ("reason", "start"),
    [
        (Reason.NO_CERTIFICATE, "550 5.7.1 "),
        (Reason.SENDER_NOT_MANAGED, "550 5.7.1 "),
        (Reason.FROM_MISMATCH, "550 5.7.1 "),
        (Reason.RELAY_DENIED, "550 5.7.1 "),
        (Reason.METHOD_NOT_AVAILABLE, "550 5.7.1 "),
        (Reason.IME_NO_RECIPIENTS, "554 5.6.0 "),
        (Reason.IME_TNEF, "554 5.6.0 "),
        (Reason.MALFORMED, "554 5.6.0 "),
        (Reason.TOO_LARGE, "552 5.3.4 "),
        (Reason.LOOP, "554 5.4.6 "),
        (Reason.STORE_UNAVAILABLE, "451 4.3.0 "),
        (Reason.LOOKUP_TIMEOUT, "451 4.4.3 "),
    ],
)
def test_the_codes_that_people_rely_on(reason: Reason, start: str) -> None:
    assert replies.reply_for(Refused(reason, "")).startswith(start)


def test_nothing_in_a_refusal_starts_a_line_of_its_own() -> None:
    evil = "x\r\n250 2.0.0 accepted id=1\x00\x1b\u2028\u00fc"
    wire = replies.outcome(Refused(Reason.MALFORMED, evil, address=evil, message_id=evil))
    assert wire.count(b"\r") == wire.count(b"\n") == 1
    assert wire.endswith(b"\r\n")
    assert all(0x20 <= octet <= 0x7E for octet in wire[:-2])


def test_people_with_other_letters_are_recognised() -> None:
    reply = replies.reply_for(Refused(Reason.NO_CERTIFICATE, "", address="j\u00fcrgen\u0142@acme.example"))
    assert reply.startswith("550 5.7.1 <j\\xfcrgen\\u0142@acme.example> no-certificate: ")


def test_what_to_do_about_a_closed_container_is_not_cut() -> None:
    fault = closed("evidence for the log")
    person = "a" * 64 + "@department.acme.example"
    reply = replies.reply_for(Refused(fault.reason, fault.detail, address=person, message_id="1" * 26))
    assert "update Outlook's address book" in reply and "tell your administrator) (id=" in reply
    assert len(reply) < 400 and "evidence" not in reply


def test_a_long_refusal_is_cut_but_keeps_code_address_and_id() -> None:
    refused = Refused(Reason.NO_CERTIFICATE, "e" * 5000, address="a" * 64 + "@acme.example", message_id="01abcdef")
    reply = replies.reply_for(refused)
    assert len(reply) == 400
    assert reply.startswith("550 5.7.1 <" + "a" * 64 + "@acme.example> no-certificate: ")
    assert reply.endswith("e) (id=01abcdef)")
    assert len(replies.reply_for(Refused(Reason.LOOP, "d" * 999, address="a" * 999, message_id="i" * 999))) <= 400


def test_every_ready_made_reply_carries_its_enhanced_code() -> None:
    ready = [value for name, value in inspect.getmembers(replies) if name.isupper() and isinstance(value, bytes)]
    assert len(ready) > 20
    for reply in ready:
        assert reply.endswith(b"\r\n")
        assert reply == replies.SEND_DATA or SHAPE.fullmatch(reply[:-2].decode("ascii")), reply


def test_protocol_errors_are_told_from_refusals() -> None:
    assert replies.is_protocol_error(replies.UNKNOWN_COMMAND)
    assert replies.is_protocol_error(replies.out_of_order("x"))
    assert replies.is_protocol_error(replies.unknown_parameter("x"))
    assert replies.is_protocol_error(replies.TLS_FIRST)
    assert not replies.is_protocol_error(replies.refused(Refused(Reason.RELAY_DENIED, "")))
    assert not replies.is_protocol_error(replies.TOO_MANY_RECIPIENTS)
    assert not replies.is_protocol_error(replies.NO_VALID_RECIPIENTS)


def test_evidence_that_says_nothing_new_is_left_out() -> None:
    for detail in ("", "the recipient is not known here", Reason.RECIPIENT_UNKNOWN.sentence):
        assert replies.reply_for(Refused(Reason.RECIPIENT_UNKNOWN, detail)).endswith(
            ": The recipient is not known here."
        )
