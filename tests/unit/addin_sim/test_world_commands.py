"""`addin-sim world`: what is typed wrongly is answered by a sentence, and nothing made earlier is lost."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from addin_sim.cli import run

Typed = Callable[..., tuple[int, str]]


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    """Exit status and standard error of `addin-sim world WORDS`."""

    def type_it(*words: str) -> tuple[int, str]:
        monkeypatch.chdir(tmp_path)
        Path("file").touch()
        monkeypatch.setattr(sys, "argv", ["addin-sim", "world", *words])
        with pytest.raises(SystemExit) as ended:
            run()
        return int(ended.value.code or 0), capsys.readouterr().err

    return type_it


@pytest.mark.parametrize("domain", ["", "ac me", "\u00e4cme.example", "../acme.example", 'acme.example"', "acme"])
def test_a_crowd_needs_a_domain(typed: Typed, domain: str) -> None:
    status, err = typed("crowd", "new", "--users", "1", "--domain", domain)
    assert status == 2 and "must be a domain such as acme.example" in err and not Path("new").exists()


@pytest.mark.parametrize("command", ["crowd", "people", "serve"])
def test_a_folder_that_cannot_be_written_is_a_sentence(typed: Typed, command: str) -> None:
    status, err = typed(command, "file")
    assert status == 1 and err.endswith("file: cannot be written: File exists. Choose another folder.\n")


def test_people_made_earlier_stay(typed: Typed) -> None:
    assert typed("crowd", "new", "--users", "1")[0] == 0
    before = {file.name: file.read_bytes() for file in Path("new").iterdir()}
    for command in ("crowd", "people"):
        status, err = typed(command, "new")
        assert status == 1 and "is there already. Nothing was written. Choose a new folder" in err
    assert {file.name: file.read_bytes() for file in Path("new").iterdir()} == before
