"""Plays each `*.dialogue` file against a real listener: on uvloop and asyncio, in whole writes and byte by byte.

README.md says how such a file is written.
"""

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.smtp_door import Client, Door, LoopName, open_door

FOLDER = Path(__file__).parent
SCRIPTS = sorted(FOLDER.glob("*.dialogue"))


@dataclass
class Step:
    """One instruction of a script."""

    number: int
    word: str
    text: str


@dataclass
class Script:
    """A parsed dialogue file."""

    settings: dict[str, dict[str, Any]]
    steps: list[Step] = field(default_factory=list)
    whole_writes_only: bool = False


def read_script(path: Path) -> Script:
    head, _, body = path.read_text(encoding="utf-8").partition("\n---\n")
    assert body, f"{path.name} has no line ---"
    settings = tomllib.loads(head)
    script = Script(settings, whole_writes_only=settings.pop("whole_writes_only", False))
    for number, line in enumerate(body.splitlines(), head.count("\n") + 3):
        if line and not line.startswith("#"):
            word, _, text = line.partition(" ")
            script.steps.append(Step(number, word, text))
    return script


def octets(step: Step) -> bytes:
    if step.word == "R:":  # raw, with Python's escapes and no line end
        return step.text.encode("utf-8").decode("unicode_escape").encode("latin-1")
    if match := re.fullmatch(r"C\*(\d+):", step.word):
        return b"".join(f"{step.text.replace('%n', str(n))}\r\n".encode() for n in range(int(match[1])))
    return step.text.encode() + b"\r\n"


class Player:
    """Plays one script."""

    def __init__(self, door: Door, client: Client, *, split: bool) -> None:
        self.door, self.client, self.split = door, client, split
        self.waiting = b""

    def play(self, script: Script) -> None:
        for step in script.steps:
            self.play_step(step)
        self.flush()

    def flush(self) -> None:
        data, self.waiting = self.waiting, b""
        if data:
            (self.client.send_split if self.split else self.client.send)(data)

    def play_step(self, step: Step) -> None:
        if step.word in ("C:", "R:") or step.word.startswith("C*"):
            self.waiting += octets(step)
            return
        self.flush()
        if match := re.fullmatch(r"S(?:\*(\d+))?:", step.word):
            for _ in range(int(match[1] or 1)):
                line = self.client.read_line().decode()
                assert line.startswith(step.text), f"line {step.number}: {line!r}, expected {step.text!r}"
        elif step.word == "TLS":
            self.client.start_tls()
        elif step.word == "CLOSED":
            assert self.client.is_closed(), f"line {step.number}: the connection is still open"
        else:
            value = self.fact(step.word)
            assert value == step.text, f"line {step.number}: {step.word} {value!r}, expected {step.text!r}"

    def fact(self, word: str) -> str:
        """What the listener handed over, as text."""
        if word == "MESSAGES":
            return str(len(self.door.submissions))
        last = self.door.submissions[-1]
        facts = {
            "DATA": bytes(last.data).decode("latin-1").encode("unicode_escape").decode(),
            "SENDER": f"<{last.sender or ''}>",
            "RECIPIENTS": " ".join(str(recipient.address) for recipient in last.recipients),
            "DSN": f"ret={last.ret} envid={last.envid} "
            + " ".join(f"notify={recipient.notify} orcpt={recipient.orcpt}" for recipient in last.recipients),
            "FLAGS": f"body={last.body} smtputf8={last.smtputf8}",
            "COUNT": str(len(last.recipients)),
            "HELO": last.session.helo,
            "TLSVERSION": last.session.tls.partition(" ")[0],
            "PEER": last.session.peer_ip,
        }
        return facts[word]


@pytest.mark.parametrize("split", [False, True], ids=["whole", "split"])
@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_dialogue(path: Path, loop: LoopName, split: bool, tls_files: tuple[Path, Path]) -> None:
    script = read_script(path)
    listener = dict(script.settings.get("listener", {}))
    if listener.get("tls", "off") != "off":
        listener |= {"certificate": tls_files[0], "key": tls_files[1]}
    with open_door(loop, smtp=script.settings.get("smtp"), listener=listener) as door, Client(door.port) as client:
        Player(door, client, split=split and not script.whole_writes_only).play(script)
        assert door.listener.is_accepting
    assert door.memory.used == 0


def test_there_are_dialogues() -> None:
    assert len(SCRIPTS) >= 15
