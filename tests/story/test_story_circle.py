"""Chapter 2 of `make demo` as a stranger sees it, and README.md's walk-through, whose lines are those it types."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from addin_sim.world.stage import demand
from tests.servers import samba_ad
from tests.story import circle, company
from tests.story.circle_lines import LINES
from tests.story.circle_steps import Scene

pytestmark = pytest.mark.xdist_group("samba")
ROOT = Path(__file__).parents[2]


def processes_of(folder: Path) -> list[str]:
    """Running processes whose environment or arguments name the folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue
        if str(folder).encode() in words:
            found.append(words.decode(errors="replace")[:200])
    return found


def test_chapter_two_is_as_promised(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path), "COLUMNS": "80", "FOUNDED_DOMAIN": str(samba_ad._founded())}
    done = subprocess.run(
        [sys.executable, "-m", "tests.story.circle"],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    for words in ("Added CN=_IME", "place 1 of the list", "451 4.7.1", "Exchange shows", "No deviation", "README.txt"):
        assert words in done.stdout
    typed = re.findall(r"^      \$ (.*)$", done.stdout, re.MULTILINE)
    assert [line for line in LINES if line not in typed] == []
    shown = [line for line in done.stdout.splitlines() if not line.startswith(("      $ ", "Its lines are typed"))]
    assert max(map(len, shown)) <= 80
    assert processes_of(tmp_path) == []


def test_readme_says_what_the_demo_types() -> None:
    section = (ROOT / "README.md").read_text().partition("## The whole circle, by hand\n")[2].partition("\n## ")[0]
    block = section.split("```")[1]
    assert [line.partition("  #")[0].partition(" # ")[0].strip() for line in block.strip().splitlines()] == list(LINES)


@pytest.mark.parametrize("error", [OSError("no room"), AssertionError("postfix does not answer")])
def test_a_server_that_does_not_start_ends_it(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    @contextmanager
    def failing(*_: object, **__: object) -> Iterator[None]:
        raise error
        yield

    assert played(monkeypatch, tmp_path, failing) == 1
    assert f"The demo failed: {error}" in capsys.readouterr().out


def test_a_deviation_ends_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    closed = []

    @contextmanager
    def opened(*_: object, **__: object) -> Iterator[object]:
        yield type("Company", (), {"ad": type("Ad", (), {"url": "ldaps://127.0.0.1"})})
        closed.append("regularly")

    def deviating(_: Scene) -> None:
        demand(False, "Bob cannot read [it]")

    def never(_: Scene) -> None:
        raise RuntimeError

    monkeypatch.setattr(circle, "STEPS", (("first", deviating), ("second", never)))
    assert played(monkeypatch, tmp_path, opened) == 1
    assert "The demo failed: Bob cannot read [it]" in capsys.readouterr().out


def played(monkeypatch: pytest.MonkeyPatch, folder: Path, opening: Callable[..., object]) -> int:
    """The program in this process, with another way of opening the company; the handlers of signals stay ours."""
    monkeypatch.setattr(circle, "open_company", opening)
    monkeypatch.setattr(circle.tempfile, "mkdtemp", lambda prefix: str(folder))
    monkeypatch.setattr(circle.signal, "signal", lambda *_: None)
    return circle.main()


@pytest.mark.parametrize("main", [circle.main, company.main])
def test_without_root_one_sentence_says_what_to_do(
    main: Callable[[], int | None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(sys, "argv", ["program"])
    try:
        status = main()
        said = capsys.readouterr().out
    except SystemExit as end:
        status, said = 1, str(end.code)
    assert status == 1
    assert "needs root. Nothing was started; type: sudo make" in " ".join(said.split())


def test_make_company_says_what_to_type_until_it_is_stopped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    handlers: dict[int, Callable[..., None]] = {}
    ends: list[str] = []

    class Servers:
        """All that the program asks of them."""

        url, web_port = "ldaps://127.77.0.1", 8080

        def __getattr__(self, name: str) -> "Servers":
            return self

        def flush(self) -> None:
            handlers[company.signal.SIGINT]()

    @contextmanager
    def opened(folder: Path) -> Iterator[Servers]:
        yield Servers()
        ends.append(str(folder))

    monkeypatch.setattr(company, "open_company", opened)
    monkeypatch.setattr(company.signal, "signal", handlers.__setitem__)
    monkeypatch.setattr(company, "_FLUSH_SECONDS", 0.01)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(sys, "argv", ["company", str(tmp_path / "new")])
    company.main()
    assert f"\n  cd {tmp_path / 'new'} && . ./environment\n" in capsys.readouterr().out
    assert ends == [str(tmp_path / "new")]
    monkeypatch.setattr(sys, "argv", ["company", str(tmp_path)])
    with pytest.raises(SystemExit, match=f"{tmp_path} is not empty; nothing was started"):
        company.main()
    (tmp_path / "file").touch()
    monkeypatch.setattr(sys, "argv", ["company", str(tmp_path / "file")])
    with pytest.raises(SystemExit, match="file cannot be made: File exists; nothing was started; name a new folder"):
        company.main()


@pytest.mark.parametrize(
    ("user", "has_packages", "said"),
    [("0", True, "chapter 1\n\nchapter 2\n"), ("0", False, "left out"), ("1000", True, "left out")],
)
def test_make_demo_shows_as_much_as_it_may(user: str, has_packages: bool, said: str, tmp_path: Path) -> None:
    """The recipe with stand-ins for Python, id and dpkg-query."""
    commands, environment = tmp_path / "bin", tmp_path / "venv"
    for folder in (commands, environment / "bin"):
        folder.mkdir(parents=True)
    known = "echo ok installed" if has_packages else ":"
    chapters = 'case "$2" in *circle) echo "chapter 2";; *) echo "chapter 1";; esac'
    for path, script in (
        (commands / "id", f"echo {user}"),
        (commands / "dpkg-query", f"case $* in *openssl*) echo ok installed;; *) {known};; esac"),
        (environment / "bin/python", chapters),
    ):
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
    (environment / ".ready").touch()
    done = subprocess.run(
        ["make", "--no-print-directory", "demo", "INSTALL=0", f"VENV={environment}"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("chapter 1\n")
    assert said in done.stdout
    assert ("chapter 2\n" in done.stdout) != ("left out" in done.stdout)


def test_make_demo_fails_with_its_second_chapter(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").write_text('#!/bin/sh\ncase "$2" in *circle) exit 1;; esac\n')
    (tmp_path / "bin/python").chmod(0o755)
    (tmp_path / ".ready").touch()
    done = subprocess.run(
        ["make", "demo", "INSTALL=0", f"VENV={tmp_path}"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode != 0
