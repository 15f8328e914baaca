"""What the kit says of the certificate that Exchange will be shown, and of sizes that no connector takes."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from ime_gateway.admin.exchange_kit.facts import Wishes, gather
from ime_gateway.admin.exchange_kit.readiness import certificate_notes, listener_notes
from ime_gateway.settings.model import Listener, Settings, Smtp
from ime_gateway.settings.site import ManagedDomain, Policy
from tests.pki import DAY, NOW, make_ca, make_user

NAME = "gw.acme.example"
TLS = {"tls": "mandatory", "certificate": Path("c"), "key": Path("k")}
LISTENER = Listener(name="internal", role="internal", address="10.20.0.5", port=25, **TLS)  # type: ignore[arg-type]
MOMENT = NOW.timestamp()


def notes(names: Sequence[str], after: timedelta = DAY) -> list[str]:
    """Of a certificate for these host names that ends so long after now."""
    hosts = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
    shown = make_user("gw", make_ca(), san=False, extra=[(hosts, False)], not_after=NOW + after)
    return list(certificate_notes(LISTENER, NAME, shown.x509, MOMENT))


@pytest.mark.parametrize("name", [NAME, "GW.acme.example", "*.acme.example"])
def test_a_certificate_for_the_name_or_its_domain(name: str) -> None:
    assert notes(["other.example", name]) == []


@pytest.mark.parametrize("name", ["acme.example", "*.example", "*.gw.acme.example", "xgw.acme.example"])
def test_a_certificate_for_another_name(name: str) -> None:
    (note,) = notes([name])
    assert f"is not for {NAME}; Exchange checks that name and will refuse it" in note


def test_a_certificate_that_is_over() -> None:
    assert notes([NAME], timedelta(seconds=1)) == []
    (note,) = notes([NAME], timedelta(0))
    assert "is over since " in note and note.endswith("; Exchange will refuse it")


def test_a_certificate_that_nobody_else_signed() -> None:
    hosts = x509.SubjectAlternativeName([x509.DNSName(NAME)])
    own = make_user("gw", san=False, extra=[(hosts, False)])
    (note,) = certificate_notes(LISTENER, NAME, own.x509, MOMENT)
    assert "is signed by itself; put it into the Trusted Root store of every Exchange server" in note


@pytest.mark.parametrize(("allow", "told"), [(["127.0.0.0/8", "::1"], True), (["127.0.0.1", "10.0.0.0/8"], False)])
def test_a_listener_for_this_machine_alone(allow: list[str], told: bool) -> None:
    listener = Listener(name="internal", role="internal", address="10.20.0.5", port=25, allow=allow, **TLS)  # type: ignore[arg-type]
    assert any("takes mail from no other machine yet" in note for note in listener_notes(listener)) is told


@pytest.mark.parametrize(("largest", "told"), [(2_147_483_648, 2_147_483_647), (50_000_000, 50_000_000)])
def test_a_connector_takes_two_gigabytes_at_most(largest: int, told: int) -> None:
    settings = Settings(smtp=Smtp(hostname=NAME, max_message_bytes=largest), listener=(LISTENER,))
    managed = {"acme.example": ManagedDomain(name="acme.example", deliver_to="smtp://mail.acme.example:25")}
    assert gather(settings, managed, Policy(), Wishes(), None, MOMENT).max_bytes == told
