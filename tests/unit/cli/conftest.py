"""The command line run in this process, over installations made by the real `init`."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ime_gateway.app.cli.main import run
from tests.pki import Entity, make_ca, make_user


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Cli = Callable[..., Result]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setattr("sys.excepthook", lambda *_: None)  # run() sets its own; put back afterwards

    def call(*arguments: object) -> Result:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        code = ended.value.code
        return Result(code if isinstance(code, int) else 0 if code is None else 1, captured.out, captured.err)

    return call


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation as `init` leaves it; copied, never used."""
    folder = tmp_path_factory.mktemp("pristine") / "gw"
    with pytest.raises(SystemExit) as ended:
        run(["init", str(folder)])
    assert not ended.value.code
    return folder


@pytest.fixture
def config(pristine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The gateway.toml of an installation of the test's own; its addresses take any free port."""
    shutil.copytree(pristine, tmp_path / "gw")
    path = tmp_path / "gw" / "gateway.toml"
    text = path.read_text().replace("port = 2525", "port = 0").replace("port = 2526", "port = 0")
    text = text.replace('# admin = "127.0.0.1:8080"', 'admin = "127.0.0.1:0"')
    text = text.replace('# portal = "127.0.0.1:8081"', 'portal = "127.0.0.1:0"')
    path.write_text(text.replace('# address = "127.0.0.1:9464"', 'address = "127.0.0.1:0"'))
    monkeypatch.chdir(tmp_path)
    return path


@pytest.fixture(scope="session")
def root() -> Entity:
    return make_ca("Command Root")


@pytest.fixture(scope="session")
def anna(root: Entity) -> Entity:
    return make_user("anna@acme.example", root)


@pytest.fixture
def site(tmp_path: Path, root: Entity, anna: Entity) -> Path:
    """A SITE.toml with one domain, one root, one person."""
    root.write(tmp_path, "root")
    anna.write(tmp_path, "anna")
    path = tmp_path / "site.toml"
    path.write_text(
        '[[managed_domain]]\nname = "acme.example"\ndeliver_to = "smtp://127.0.0.1:9"\n'
        '[[certificate]]\nfile = "anna.pem"\n[[root]]\nfile = "root.pem"\n'
    )
    return path
