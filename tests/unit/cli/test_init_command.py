"""`init`: a complete installation, or nothing."""

import re
import secrets
import stat
from pathlib import Path

import pytest

from ime_gateway.admin.accounts import Accounts
from ime_gateway.app.installation import open_installation
from ime_gateway.settings.load import load_settings


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_it_makes_everything_and_says_what_comes_next(cli, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "gw"
    result = cli("init", folder)
    assert result.status == 0, result.err
    assert "Administrator: admin\n" in result.out
    password = re.search(r"^One-time password: ([0-9a-z-]{19,})$", result.out, re.MULTILINE)
    assert password
    config = folder / "gateway.toml"
    commands = re.findall(r"^  ime-gateway (\w+)", result.out, re.MULTILINE)
    assert len(commands) == 3 and set(commands) == {"apply", "check", "serve"}
    assert result.out.count(f"-c {config}") == 3
    assert mode(folder / "master.key") == 0o600 and mode(config) == 0o600 and mode(folder) == 0o700
    with open_installation(config) as installation:
        installation.require_current_schema()
        stored = installation.store.registry.admin("admin")
        assert stored and stored.must_change and stored.password_hash.startswith("$argon2id$")
        assert password.group(1) not in stored.password_hash
        account = Accounts(installation.store.registry, bytes).login("admin", password.group(1))
        assert account and account.must_change


def test_two_installations_share_no_secret(cli, tmp_path: Path) -> None:
    one, two = cli("init", tmp_path / "one").out, cli("init", tmp_path / "two").out
    assert (tmp_path / "one/master.key").read_bytes() != (tmp_path / "two/master.key").read_bytes()
    assert one.split("password: ")[1][:19] != two.split("password: ")[1][:19]


def test_an_empty_folder_is_fine_a_full_one_is_not(cli, tmp_path: Path) -> None:
    folder = tmp_path / "gw"
    folder.mkdir()
    assert cli("init", folder).status == 0
    before = sorted((path, path.read_bytes()) for path in folder.rglob("*") if path.is_file())
    result = cli("init", folder)
    assert (result.status, result.err) == (1, f"ime-gateway: {folder} is not empty; choose a new folder\n")
    assert sorted((path, path.read_bytes()) for path in folder.rglob("*") if path.is_file()) == before


def test_a_file_in_the_way(cli, tmp_path: Path) -> None:
    (tmp_path / "gw").write_text("x")
    result = cli("init", tmp_path / "gw")
    assert result.status == 1 and "cannot be used" in result.err
    assert (tmp_path / "gw").read_text() == "x"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://root:hunter2@db/x", "must begin with"),
        ("postgresql+psycopg://gw:hunter2@127.0.0.1:9/gw", "reached"),
        ("sqlite:////nonexistent/folder/x.db", ""),
    ],
)
def test_when_it_fails_nothing_is_left(cli, tmp_path: Path, url: str, said: str) -> None:
    result = cli("init", tmp_path / "gw", "--store", url)
    assert result.status == 1
    assert said in result.err and result.err.startswith("ime-gateway: ") and "Traceback" not in result.err
    assert "hunter2" not in result.out + result.err
    assert not (tmp_path / "gw").exists()
    assert cli("init", tmp_path / "gw").status == 0


def test_another_sqlite_file(cli, tmp_path: Path) -> None:
    assert cli("init", tmp_path / "gw", "--store", "sqlite:///mail.db").status == 0
    assert (tmp_path / "gw/mail.db").is_file()
    assert load_settings(tmp_path / "gw/gateway.toml", {}).store.url == f"sqlite:///{tmp_path}/gw/mail.db"


def test_a_database_that_has_its_installation_is_left_alone(cli, tmp_path: Path) -> None:
    assert cli("init", tmp_path / "one").status == 0
    result = cli("init", tmp_path / "two", "--store", f"sqlite:///{tmp_path}/one/gateway.db")
    assert result.status == 1 and not (tmp_path / "two").exists()
    assert "belongs to an installation already" in result.err
    assert cli("check", "-c", tmp_path / "one/gateway.toml", "--json").json["findings"]
    with open_installation(tmp_path / "one/gateway.toml") as installation:
        installation.store.registry.check_write()


def test_administrators(cli, config: Path) -> None:
    assert cli("admin", "list", "--json", "-c", config).json == [{"name": "admin", "must_change": True}]
    new = cli("admin", "reset", "Admin", "-c", config)
    added = cli("admin", "add", "ada", "-c", config)
    with open_installation(config) as installation:
        accounts = Accounts(installation.store.registry, secrets.token_bytes)
        for name, result in (("admin", new), ("ada", added)):
            found = re.fullmatch(r"One-time password: (\S+)\n", result.out)
            assert result.status == 0 and found
            account = accounts.login(name, found[1])
            assert account is not None and account.must_change
    assert "ada" in cli("admin", "list", "-c", config).out
    assert cli("admin", "add", "ada", "-c", config).status == 1
    assert cli("admin", "reset", "nobody", "-c", config).err == "ime-gateway: There is no account called nobody.\n"
