"""`queue`, `track`, `doctor` and `explain` over a real store with real rows."""

import asyncio
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ime_gateway.app.cli.doctor import silence_of
from ime_gateway.app.cli.explain import canonical
from ime_gateway.app.installation import open_installation
from ime_gateway.base.ids import new_id
from ime_gateway.ports.queue import Envelope, Event, Parcel, Row


@pytest.fixture
def message(config: Path) -> str:
    """A message with two rows in the queue; returns its id."""
    name = new_id(time.time(), secrets.token_bytes(10))

    async def enqueue() -> None:
        with open_installation(config) as installation:
            body = installation.store.spool.write([b"secret body\r\n"], 13)
            rows = [
                Row(
                    f"{name}-{number}",
                    f"{name}-e",
                    recipient,
                    "recipient",
                    "smime-personal",
                    "personal-certificate",
                    "CN=x",
                )
                for number, recipient in enumerate(("bob@acme.example", "carol@other.example"))
            ]
            parcel = Parcel(name, "anna@acme.example", "<m1@acme.example>", "internal", time.time(), [body],
                            [Envelope(f"{name}-e", body.id, b"Subject: x\r\n\r\n", wire_size=27)], rows)  # fmt: skip
            events = [
                Event(name, parcel.message_id, parcel.sender, row.recipient, "recipient", "accepted", row.reason,
                      "CN=x", parcel.received_at, row.id)
                for row in rows
            ]  # fmt: skip
            await installation.store.queue.enqueue(parcel, events, None)

    asyncio.run(enqueue())
    return name


def test_the_queue(cli, config: Path, message: str) -> None:
    rows = cli("queue", "list", "--json", "-c", config).json
    assert len(rows) == 2
    expected = {
        "row",
        "id",
        "message_id",
        "sender",
        "recipient",
        "copy",
        "state",
        "attempts",
        "next_attempt",
        "last_reply",
    }
    assert all(set(row) == expected for row in rows)
    assert {(row["id"], row["state"], row["sender"]) for row in rows} == {(message, "queued", "anna@acme.example")}
    assert all(row["next_attempt"].endswith("Z") and row["attempts"] == 0 for row in rows)
    table = cli("queue", "list", "-c", config).out
    assert "bob@acme.example" in table and message in table
    assert "1 more" in cli("queue", "list", "--limit", "1", "-c", config).err
    shown = cli("queue", "show", message, "--json", "-c", config).json
    assert [row["reason"] for row in shown["rows"]] == ["personal-certificate"] * 2
    people = cli("queue", "show", message, "-c", config).out
    assert "smime-personal: personal-certificate: CN=x" in people and "secret body" not in people
    assert cli("queue", "show", "nope", "-c", config).status == 1


def test_queue_acts(cli, config: Path, message: str) -> None:
    row = cli("queue", "list", "--json", "-c", config).json[0]["row"]
    assert cli("queue", "hold", row, "-c", config).out == "1 row held\n"
    assert sorted(one["state"] for one in cli("queue", "list", "--json", "-c", config).json) == ["held", "queued"]
    assert cli("queue", "release", message, "-c", config).out == "1 row released\n"
    assert cli("queue", "release", message, "-c", config).status == 1
    assert cli("queue", "retry", "-c", config).status == 0
    assert cli("queue", "hold", "nope", "-c", config).status == 1
    assert "no report" in cli("queue", "drop", row, "--silent", "-c", config).out
    assert "get a report" in cli("queue", "drop", message, "-c", config).out
    with open_installation(config) as installation, installation.store.registry.transaction(write=False) as live:
        lines = live.audit_lines()
    drops = [line for line in lines if "drop" in line.action]
    assert len(drops) == 2 and all(line.actor.startswith("cli:") for line in drops)
    assert sum("without report" in line.action for line in drops) == 1


def test_tracking(cli, config: Path, message: str) -> None:
    events = cli("track", "--id", message, "--json", "-c", config).json
    assert len(events) == 2
    expected = {"id", "message_id", "sender", "recipient", "copy", "event", "reason", "detail", "at"}
    assert all(set(event) == expected and event["at"].endswith("Z") for event in events)
    assert len(cli("track", "--to", "Carol@Other.Example", "--json", "-c", config).json) == 1
    assert len(cli("track", "--from", "anna@acme.example", "--json", "-c", config).json) == 2
    assert len(cli("track", "--message-id", "m1@acme.example", "--json", "-c", config).json) == 2
    assert cli("track", "--id", "nope", "--json", "-c", config).json == []
    assert "no such mail" in cli("track", "--to", "x@y.example", "-c", config).out
    assert "accepted" in cli("track", "-c", config).out
    assert cli("track", "--to", "nobody", "-c", config).status == 1


