"""Every way in which the two files can be wrong is named by file, line and key."""

from pathlib import Path

import pytest

from ime_gateway.base.errors import ConfigurationError
from ime_gateway.settings.load import WrongFileError, load_settings, load_site

GOOD = """\
[smtp]
hostname = "gw.acme.example"

[[listener]]
name = "internal"
role = "internal"
port = 2525
allow = ["127.0.0.0/8"]

[[listener]]
name = "inter-net"
role = "internet"
port = 2526
"""


def write(folder: Path, text: str, name: str = "gateway.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def problems(path: Path, environment: dict[str, str] | None = None) -> tuple[str, ...]:
    with pytest.raises(WrongFileError) as caught:
        load_settings(path, environment or {})
    assert isinstance(caught.value, ConfigurationError)
    return caught.value.problems


def test_paths_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listener = 'tls = "mandatory"\ncertificate = "tls/cert.pem"\nkey = "/etc/key.pem"\n'
    path = write(tmp_path, GOOD + listener)
    monkeypatch.chdir(tmp_path.parent)
    settings = load_settings(Path(tmp_path.name) / path.name, {})
    assert settings.store.url == f"sqlite:///{tmp_path}/gateway.db"
    assert settings.secrets.master_key_file == tmp_path / "master.key"
    assert settings.listener[1].certificate == tmp_path / "tls/cert.pem"
    assert settings.listener[1].key == Path("/etc/key.pem")


def test_absolute_sqlite_path_stays(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD + '[store]\nurl = "sqlite:////srv/mail.db"\n')
    assert load_settings(path, {}).store.url == "sqlite:////srv/mail.db"


def test_empty_path_means_none(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD + 'certificate = ""\nkey = ""\n')
    assert load_settings(path, {}).listener[1].certificate is None
    path = write(tmp_path, GOOD + 'certificate = ""\nkey = ""\ntls = "mandatory"\n')
    assert problems(path)[0].endswith('line 16: listener[2].tls: tls = "mandatory" needs certificate and key')


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (GOOD.replace("hostname", "hostnam"), 'line 2: smtp.hostnam: unknown key; did you mean "hostname"?'),
        (GOOD.replace("[smtp]", "[smpt]"), "line 1: smtp: is missing"),
        (GOOD.replace("2525", "99999"), "line 7: listener[1].port: should be less than or equal to 65535"),
        (GOOD.replace('"internet"', '"intranet"'), 'line 12: listener[2].role: must be "internal" or "internet"'),
        (GOOD.replace("127.0.0.0/8", "127.0.0.1/8"), "line 8: listener[1].allow[1]: must be a network such as"),
        (GOOD.replace('port = 2526\n', ""), "line 10: listener[2].port: is missing"),
        (GOOD + "[metrics]\naddress = 9464\n", "line 15: metrics.address: should be a valid string"),
        (GOOD + '[metrics]\naddress = "here"\n', "line 15: metrics.address: must be HOST:PORT"),
        (GOOD + '[store]\nurl = "mysql://x:secret@y"\n', "line 15: store.url: url must begin with"),
        (GOOD + 'tenant_ids = ["a"]\n', "line 14: listener[2].tenant_ids: tenant_ids is not available in this version"),
        (GOOD.replace("inter-net", "internal"), "two listeners are called 'internal'"),
        (GOOD.replace("[[listener]]", "[listener]", 1).partition("[[")[0], "line 4: listener: there can be several"),
        (GOOD + "port = 1\n", "line 14: not correct TOML: Cannot overwrite a value"),
        (GOOD + "x = [1,\n", "not correct TOML"),
        ("", "line 1: smtp: is missing"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path: Path, text: str, expected: str) -> None:
    path = write(tmp_path, text)
    found = problems(path)
    assert any(expected in problem for problem in found), found
    assert all(problem.startswith(str(path)) for problem in found)
    assert "secret" not in "".join(found)


def test_all_problems_are_told_in_the_order_of_lines(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD.replace("2526", '"x"').replace("hostname", "hosname").replace("2525", "-1"))
    lines = [int(problem.partition("line ")[2].partition(":")[0]) for problem in problems(path)]
    assert lines == sorted(lines)
    assert {2, 7, 13} <= set(lines)


def test_unreadable_files(tmp_path: Path) -> None:
    assert problems(tmp_path / "no.toml") == (f"{tmp_path}/no.toml: cannot be read: No such file or directory",)
    (tmp_path / "latin.toml").write_bytes(b"# ok\n# \xfc\n")
    assert "line 2: the file is not UTF-8" in problems(tmp_path / "latin.toml")[0]
    (tmp_path / "deep.toml").write_text("x = " + "[" * 100_000)
    assert "deep.toml" in problems(tmp_path / "deep.toml")[0]


def test_environment_overrides(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    environment = {
        "IMEGW_SMTP__WORKERS": "7",
        "IMEGW_LISTENER__internal__PORT": "0",
        "IMEGW_LISTENER__INTER_NET__PROXY_PROTOCOL": "true",
        "IMEGW_LISTENER__inter-net__ALLOW": "192.0.2.0/24, 10.1.0.0/16",
        "IMEGW_DELIVERY__RETRY_MINUTES": "[1, 2.5]",
        "IMEGW_STORE__URL": "sqlite:///other.db",
        "IMEGW_CONFIG": "/elsewhere",
        "IMEGW_TEST_POSTGRESQL": "x",
        "PATH": "/bin",
    }
    settings = load_settings(path, environment)
    assert settings.smtp.workers == 7
    assert settings.smtp.hostname == "gw.acme.example"
    assert settings.listener[0].port == 0
    assert settings.listener[1].proxy_protocol is True
    assert [str(network) for network in settings.listener[1].allow] == ["192.0.2.0/24", "10.1.0.0/16"]
    assert settings.delivery.retry_minutes == (1, 2.5)
    assert settings.store.url == f"sqlite:///{tmp_path}/other.db"


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("IMEGW_SMTP__WORKER", "1", "there is no such setting"),
        ("IMEGW_SMPT__WORKERS", "1", "there is no such setting"),
        ("IMEGW_SMTP__WORKERS__X", "1", "there is no such setting"),
        ("IMEGW_LISTENER__external__PORT", "1", "of a listener"),
        ("IMEGW_LISTENER__PORT", "1", "of a listener"),
        ("IMEGW_LISTENER__internal__PROT", "1", "there is no such setting"),
        ("IMEGW_LISTENER__internal__PORT", "smtp", "should be a valid integer"),
        ("IMEGW_SMTP__WORKERS", "0", "should be greater than or equal to 1"),
    ],
)
def test_wrong_environment_is_named(tmp_path: Path, variable: str, value: str, expected: str) -> None:
    (problem,) = problems(write(tmp_path, GOOD), {variable: value})
    assert problem.startswith(f"environment variable {variable}: ")
    assert expected in problem


