"""Desks over the real embedded store, at a moment of our choice, with a small PKI."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ime_gateway.admin.site_apply import SiteDesk
from ime_gateway.admin.site_file import read_site
from ime_gateway.admin.site_report import ApplyReport
from ime_gateway.ports.registry import Registry
from ime_gateway.settings.load import load_site
from ime_gateway.store.database import Store, open_store
from tests.migrated import place_migrated
from tests.pki import NOW, Entity, make_ca, make_user


class FixedClock:
    """A clock that stands until a test moves it."""

    def __init__(self) -> None:
        self.moment = NOW.timestamp()

    def now(self) -> float:
        return self.moment


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def store(tmp_path: Path, clock: FixedClock) -> Iterator[Store]:
    folder = tmp_path / "store"
    folder.mkdir()
    place_migrated(folder / "gateway.db", bytes(32))
    opened = open_store(f"sqlite:///{folder}/gateway.db", bytes(32), folder, clock, secrets.token_bytes)
    yield opened
    opened.close()


@pytest.fixture
def registry(store: Store) -> Registry:
    return store.registry


@dataclass(frozen=True)
class People:
    """One CA, people it knows, and one it does not know."""

    root: Entity
    anna: Entity
    bob: Entity
    stranger: Entity
    """Self-signed."""
    partner: Entity
    """The domain certificate of partner.example."""


@pytest.fixture(scope="session")
def people() -> People:
    root = make_ca("Desk Root")
    return People(
        root=root,
        anna=make_user("anna@acme.example", root),
        bob=make_user("bob@acme.example", root),
        stranger=make_user("stranger@acme.example"),
        partner=make_user("domain@partner.example", root),
    )


@dataclass
class SiteFolder:
    """A folder with a SITE.toml, and the desk that applies it."""

    folder: Path
    registry: Registry
    clock: FixedClock
    environment: dict[str, str]

    @property
    def path(self) -> Path:
        return self.folder / "site.toml"

    def apply(self, text: str, *, prune: bool = False, dry_run: bool = False) -> ApplyReport:
        self.path.write_text(text, encoding="utf-8")
        contents = read_site(load_site(self.path), Path.read_bytes, self.environment)
        desk = SiteDesk(self.registry, self.clock, secrets.token_bytes, "imepseudodomain.local")
        return desk.apply(contents, prune=prune, dry_run=dry_run, actor="test")

    def generation(self) -> int:
        with self.registry.transaction(write=False) as live:
            return live.view().generation


@pytest.fixture
def site(tmp_path: Path, registry: Registry, clock: FixedClock, people: People) -> SiteFolder:
    folder = tmp_path / "site"
    folder.mkdir()
    for name in ("root", "anna", "bob", "stranger", "partner"):
        (folder / f"{name}.pem").write_bytes(getattr(people, name).pem)
    return SiteFolder(folder, registry, clock, {})