def test_doctor(cli, config: Path, site: Path, message: str, tmp_path: Path) -> None:
    assert cli("apply", site, "-c", config).status == 0
    people = tmp_path / "people.csv"
    people.write_text("mail,name\ndora@acme.example,Dora\nanna@acme.example,Anna\n")
    answer = cli("doctor", "--people", people, "--json", "-c", config)
    assert answer.status == 0 and answer.json["ready"] is False
    assert [(one["address"], one["reason"]) for one in answer.json["unreachable"]] == [
        ("bob@acme.example", "no-certificate"),
        ("dora@acme.example", "no-certificate"),
    ]
    assert [hop["route"] for hop in answer.json["next_hops"]] == ["smtp://127.0.0.1:9"]
    text = cli("doctor", "--people", people, "-c", config).out
    assert "2 of 3 people cannot be reached" in text and "dora@acme.example" in text and "Not ready" in text
    people.write_text("dora@acme.example\nnobody\n")
    wrong = cli("doctor", "--people", people, "-c", config)
    assert wrong.status == 1 and f"{people}: line 2" in wrong.err


@pytest.fixture
def greeting() -> Iterator:
    """A server that says one line to whoever connects."""
    listening = [socket.socket()]
    threads = []

    def start(line: bytes) -> str:
        listening[0].bind(("127.0.0.1", 0))
        listening[0].listen()

        def answer() -> None:
            connection, _ = listening[0].accept()
            with connection:
                if line:
                    connection.sendall(line)
                    connection.recv(100)

        threads.append(threading.Thread(target=answer))
        threads[0].start()
        return f"smtp://127.0.0.1:{listening[0].getsockname()[1]}"

    yield start
    for thread in threads:
        thread.join()
    listening[0].close()


@pytest.mark.parametrize(
    ("line", "silence"),
    [
        (b"220 mail.example ESMTP\r\n", None),
        (b"554 go away\r\n", "unfriendly greeting: 554 go away"),
        (b"", "unfriendly greeting: none"),
    ],
)
def test_a_next_hop_is_asked(greeting, line: bytes, silence: str | None) -> None:
    assert silence_of(greeting(line)) == silence


def test_nobody_listens(free_port: int) -> None:
    assert silence_of(f"smtp://127.0.0.1:{free_port}") == "no connection: Connection refused"


def test_explain(cli, config: Path, site: Path, tmp_path: Path) -> None:
    assert cli("apply", site, "-c", config).status == 0
    mail = tmp_path / "mail.eml"
    mail.write_bytes(
        b"From: anna@acme.example\nTo: ime@imepseudodomain.local\n"
        b"X-SM-ORIGTO: nokey@acme.example\nSubject: x\n\nhello\n"
    )
    arguments = ("explain", mail, "--from", "<anna@acme.example>", "--to", "<ime@imepseudodomain.local>", "-c", config)
    result = cli(*arguments, "--listener", "internal", "--json")
    assert result.status == 0, "whatever the decision"
    assert set(result.json) == {"direction", "ime", "decision", "reply", "recipients", "subject_hidden"}
    assert result.json["subject_hidden"] is None, "nothing is sent"
    assert (result.json["ime"], result.json["decision"]) == ("1.0", "refuse")
    first = result.json["recipients"][0]
    told = {"address", "copy", "blind", "group", "protection", "reason", "detail", "key", "not_taken"}
    assert set(first) == {*told, "candidates", "additional", "signed_by"}
    assert (first["address"], first["reason"]) == ("nokey@acme.example", "no-certificate")
    assert first["address"] in result.json["reply"]
    people = cli(*arguments, "--listener", "internal").out
    assert "refuse" in people and "nokey@acme.example" in people and "no-certificate" in people
    outside = cli(*arguments, "--listener", "internal", "--peer", "203.0.113.9", "--json").json
    assert outside["decision"] == "refuse" and outside["recipients"] == []
    assert "there are: internal, internet" in cli(*arguments, "--listener", "x").err
    assert "is no IP address" in cli(*arguments, "--listener", "internal", "--peer", "x").err
    missing = ("explain", tmp_path / "no.eml", "--from", "a@b.example", "--to", "c@d.example", "--listener", "internal")
    assert "no.eml cannot be read" in cli(*missing, "-c", config).err


def test_files_become_as_they_would_come_by_smtp() -> None:
    assert canonical(b"a\nb\r\nc\rd\n\n") == b"a\r\nb\r\nc\r\nd\r\n\r\n"
