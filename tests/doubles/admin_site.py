"""The administrators' site over doubles: a registry in memory, a clock that tests move, a fast password hash.

Only the cost of argon2 is lowered; the code that decides is the real one.
"""

import re
import secrets
from dataclasses import dataclass, field
from typing import Any

from argon2 import PasswordHasher
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from ime_gateway.admin.accounts import Accounts
from ime_gateway.admin.desks import Desks
from ime_gateway.admin.health import HealthReport
from ime_gateway.admin.ime_desk import ImeDesk
from ime_gateway.admin.key_desk import KeyDesk
from ime_gateway.admin.overview_desk import OverviewDesk
from ime_gateway.admin.queue_desk import QueueDesk
from ime_gateway.admin.signer_desk import SignerDesk
from ime_gateway.admin.track_desk import TrackDesk
from ime_gateway.ports.registry import Registry
from tests.doubles.memory_registry import MemoryRegistry
from webui.application import create_app

FAST = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
PASSWORD = "orbit lantern 42 mosaic"
HEALTHY = HealthReport("ok", {"store": "ok", "listeners": "ok"}, {"internal": 2525, "internet": 2526})


@dataclass
class MovableClock:
    """`Clock` whose hands a test moves."""

    moment: float = 1_800_000_000.0

    def now(self) -> float:
        return self.moment


def fast_desks(registry: Registry, clock: MovableClock) -> Desks:
    """Desks as the roof opens them, with a password hash that costs nothing."""
    return Desks(
        accounts=Accounts(registry, secrets.token_bytes, FAST),
        overview=OverviewDesk(registry, clock),
        queue=QueueDesk(registry),
        tracking=TrackDesk(registry),
        keys=KeyDesk(registry, clock),
        ime=ImeDesk(registry, clock, secrets.token_bytes),
        signers=SignerDesk(registry, clock),
        clock=clock,
    )


@dataclass
class AdminSite:
    """One installation of the site with the account `ada`, whose password is still the one-time one."""

    behind_tls: bool = False
    clock: MovableClock = field(default_factory=MovableClock)
    registry: Any = field(default_factory=MemoryRegistry)
    report: HealthReport = HEALTHY
    app: Flask = field(init=False)
    one_time_password: str = field(init=False)

    def __post_init__(self) -> None:
        desks = fast_desks(self.registry, self.clock)
        self.accounts = desks.accounts
        self.one_time_password = self.accounts.create("ada")
        self.app = create_app(
            desks, lambda: self.report, behind_tls=self.behind_tls, secret_key=bytes(range(32)), now=self.clock.now
        )

    @property
    def base_url(self) -> str:
        return "https://gw.acme.example" if self.behind_tls else "http://localhost"

    def client(self) -> FlaskClient:
        return self.app.test_client()

    def choose_password(self) -> None:
        """Give `ada` the password PASSWORD, as the forced page would."""
        self.accounts.change_password("ada", None, PASSWORD)

    def logged_in(self) -> FlaskClient:
        """A client with a session of `ada`, whose password is PASSWORD."""
        self.choose_password()
        client = self.client()
        assert self.login(client, "ada", PASSWORD).status_code == 303
        return client

    def login(self, client: FlaskClient, name: str, password: str, **more: object) -> TestResponse:
        return self.post(client, "/login", {"name": name, "password": password}, form="/login", **more)

    def post(
        self, client: FlaskClient, path: str, fields: dict[str, str], *, form: str, **more: object
    ) -> TestResponse:
        """Fill in the form on page `form` and send it to `path`."""
        data = fields | {"csrf_token": self.csrf_token(client, form)}
        return client.post(path, data=data, base_url=self.base_url, **more)

    def csrf_token(self, client: FlaskClient, path: str) -> str:
        page = client.get(path, base_url=self.base_url)
        found = re.search(r'name="csrf_token" value="([^"]+)"', page.text)
        assert found, page.text
        return found[1]
