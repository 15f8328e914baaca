"""The two domain controllers of the real AD tests: started once; each module leaves them empty."""

from collections.abc import Iterator

import pytest

from tests.servers.samba_ad import SambaAd


@pytest.fixture(scope="session")
def with_exchange() -> Iterator[SambaAd]:
    """Active Directory whose schema has Exchange's attributes."""
    with SambaAd(exchange=True) as ad:
        yield ad


@pytest.fixture(scope="session")
def without_exchange() -> Iterator[SambaAd]:
    """Active Directory as it is installed."""
    with SambaAd(exchange=False) as ad:
        yield ad
