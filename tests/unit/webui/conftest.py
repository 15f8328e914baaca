"""The site over a registry in memory, with a fast password hash: what each page test starts from."""

from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from tests.doubles.admin_site import AdminSite


@pytest.fixture
def site() -> Iterator[AdminSite]:
    yield AdminSite()


@pytest.fixture
def visitor(site: AdminSite) -> FlaskClient:
    """A browser that never logged in."""
    return site.app.test_client()


@pytest.fixture
def admin(site: AdminSite) -> FlaskClient:
    """A browser in which the administrator is logged in with a password of her own."""
    return site.logged_in()
