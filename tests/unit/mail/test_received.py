"""Trace fields and the counting of loops."""

from email.utils import parsedate_to_datetime

import pytest

from ime_gateway.mail.headers import HeaderBlock, parse_fields
from ime_gateway.mail.received import (
    count_own,
    count_received,
    count_valid_traces,
    date_time,
    own_passes_only,
    received_field,
    trace_field,
)

KEY = b"k" * 32


def field(**changes: str) -> bytes:
    values = {"helo": "mx.acme.example", "peer_ip": "192.0.2.1", "hostname": "gw.acme.example", "protocol": "ESMTPS"}
    return received_field(**{**values, "message_id": "0abc", **changes}, moment=1767607200.5).raw  # type: ignore[arg-type]


def test_received_says_who_gave_it_to_whom_and_when() -> None:
    assert field().replace(b"\r\n", b"") == (
        b"Received: from mx.acme.example ([192.0.2.1]) by gw.acme.example with ESMTPS id 0abc;"
        b" Mon, 05 Jan 2026 10:00:00 +0000"
    )
    assert b"(real.acme.example [IPv6:2001:db8::1])" in field(peer_ip="2001:db8::1", peer_name="real.acme.example")
    assert all(len(line) <= 78 for line in field().split(b"\r\n"))


@pytest.mark.parametrize(
    "helo", ["x\r\nBcc: a@x", "x) by gw.acme.example (", "", "ü", "x" * 2000, "\0", "=?utf-8?q?x?="]
)
def test_what_the_peer_calls_itself_forges_nothing(helo: str) -> None:
    headers = parse_fields(field(helo=helo, peer_name=helo or "x"))
    assert len(headers.fields) == 1
    assert count_own(headers, "gw.acme.example") == 1
    assert headers.to_bytes().isascii()
    assert headers.to_bytes().count(b"(") == 1


def test_dates_are_those_of_rfc_5322() -> None:
    for moment in (0.0, 951782400.0, 1767607200.0, 4102444799.9):
        assert parsedate_to_datetime(date_time(moment)).timestamp() == int(moment)


def test_hops_are_counted() -> None:
    headers = parse_fields(field() + b"received : x\r\nX-Received: y\r\n")
    assert count_received(headers) == 2


def test_own_hops_are_those_by_this_host() -> None:
    block = (
        b"Received: from gw.acme.example by other.example; x\r\n"
        b"Received: from x (y)\r\n\tBY GW.Acme.Example; x\r\n"
        b"Received: by gw.acme.example\r\n"
        b"Received: from x by gw.acme.example.attacker.example; x\r\n"
        b"Received: from x by notgw.acme.example; x\r\n"
        b"Received: from x standby gw.acme.example; x\r\n"
    )
    assert count_own(parse_fields(block), "gw.acme.example") == 2
    assert count_own(parse_fields(block), "gwxacme.example") == 0


def test_traces_prove_passes() -> None:
    one, two = trace_field("0abc", KEY), trace_field("1abc", KEY)
    assert count_valid_traces(HeaderBlock(), KEY) == 0
    assert count_valid_traces(parse_fields(one.raw + two.raw), KEY) == 2
    assert count_valid_traces(HeaderBlock((one, one)), KEY) == 1


@pytest.mark.parametrize(
    "raw",
    [
        trace_field("0abc", b"other key").raw,
        trace_field("0abc", KEY).raw.replace(b"0abc", b"0abd"),
        b"X-IMEGW-Trace: 0abc\r\n",
        b"X-IMEGW-Trace: 0abc; mac=\r\n",
        b"X-IMEGW-Trace: \xc3\xbc; mac=" + b"0" * 64 + b"\r\n",
    ],
)
def test_forged_traces_prove_nothing(raw: bytes) -> None:
    assert count_valid_traces(parse_fields(raw), KEY) == 0


def test_a_message_that_no_server_has_seen_keeps_only_what_counts_against_loops() -> None:
    block = (
        b"Received: from words by gw.acme.example (Merger); Mon, 05 Jan 2026 10:00:00 +0000\r\n"
        b"Received: Merger with Tulip by nobody\r\nX-IMEGW-Trace: Merger\r\n"
    )
    mark = trace_field("0abc", KEY)
    given = HeaderBlock((*parse_fields(block).fields, mark, *parse_fields(b"From: a@acme.example\r\n").fields))
    kept = own_passes_only(given, "gw.acme.example", KEY, 1767607200.0)
    assert kept.to_bytes() == (
        b"Received: by gw.acme.example; Mon, 05 Jan 2026 10:00:00 +0000\r\n" + mark.raw + b"From: a@acme.example\r\n"
    )
    assert count_own(kept, "gw.acme.example") == count_own(given, "gw.acme.example") == 1
    assert count_valid_traces(kept, KEY) == 1


def test_a_header_without_a_way_stays_itself() -> None:
    given = parse_fields(b"From: a@acme.example\r\nX-Mailer: Outlook\r\n")
    assert own_passes_only(given, "gw.acme.example", KEY, 0.0) is given
