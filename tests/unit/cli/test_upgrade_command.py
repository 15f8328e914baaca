"""A database of version 1: serve and `upgrade` bring it up, other commands say so, a newer one is left alone."""

import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from ime_gateway.store.schema import metadata
from tests.servers.gateway import COMMANDS, Gateway, free_port

FIRST_TABLES = {
    *("meta", "parcels", "bodies", "body_chunks", "envelopes", "queue_rows", "events", "failures", "held_evidence"),
    *("next_hop_sizes", "site", "domains", "domain_certificates", "certificates", "certificate_addresses", "roots"),
    *("trust", "admins", "audit"),
}


def made_by_version_1(config: Path) -> None:
    """Later versions only added tables."""
    with closing(sqlite3.connect(config.parent / "gateway.db")) as database, database:
        for table in metadata.tables.keys() - FIRST_TABLES:
            database.execute(f"DROP TABLE {table}")
        database.execute("UPDATE alembic_version SET version_num = '0001'")


def version(config: Path) -> str:
    with closing(sqlite3.connect(config.parent / "gateway.db")) as database:
        return str(database.execute("SELECT version_num FROM alembic_version").fetchone()[0])


def test_commands_on_an_old_database_say_what_to_do(cli, config: Path, site: Path) -> None:
    made_by_version_1(config)
    for command in (
        ("apply", site), ("export",), ("doctor",), ("domain", "remove", "acme.example"), ("admin", "list"),
        ("domain", "list"), ("domain", "show", "acme.example"), ("cert", "list"), ("trust", "list"), ("queue", "list"),
        ("ime", "show", "acme.example"), ("ime", "signers", "list"),
    ):  # fmt: skip
        result = cli(*command, "-c", config)
        assert result.status == 1, command
        assert "schema 0001, needed 0003" in result.err
        assert "ime-gateway serve" in result.err and "ime-gateway upgrade" in result.err
    assert version(config) == "0001"


def test_check_warns_of_an_old_database_and_goes_on(cli, config: Path) -> None:
    made_by_version_1(config)
    result = cli("check", "--json", "-c", config)
    (finding,) = [one for one in result.json["findings"] if one["key"] == "store.url"]
    assert finding["level"] == "warning"
    assert "serve" in finding["message"]
    assert result.status == 0


def test_upgrade_brings_it_up_once(cli, config: Path, site: Path) -> None:
    made_by_version_1(config)
    result = cli("upgrade", "-c", config)
    assert (result.status, version(config)) == (0, "0003")
    assert "0001 to 0003" in result.out
    again = cli("upgrade", "-c", config)
    assert again.status == 0
    assert "nothing to do" in again.out
    assert cli("apply", site, "-c", config).status == 0


@pytest.mark.parametrize("command", [("upgrade",), ("serve",), ("apply", "site.toml"), ("check",)])
def test_a_newer_database_is_left_alone(cli, config: Path, site: Path, command: tuple[str, ...]) -> None:
    with closing(sqlite3.connect(config.parent / "gateway.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '0077'")
    result = cli(*command, "-c", config)
    assert result.status == 1
    assert "newer version" in result.out + result.err
    assert version(config) == "0077"


def test_the_help_says_that_there_is_no_way_back(cli) -> None:
    text = " ".join(cli("upgrade", "--help").out.replace("│", " ").split())
    assert "Upgrade every node before you apply anything new" in text
    assert "no way back but a copy of database and spool folder" in text


def test_upgrade_wants_an_installation(cli, config: Path) -> None:
    (config.parent / "gateway.db").unlink()
    with closing(sqlite3.connect(config.parent / "gateway.db")) as database:
        database.execute("VACUUM")
    result = cli("upgrade", "-c", config)
    assert result.status == 1
    assert "no schema" in result.err


def test_serve_upgrades_and_upgrade_keeps_off_while_it_runs(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    gateway.configure(next_hop=free_port(), workers=1)
    made_by_version_1(gateway.config)
    gateway.start()
    try:
        assert version(gateway.config) == "0003"
        done = subprocess.run(
            [str(COMMANDS / "ime-gateway"), "upgrade", "-c", str(gateway.config)],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 1
        assert "already served by process" in done.stderr and "stop it first" in done.stderr
    finally:
        gateway.stop()