def test_site_errors_name_the_line(tmp_path: Path) -> None:
    text = '[[managed_domain]]\nname = "acme.example"\ndeliver_to = "mx"\n\n[[managed_domain]]\nname = "b.example"\n'
    path = write(tmp_path, text + 'deliver_to = "smtp://h"\nsign_outgoing = "always"\nnmae = 1\n', "site.toml")
    with pytest.raises(WrongFileError) as caught:
        load_site(path)
    assert caught.value.problems == (f'{path}, line 9: managed_domain[2].nmae: unknown key; did you mean "name"?',)
    path.write_text(text + 'deliver_to = "smtp://h"\ndomain_pgp_key = "generate"\n')
    with pytest.raises(
        WrongFileError, match=r"line 8: managed_domain\[2\].domain_pgp_key: domain_pgp_key is not available"
    ):
        load_site(path)


def test_site_knows_its_places(tmp_path: Path) -> None:
    path = write(tmp_path, '[[root]]\n\nfile = "r.pem"\n', "site.toml")
    site = load_site(path)
    assert site.where("root", 0, "file") == f"{path}, line 3: root[1].file"
    assert site.beside(Path("r.pem")) == tmp_path / "r.pem"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            '[managed_domain]\nname = "a.example"\n',
            "line 1: managed_domain: there can be several: write [[managed_domain]]",
        ),
        ("[policy]\n\nportal = 'on'\n", "line 3: policy.portal: portal ="),
        ('[policy]\n[[pgp_key]]\nfile = "x"\n', "line 2: pgp_key: [[pgp_key]] is not available"),
    ],
)
def test_the_line_that_is_meant(tmp_path: Path, text: str, expected: str) -> None:
    path = write(tmp_path, text, "site.toml")
    with pytest.raises(WrongFileError) as caught:
        load_site(path)
    (problem,) = caught.value.problems
    assert expected in problem
