"""SMTP smuggling (threat 34, R9): no odd end of data ever makes a second message.

Each sequence stands where an end of data could be seen, followed by the
commands of a second mail and a true end; sent in one write, cut after
each of its bytes, one byte at a time, by BDAT and inside TLS.
"""

import csv
from pathlib import Path

import pytest

from ime_gateway.ports.reception import Submission
from tests.pki import make_ca, make_user
from tests.smtp_door import Client, LoopName, open_door, until

SEQUENCES = Path(__file__).resolve().parents[1] / "data" / "smuggling_sequences.csv"
SECOND_MAIL = b"MAIL FROM:<evil@acme.example>\r\nRCPT TO:<victim@acme.example>\r\nDATA\r\nSubject: smuggled\r\n\r\nx"
BEFORE = b"Subject: outer\r\n\r\nbody"
END = b"\r\n.\r\n"
ROLES = pytest.mark.parametrize("role", ["internal", "internet"])
LOOPS = pytest.mark.parametrize("loop", ["uvloop", "asyncio"])


def sequences() -> dict[str, bytes]:
    """Every row but the control, for both directions: what some server sends, we may receive."""
    with SEQUENCES.open(newline="") as file:
        rows = {row["id"]: bytes.fromhex(row["bytes_hex"]) for row in csv.DictReader(file)}
    assert rows.pop("S0") == END
    assert len(rows) == 9
    return rows


def judge(submissions: list[Submission], replies: list[bytes]) -> None:
    """One message with the second mail inside as text, or none and a 5yz."""
    assert len(submissions) <= 1
    assert not any(str(recipient.address).startswith("victim") for mail in submissions for recipient in mail.recipients)
    if submissions:
        data = bytes(submissions[0].data)
        assert b"Subject: smuggled" in data
        assert data.count(b"\r") == data.count(b"\n") == data.count(b"\r\n")
        assert b"\0" not in data
        assert replies[0][:3] == b"250"
    else:
        assert replies[0][:1] == b"5"


def converse(client: Client, writes: list[bytes]) -> list[bytes]:
    """Send the rest of an open DATA, then QUIT; every reply up to the goodbye."""
    for write in writes:
        client.send(write)
    client.send(b"QUIT\r\n")
    replies = []
    while (line := client.read_line()) and line[:3] != b"221":
        replies.append(line)
    return replies


def cuts(row: bytes) -> list[list[bytes]]:
    """The attack in one write, cut after each byte of the sequence, and one byte at a time."""
    before, after = BEFORE, SECOND_MAIL + END
    ways = [[before + row + after]]
    ways += [[before + row[:place], row[place:] + after] for place in range(len(row) + 1)]
    ways.append([bytes((octet,)) for octet in before + row + after])
    return ways


@LOOPS
@ROLES
def test_data_sequences(role: str, loop: LoopName) -> None:
    for name, row in sequences().items():
        for writes in cuts(row):
            with open_door(loop, listener={"role": role}) as door, Client(door.port) as client:
                client.open_transaction("x@acme.example", "b@acme.example")
                assert client.command("DATA")[:3] == b"354"
                replies = converse(client, writes)
                judge(door.submissions, replies)
                assert len(replies) == 1, f"{name}: {replies}"


@ROLES
def test_everything_in_one_write_from_the_first_command(role: str) -> None:
    envelope = b"EHLO x\r\nMAIL FROM:<x@acme.example>\r\nRCPT TO:<b@acme.example>\r\nDATA\r\n"
    for row in sequences().values():
        with open_door(listener={"role": role}) as door, Client(door.port) as client:
            replies = converse(client, [envelope + BEFORE + row + SECOND_MAIL + END])
            judge(door.submissions, replies[-1:])


@ROLES
def test_inside_tls(tmp_path: Path, role: str) -> None:
    certificate, key = make_user("gw@acme.example", make_ca()).write(tmp_path, "gw")
    listener = {"role": role, "tls": "mandatory", "certificate": certificate, "key": key}
    for row in sequences().values():
        for writes in (cuts(row)[0], *cuts(row)[2:-2]):
            with open_door(listener=listener) as door, Client(door.port) as client:
                client.read_reply()
                client.command("EHLO x")
                client.command("STARTTLS")
                client.start_tls()
                for command in ("EHLO x", "MAIL FROM:<x@acme.example>", "RCPT TO:<b@acme.example>", "DATA"):
                    assert client.command(command)[:1] in b"23"
                replies = converse(client, writes)
                judge(door.submissions, replies)


@ROLES
def test_bdat_carries_them_as_content(role: str) -> None:
    for row in sequences().values():
        attack = BEFORE + row + SECOND_MAIL + END
        for place in range(len(BEFORE), len(BEFORE) + len(row) + 1):
            with open_door(listener={"role": role}) as door, Client(door.port) as client:
                client.open_transaction("x@acme.example", "b@acme.example")
                first = b"BDAT %d\r\n" % place + attack[:place]
                replies = converse(client, [first + b"BDAT %d LAST\r\n" % (len(attack) - place) + attack[place:]])
                judge(door.submissions, replies[0 if replies[0][:1] == b"5" else 1 :])


def test_the_control_sequence_does_end_the_data() -> None:
    """The attack with the true end makes two messages; so the judge above could see a second one."""
    with open_door() as door, Client(door.port) as client:
        client.open_transaction("x@acme.example", "b@acme.example")
        client.command("DATA")
        replies = converse(client, [BEFORE + END + SECOND_MAIL + END])
        assert [reply[:3] for reply in replies] == [b"250", b"250", b"250", b"354", b"250"]
        until(lambda: len(door.submissions) == 2)
        with pytest.raises(AssertionError):
            judge(door.submissions, replies)
