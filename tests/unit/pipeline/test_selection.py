"""Which certificates are candidates: by address, by hand, by domain, inherited from `*.x`."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ime_gateway.mail.address import parse_path
from ime_gateway.pipeline.selection import chosen_by_hand, domain_certificates, select
from ime_gateway.ports.directory import SiteView
from ime_gateway.settings.inheritance import recipient_settings
from ime_gateway.settings.site import AddressSettings, ManagedDomain, PartnerDomain, Policy
from tests.core import Core, close, make_core
from tests.outgoing_setup import faulty

OWN, OTHER = faulty("kim@x.example", "").certificate, faulty("other@x.example", "").certificate
DOMAIN, WILD = faulty("domain@x.example", "").certificate, faulty("domain@wild.example", "").certificate
GONE = "sha256:" + "0" * 64


def view(**tables: Any) -> SiteView:
    partners = {"x.example": PartnerDomain(name="x.example"), "*.example": PartnerDomain(name="*.example")}
    certificates = {"x.example": (DOMAIN,), "*.example": (WILD,)}
    found = {"partners": partners, "domain_certificates": certificates, **tables}
    return SiteView(generation=1, policy=Policy(), managed={}, **found)


def selected(address: str, settings: AddressSettings | None, **tables: Any) -> Any:
    seen = view(addresses={address: settings} if settings else {}, **tables)
    found = recipient_settings(seen.policy, seen.partners, seen.addresses, address)
    named = {one.thumbprint: one for one in (OWN, OTHER) if one.thumbprint in chosen_by_hand([found])}
    return select(parse_path(address), found, seen, (OWN,), named)


def test_automatic_takes_the_address_and_its_domain() -> None:
    found = selected("kim@x.example", None)
    assert (found.personal, found.domain, found.missing) == ((OWN,), (DOMAIN,), ())
    assert (found.selected_by, found.domain_selected_by) == ("automatic", "domain")


def test_domain_takes_the_domain_only() -> None:
    found = selected("kim@x.example", AddressSettings(address="kim@x.example", selection="domain"))
    assert (found.personal, found.domain) == ((), (DOMAIN,))


def test_by_hand_takes_nothing_else_and_keeps_the_order() -> None:
    use = (OTHER.thumbprint, GONE, DOMAIN.thumbprint, OWN.thumbprint)
    found = selected("kim@x.example", AddressSettings(address="kim@x.example", selection="manual", use=use))
    assert (found.personal, found.domain, found.missing) == ([OTHER, OWN], [DOMAIN], (GONE,))
    assert (found.selected_by, found.domain_selected_by) == ("manual", "manual")


def test_nothing_is_looked_up_by_hand_unless_it_is_chosen() -> None:
    settings = recipient_settings(Policy(), {}, {}, "kim@x.example")
    assert chosen_by_hand([settings]) == []


@pytest.mark.parametrize(
    ("domain", "tables", "expected"),
    [
        ("x.example", {}, ((DOMAIN,), False)),
        ("sub.x.example", {}, ((WILD,), True)),
        ("x.example", {"domain_certificates": {"*.example": (WILD,)}}, ((WILD,), True)),
        ("x.example", {"domain_certificates": {}}, ((), False)),
        ("example", {}, ((), False)),
        ("x.other", {}, ((), False)),
    ],
)
def test_a_domain_without_certificates_inherits_them(domain: str, tables: Any, expected: Any) -> None:
    assert domain_certificates(view(**tables), domain) == expected


def test_a_managed_domain_inherits_from_no_partner() -> None:
    seen = view()
    ours = {"x.example": ManagedDomain(name="x.example", deliver_to="smtp://a:25")}
    seen = replace(seen, managed=ours, domain_certificates={"*.example": (WILD,)})
    assert domain_certificates(seen, "x.example") == ((), False)


@pytest.fixture
def core(tmp_path: Path) -> Iterator[Core]:
    made = make_core(tmp_path)
    yield made
    close(made)


def test_certificates_by_name_follow_every_change(core: Core) -> None:
    """Kept for one generation of live data: what was removed is not used for another mail."""

    def ask() -> Any:
        async def go() -> Any:
            seen = await core.store.directory.view()
            return await core.store.directory.named(seen, [OTHER.thumbprint, GONE])

        return core.run(go())

    assert ask() == {}
    core.configure(lambda live: live.put_certificate(OTHER, ("somebody@y.example",), None))
    assert ask() == {OTHER.thumbprint: OTHER}
    core.configure(lambda live: live.delete_certificate(OTHER.thumbprint))
    assert ask() == {}
