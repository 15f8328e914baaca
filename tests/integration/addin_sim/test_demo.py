"""`make demo` and `make run` as a stranger sees them: the whole path, and nothing left behind."""

import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

DEMO = [sys.executable, "-m", "addin_sim.world.demo"]
pytestmark = pytest.mark.xdist_group("demo")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(tmp_path), "COLUMNS": "80"}


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


def test_everything_is_as_promised(environment: dict[str, str], tmp_path: Path) -> None:
    done = subprocess.run(DEMO, capture_output=True, text=True, timeout=180, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    for words in ("[ 1/14]", "[14/14]", "no-certificate", "personal-certificate", "All as promised", "Try next"):
        assert words in done.stdout
    assert max(map(len, done.stdout.split("Try next")[0].splitlines()[1:])) <= 80
    assert processes_of(tmp_path) == []
    for command in re.findall(r"^  (/\S+/ime-gateway .*)$", done.stdout, re.MULTILINE):
        tried = subprocess.run(command.split(), capture_output=True, text=True, timeout=60, check=False)
        assert tried.returncode == 0, f"{command}: {tried.stderr}"


def test_run_keeps_running_until_it_is_interrupted(environment: dict[str, str], tmp_path: Path) -> None:
    running = subprocess.Popen(
        [*DEMO, "--keep-running"], stdout=subprocess.PIPE, text=True, env={**environment, "PYTHONUNBUFFERED": "1"}
    )
    try:
        assert running.stdout is not None
        shown = ""
        for line in running.stdout:
            shown += line
            if "addin-sim send" in line and "Try next" in shown:
                break
        assert re.search(r"user +admin\n +password +\S+", shown), shown
        web = re.search(r"web pages +(http://\S+)/", shown)
        assert web is not None
        with urllib.request.urlopen(f"{web[1]}/healthz", timeout=10) as answer:
            assert answer.status == 200
        command = re.findall(r"^  (/\S+/addin-sim send .*)$", shown, re.MULTILINE)[0].split()
        assert subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0
        running.send_signal(signal.SIGINT)
        assert running.wait(60) == 0
        with pytest.raises(urllib.error.URLError):
            urllib.request.urlopen(f"{web[1]}/healthz", timeout=10)
        deadline = time.monotonic() + 20
        while left := processes_of(tmp_path):
            assert time.monotonic() < deadline, left
            time.sleep(0.1)
    finally:
        running.kill()
        running.wait()
        if running.stdout:
            running.stdout.close()


def test_without_openssl_the_package_is_named(environment: dict[str, str], tmp_path: Path) -> None:
    done = subprocess.run(
        DEMO, capture_output=True, text=True, timeout=60, env={**environment, "PATH": str(tmp_path)}, check=False
    )
    assert done.returncode == 1
    assert "apt-get install openssl" in done.stdout


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        ("stage.gateway.command = lambda *_: 'nothing'", "printed no one-time password"),
        ("proof.decrypt = lambda mail, key: demo.SECRET", "opens for"),
        ("demo.SECRET = b'Board meeting'", "stands in clear"),
        ("ime2_steps.SUBJECT = b'Encrypted message'", "the subject stands in clear"),
        (
            "ime2_steps._addin = lambda *_: {'not_after': '2036-11-22', 'challenges_answered': 0}",
            "did not answer the question",
        ),
    ],
)
def test_a_deviation_ends_the_demo(environment: dict[str, str], tmp_path: Path, broken: str, sentence: str) -> None:
    """Break one thing that the demo relies on: it says so, ends with 1 and leaves nothing running."""
    program = (
        "import sys\nfrom addin_sim.world import demo, ime2_steps, proof\n"
        "first = demo.STEPS[0]\n"
        f"def breaking(stage):\n    {broken}\n    first[1](stage)\n"
        "demo.STEPS = ((first[0], breaking), *demo.STEPS[1:])\nsys.exit(demo.main([]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=180, env=environment, check=False
    )
    assert done.returncode == 1, done.stdout
    assert "The demo failed" in done.stdout
    assert sentence in " ".join(done.stdout.split())
    assert processes_of(tmp_path) == []
