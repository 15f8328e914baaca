"""Recipients come back out of the ORIG headers exactly, or the mail is refused."""

import pytest

from ime_gateway.base.reasons import Reason
from ime_gateway.ime.restore import Restored, Unrestorable, restore
from ime_gateway.ime.sent_copy import sent_copy_headers
from ime_gateway.mail.address import parse_path
from ime_gateway.mail.headers import HeaderBlock, parse_fields

PSEUDO = parse_path("ime@imepseudodomain.local")


def headers(*lines: str) -> HeaderBlock:
    return parse_fields("".join(line + "\r\n" for line in lines).encode())


def restored(*lines: str) -> Restored:
    result = restore(headers("From: anna@acme.example", "To: ime@imepseudodomain.local", *lines), PSEUDO)
    assert isinstance(result, Restored), result
    return result


def refused(*lines: str) -> Unrestorable:
    result = restore(headers("From: anna@acme.example", "To: ime@imepseudodomain.local", *lines), PSEUDO)
    assert isinstance(result, Unrestorable), result
    return result


def keys(result: Restored) -> tuple[list[str], list[str]]:
    return [address.key for address in result.visible], [address.key for address in result.blind]


def test_to_cc_and_bcc_come_back() -> None:
    result = restored(
        "X-SM-ORIGTO: Bob Baker <bob@acme.example>, carol@acme.example",
        "X-SM-ORIGCC: dora@acme.example",
        "X-SM-ORIGBCC: emil@acme.example",
    )
    assert keys(result) == (["bob@acme.example", "carol@acme.example", "dora@acme.example"], ["emil@acme.example"])
    text = result.headers.to_bytes().decode()
    assert "To: Bob Baker <bob@acme.example>, carol@acme.example\r\n" in text
    assert "Cc: dora@acme.example\r\n" in text
    for secret in ("emil", "ORIG", "imepseudodomain"):
        assert secret not in text


@pytest.mark.parametrize("separator", [",", ";", " ; ", ",\r\n "])
def test_separators_and_folding(separator: str) -> None:
    assert keys(restored(f"X-SM-ORIGTO: bob@acme.example{separator}carol@acme.example"))[0] == [
        "bob@acme.example",
        "carol@acme.example",
    ]


def test_several_fields_and_duplicates() -> None:
    result = restored(
        "X-SM-ORIGTO: bob@acme.example",
        "X-SM-ORIGTO: BOB@ACME.example, carol@acme.example",
        "X-SM-ORIGBCC: bob@acme.example, emil@acme.example, Emil@acme.example",
    )
    assert keys(result) == (["bob@acme.example", "carol@acme.example"], ["emil@acme.example"])


@pytest.mark.parametrize(
    "value",
    [
        "=?utf-8?Q?M=C3=BCller=2C_Bob?= <bob@acme.example>, carol@acme.example",
        "=?utf-8?Q?M=C3=BCller_<bob@acme.example>=2C?= =?utf-8?Q?_carol@acme.example?=",
        "=?utf-8?B?Ym9iQGFjbWUuZXhhbXBsZTsgY2Fyb2xAYWNtZS5leGFtcGxl?=",
    ],
)
def test_encoded_by_the_mail_server(value: str) -> None:
    assert keys(restored(f"X-SM-ORIGTO: {value}"))[0] == ["bob@acme.example", "carol@acme.example"]


def test_an_encoded_display_name_never_adds_a_recipient() -> None:
    result = restored("X-SM-ORIGTO: =?utf-8?Q?Bob=2C_evil=40else.example?= <bob@acme.example>")
    assert keys(result)[0] == ["bob@acme.example"]


def test_two_readings_are_refused() -> None:
    assert refused("X-SM-ORIGTO: =?utf-8?Q?evil?=@acme.example, bob@acme.example").reason is Reason.IME_MALFORMED


@pytest.mark.parametrize(
    "value", ["/o=ACME/ou=First/cn=Recipients/cn=bob", "bob", "bob@", "<bob@acme.example", "a b@acme.example"]
)
def test_unreadable_lists_are_refused(value: str) -> None:
    assert refused(f"X-SM-ORIGTO: {value}").reason is Reason.IME_MALFORMED


def test_groups_are_refused_as_groups() -> None:
    result = refused("X-SM-ORIGTO: Sales team: bob@acme.example, carol@acme.example;")
    assert (result.reason, result.address) == (Reason.RECIPIENT_IS_GROUP, "Sales team")
    assert refused("X-SM-ORIGCC: Everybody:;").reason is Reason.RECIPIENT_IS_GROUP


def test_no_orig_headers_and_empty_ones() -> None:
    assert refused().reason is Reason.IME_NO_RECIPIENTS
    assert refused("X-SM-ORIGTO: ", "X-SM-ORIGCC:").reason is Reason.IME_NO_RECIPIENTS
    assert refused("X-SM-ORIGTO: ime@imepseudodomain.local").reason is Reason.IME_NO_RECIPIENTS


def test_only_blind_recipients() -> None:
    result = restored("X-SM-ORIGBCC: emil@acme.example")
    assert keys(result) == ([], ["emil@acme.example"])
    assert b"To: undisclosed-recipients:;\r\n" in result.headers.to_bytes()


def test_who_stands_beside_the_pseudo_recipient_stays_visible() -> None:
    block = headers(
        "From: anna@acme.example", "To: ime@imepseudodomain.local, frank@else.example", "X-SM-ORIGTO: bob@acme.example"
    )
    result = restore(block, PSEUDO)
    assert isinstance(result, Restored)
    assert keys(result)[0] == ["bob@acme.example", "frank@else.example"]


def test_a_bcc_header_never_survives() -> None:
    assert b"hidden" not in restored("X-SM-ORIGTO: bob@acme.example", "Bcc: hidden@acme.example").headers.to_bytes()


def test_sent_copy_keeps_or_changes_the_message_id() -> None:
    block = headers(
        "From: a@x.example",
        "Message-ID: <1@x.example>",
        "References: <0@x.example>",
        "Disposition-Notification-To: a@x.example",
    )
    kept = sent_copy_headers(block, sender_is_recipient=False, new_message_id="<2@x.example>").to_bytes()
    assert b"Message-ID: <1@x.example>" in kept and b"sentcopy: yes" in kept and b"Disposition" not in kept
    changed = sent_copy_headers(block, sender_is_recipient=True, new_message_id="<2@x.example>").to_bytes()
    assert b"Message-ID: <2@x.example>" in changed
    assert b"References: <0@x.example> <1@x.example>" in changed
