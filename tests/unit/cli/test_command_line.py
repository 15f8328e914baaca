"""What holds for every command: where -c may stand, exit statuses, sentences instead of tracebacks."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from ime_gateway.app.cli.main import build
from ime_gateway.app.cli.show import as_table, safe

PROGRAM = [sys.executable, "-c", "from ime_gateway.app.cli.main import run; run()"]
COMMANDS = {
    "init", "check", "apply", "export", "serve", "upgrade", "explain", "track", "doctor",
    "queue list", "queue show", "queue retry", "queue drop", "queue hold", "queue release",
    "cert list", "cert show", "cert import", "cert delete", "cert check", "cert candidates", "cert approve",
    "cert reject", "cert issue", "cert request", "cert requests", "cert forget-request", "cert install", "cert export",
    "cert renew", "cert revoke",
    "ca init", "ca list", "ca show", "ca export", "ca take-offline", "ca bring-back", "ca crl", "ca renew",
    "trust list", "trust allow", "trust deny", "trust remove", "trust show", "trust verify",
    "domain list", "domain show", "domain remove", "domain add", "domain set", "domain unset",
    "domain key generate", "domain key import", "domain key export", "domain key show", "domain key rollover",
    "domain key retire", "domain announce", "domain test",
    "ime issue", "ime show", "ime rotate", "ime export-contact",
    "ime signers list", "ime signers approve", "ime signers revoke",
    "admin list", "admin add", "admin reset", "exchange-kit",
}  # fmt: skip


def leaves() -> dict[str, typer.core.TyperCommand]:
    found = {}

    def walk(command, words: tuple[str, ...]) -> None:
        if hasattr(command, "commands"):
            for name, inner in command.commands.items():
                walk(inner, (*words, name))
        else:
            found[" ".join(words)] = command

    walk(typer.main.get_command(build()), ())
    return found


def test_the_commands_of_the_design() -> None:
    assert set(leaves()) == COMMANDS


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_options_of_the_design(name: str) -> None:
    command = leaves()[name]
    options = {option for parameter in command.params for option in parameter.opts}
    assert ({"-c", "--config"} <= options) == (name != "init")
    # The contract names those that must have it; what makes or proves something may tell programs, too.
    assert "--json" in options or name.split()[-1] not in ("list", "show", "explain", "track", "check", "doctor")
    assert command.help and all(getattr(p, "help", None) or p.param_type_name == "argument" or p.name == "password_file"
                                for p in command.params), name  # fmt: skip


@pytest.mark.parametrize("place", ["before", "after", "both", "environment", "here"])
def test_where_the_configuration_is_named(cli, config: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    match place:
        case "before":
            result = cli("-c", config, "domain", "list", "--json")
        case "after":
            result = cli("domain", "list", "--json", "--config", config)
        case "both":
            result = cli("-c", "nowhere.toml", "domain", "list", "-c", config, "--json")
        case "environment":
            monkeypatch.setenv("IMEGW_CONFIG", str(config))
            result = cli("domain", "list", "--json")
        case _:
            monkeypatch.chdir(config.parent)
            result = cli("domain", "list", "--json")
    assert (result.status, result.json, result.err) == (0, [], "")


def test_the_option_beats_the_environment(cli, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMEGW_CONFIG", "nowhere.toml")
    assert cli("-c", config, "domain", "list").status == 0
    assert "nowhere.toml: cannot be read" in cli("domain", "list").err


def test_no_configuration(cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = cli("queue", "list")
    assert result.status == 1
    assert "-c FILE" in result.err and "ime-gateway init" in result.err and result.err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("frobnicate",),
        ("queue", "frobnicate"),
        ("check", "--frobnicate"),
        ("apply",),
        ("explain", "x.eml", "--listener", "internal", "--from", "a@b.example"),
        ("serve", "--workers", "0"),
        ("serve", "--workers", "many"),
        ("queue", "drop"),
        ("queue", "hold"),
        ("init",),
    ],
)
def test_wrong_usage(cli, arguments: tuple[str, ...]) -> None:
    result = cli(*arguments)
    assert result.status == 2 and result.out == "" and "Usage" in result.err


def test_a_wrong_configuration_stops_every_command(cli, config: Path, site: Path) -> None:
    config.write_text(config.read_text().replace("port = 0", "prot = 0", 1))
    mail = config.parent / "x.eml"
    mail.write_bytes(b"Subject: x\n\n")
    explain = ("explain", mail, "--listener", "internal", "--from", "a@b.example", "--to", "c@d.example")
    commands = [
        ("apply", site),
        ("export",),
        ("queue", "list"),
        ("track",),
        ("cert", "list"),
        ("trust", "list"),
        ("domain", "list"),
        ("doctor",),
        explain,
        ("serve",),
    ]
    for command in commands:
        result = cli(*command, "-c", config)
        assert result.status == 1 and "prot: unknown key" in result.err and "line " in result.err, command
        assert "Traceback" not in result.err


def test_unexpected_errors_have_words_and_a_file(tmp_path: Path) -> None:
    broken = (
        "import ime_gateway.app.cli.check as c\ndef f(*_): raise ZeroDivisionError('inner words')\nc.preflight = f\n"
    )
    program = broken + "from ime_gateway.app.cli.main import run\nrun(['-c', 'x', 'check'])\n"
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr and ended.stderr.count("\n") == 1 and "ZeroDivisionError" in ended.stderr
    (details,) = tmp_path.glob("ime-gateway-error-*.txt")
    assert str(details) in ended.stderr
    assert "inner words" in details.read_text() and stat.S_IMODE(details.stat().st_mode) == 0o600


def test_the_program_itself(config: Path) -> None:
    ended = subprocess.run([*PROGRAM, "cert", "list", "--json", "-c", config], capture_output=True, text=True)
    assert (ended.returncode, json.loads(ended.stdout), ended.stderr) == (0, [], "")
    refused = subprocess.run([*PROGRAM, "cert", "show", "0123456789ab", "-c", config], capture_output=True, text=True)
    assert refused.returncode == 1 and refused.stderr.startswith("ime-gateway: ") and refused.stdout == ""
    version = subprocess.run([*PROGRAM, "--version"], capture_output=True, text=True)
    assert version.returncode == 0 and version.stdout.startswith("ime-gateway 0.")


def test_all_commands_are_listed() -> None:
    root = typer.main.get_command(build())
    assert root.list_commands(None) == list(root.commands)


def test_a_misspelt_command_is_guessed(cli) -> None:
    assert "Did you mean 'domain'" in cli("domian").err


def test_a_command_waits_only_for_what_it_needs(config: Path) -> None:
    program = (
        "import sys\nfrom ime_gateway.app.cli.main import run\ntry:\n    run()\n"
        "finally:\n    print(*sys.modules, file=sys.stderr)\n"
    )
    command = [sys.executable, "-c", program, "queue", "list", "-c", config]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    loaded = ended.stderr.split()
    assert "ime_gateway.app.cli.queue" in loaded
    for needless in ("alembic", "psycopg", "numpy", "flask", "structlog", "webui", "ime_gateway.pipeline"):
        assert needless not in loaded


def test_strangers_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "a\x1b[2Jb\x07\r\u202ec [bold]d[/bold]\x9b"
    as_table(("x",), [(hostile,)], empty="")
    out = capsys.readouterr().out
    assert not set("\x1b\x07\r\u202e\x9b") & set(out)
    assert "[bold]d[/bold]" in out
    assert safe("plain ünï") == "plain ünï"


def test_a_row_is_one_line_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    as_table(("x", "y"), [("a" * 300, "b" * 300)], empty="")
    assert f"{'a' * 300}   {'b' * 300}" in capsys.readouterr().out


def test_a_narrow_terminal_folds_no_address_and_no_reason(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")  # no colours, and 80 columns
    address, thumbprint = "elisabeth.ackermann@subsidiary.partner.example", "sha256:" + "f" * 64
    rows = [(address, "smime-personal", "certificate-untrusted", "a sentence " * 12, thumbprint)]
    headings = ("recipient", "protection", "reason", "detail", "thumbprint")
    as_table(headings, rows, empty="", prose=2)
    lines = capsys.readouterr().out.splitlines()
    assert lines[2] == f"{address}   smime-personal   certificate-untrusted"
    assert lines[3].startswith("   detail: a sentence") and all(len(line) <= 80 for line in lines[3:-1])
    assert lines[-1] == f"   thumbprint: {thumbprint}", "whole, to be copied, though it is wider"
    as_table(headings, [("a@b.example", "none", "not-required", "", "")], empty="", prose=2)
    assert capsys.readouterr().out.splitlines()[0].split() == list(headings), "wide enough: an ordinary table"


def test_several_errors_stand_on_lines_of_their_own(cli, config: Path) -> None:
    config.write_text(config.read_text().replace("port = 0", "prot = 0").replace("[smtp]", "[smtp]\nworker = 1"))
    result = cli("domain", "list", "-c", config)
    lines = result.err.splitlines()
    assert result.status == 1 and len(lines) > 2 and "\ufffd" not in result.err
    assert all(", line " in line for line in lines)


@pytest.mark.parametrize("command", [("--help",), ("cert", "list", "--json"), ("check",)])
def test_nobody_reads_to_the_end(config: Path, command: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as closed:
        buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
        ended = subprocess.run(
            [*PROGRAM, *command], stdout=closed, stderr=subprocess.PIPE, cwd=config.parent, env=buffered
        )
    assert ended.stderr == b""


def test_help_shows_the_names_of_tables(cli) -> None:
    assert "[smtp]" in cli("serve", "--help").out
