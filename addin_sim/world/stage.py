"""What the steps of the demo share: programs and servers, words for the page, and what is promised of them."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from addin_sim.world.gateway import Gateway, run_program
from addin_sim.world.mail_server import MailServer
from addin_sim.world.people import KeyFiles, Person

_ARRIVAL_SECONDS = 60.0


class DeviationError(Exception):
    """Something was not as promised; the text is the sentence."""


@dataclass(slots=True)
class Page:
    """What the audience reads."""

    console: Console

    def say(self, text: str) -> None:
        """One line of what happened, indented however long it is."""
        self.console.print(Padding(escape(text), (0, 0, 0, 6), expand=False), highlight=False)

    def show(self, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table."""
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
        for heading in headings:
            table.add_column(heading, overflow="fold")
        for row in rows:
            table.add_row(*map(escape, row))
        self.console.print(table)


@dataclass(slots=True)
class Stage(Page):
    """What the steps share."""

    folder: Path
    gateway: Gateway
    world: MailServer
    keys: dict[Person, KeyFiles] = field(default_factory=dict)
    plan: dict[str, Any] = field(default_factory=dict)

    @property
    def written(self) -> Path:
        """Where the mails lie as their sender wrote them: the only clear text."""
        return self.folder / "written"

    @property
    def settings(self) -> Path:
        """The sender's Outlook."""
        return self.folder / "outlook-settings.toml"

    @property
    def people(self) -> Path:
        """Certificates and keys."""
        return self.folder / "people"

    @property
    def ime2_settings(self) -> Path:
        """The sender's Outlook once its administrator has switched to IME 2.0."""
        return self.folder / "outlook-ime2.toml"

    @property
    def exchange_spool(self) -> Path:
        """Every mail that Exchange held on its way to the gateway, once it keeps them."""
        return self.world_folder / "spool"

    @property
    def world_folder(self) -> Path:
        """All files of the mail servers."""
        return self.folder / "world"


def send(settings: Path, mail: Path, ime: int) -> str:
    """`addin-sim send`; what Exchange replied."""
    answer = run_program("addin-sim", "send", "--ime", ime, "--settings", settings, "--eml", mail, "--json")
    demand(answer.status == 0, f"addin-sim send was refused: {answer.errors.strip()}")
    return str(json.loads(answer.output)["reply"])


def wait(condition: Callable[[], bool], stage: Stage, deviation: str) -> None:
    """Until the condition holds; a deviation when it takes too long."""
    deadline = time.monotonic() + _ARRIVAL_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            events = [f"{entry['event']}: {entry}" for entry in stage.world.journal.entries()[-3:]]
            raise DeviationError(f"{deviation} in {_ARRIVAL_SECONDS:.0f} seconds; last in the journal: {events}")
        time.sleep(0.05)


def demand(condition: bool, deviation: str) -> None:
    """Stop the demo unless this is as promised."""
    if not condition:
        raise DeviationError(deviation)
