"""Every command that README and docs name exists: who types what they read gets no "No such command"."""

import re
from pathlib import Path

import pytest
import typer.main

from ime_gateway.app.cli.main import build

ROOT = Path(__file__).parents[3]
PAGES = ("README.md", "docs/partners.md", "docs/exchange.md", "docs/decisions.md", "config/README.md", "CHANGELOG.md")
_TYPED = re.compile(r"\bime-gateway ([a-z][a-z -]*)")
_TABLE = re.compile(r"`((?:domain|cert|ca|trust)(?: key)?) ((?:[a-z-]+, )+[a-z-]+)`")


def commands() -> set[str]:
    """All commands in words: `domain key show`."""
    found: set[str] = set()
    waiting = [("", typer.main.get_command(build()))]
    while waiting:
        name, command = waiting.pop()
        below = getattr(command, "commands", {})
        found.add(name)
        waiting += ((f"{name} {each}".strip(), one) for each, one in below.items())
    return found


def spoken(text: str) -> set[str]:
    """The words behind `ime-gateway`, and the rows of README's table."""
    named = {words.strip() for words in _TYPED.findall(text)}
    for group, verbs in _TABLE.findall(text):
        named |= {f"{group} {verb}" for verb in verbs.split(", ")}
    return named


@pytest.mark.parametrize("page", PAGES)
def test_commands_of_the_pages_exist(page: str) -> None:
    known = commands()
    groups = {name for name in known if any(other.startswith(f"{name} ") for other in known)}
    for words in spoken((ROOT / page).read_text()):
        parts = words.split()
        longest = next(" ".join(parts[:n]) for n in range(len(parts), -1, -1) if " ".join(parts[:n]) in known)
        assert longest and (longest not in groups or longest == words), f"{page}: ime-gateway {words}"


def test_table_of_commands_is_read() -> None:
    named = spoken((ROOT / "README.md").read_text())
    assert {"domain key rollover", "cert approve", "ca take-offline", "trust verify", "domain test"} <= named
