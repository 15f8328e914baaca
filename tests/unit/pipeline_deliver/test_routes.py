"""Where rows go, as a table."""

import pytest

from ime_gateway.pipeline.routes import route_of
from ime_gateway.ports.directory import SiteView
from ime_gateway.ports.queue import Origin
from ime_gateway.settings.site import ManagedDomain, PartnerDomain, Policy

VIEW = SiteView(
    generation=1,
    policy=Policy(),
    managed={
        "acme.example": ManagedDomain(name="acme.example", deliver_to="smtp://ex:25", return_to="smtp://ex:2525"),
        "plain.example": ManagedDomain(name="plain.example", deliver_to="smtp://plain:25"),
    },
    partners={
        "p.example": PartnerDomain(name="p.example", route="smtp://partner:25"),
        "mx.example": PartnerDomain(name="mx.example"),
        "*.wild.example": PartnerDomain(name="*.wild.example", route="smtp://wild:25"),
    },
)


@pytest.mark.parametrize(
    ("origin", "domain", "route"),
    [
        ("internal", "acme.example", "smtp://ex:2525"),
        ("internet", "acme.example", "smtp://ex:25"),
        ("internal", "plain.example", "smtp://plain:25"),
        ("internet", "plain.example", "smtp://plain:25"),
        ("internal", "p.example", "smtp://partner:25"),
        ("internal", "mx.example", "smtp://default:25"),
        ("internal", "a.b.wild.example", "smtp://wild:25"),
        ("internal", "elsewhere.example", "smtp://default:25"),
        ("internet", "p.example", None),
        ("internet", "a.wild.example", None),
        ("internet", "elsewhere.example", None),
        ("internet", "", None),
    ],
)
def test_route(origin: Origin, domain: str, route: str | None) -> None:
    assert route_of(VIEW, "smtp://default:25", origin, domain) == route
