"""An EWS double with two mailboxes, and Alice at its door."""

from collections.abc import Iterator

import pytest

from tests.servers.ews import EwsServer
from tests.servers.ews.soap_client import SoapClient

ALICE, BOB = "alice@acme.example", "bob@acme.example"


@pytest.fixture
def ews() -> Iterator[EwsServer]:
    with EwsServer([ALICE, BOB]) as server:
        yield server


@pytest.fixture
def alice(ews: EwsServer) -> Iterator[SoapClient]:
    with SoapClient(ews, ALICE) as client:
        yield client
