import ipaddress

import pytest

from ime_gateway.mail.address import Address, parse_path
from ime_gateway.ports.reception import RelayFacts, Role
from ime_gateway.smtp.relay_permission import certificate_refusal, may_connect, may_relay

FACTS = RelayFacts(
    lambda domain: domain in {"acme.example", "b.acme.example"},
    frozenset({"ime@imepseudodomain.local"}),
    frozenset({"ime.acme.example"}),
)
IME, OURS, FOREIGN = "IME@imepseudodomain.local", "b@acme.example", "x@partner.example"
LISTED = ("Scanner@third.example", "@crm.example")


def ask(role: Role, sender: str, recipient: str) -> str:
    refused = may_relay(role, parse_path(sender) if sender else None, parse_path(recipient), FACTS, LISTED)
    if refused is None:
        return "yes"
    assert refused.address == str(parse_path(recipient))
    assert not refused.temporary
    return refused.reason.value


@pytest.mark.parametrize(
    ("role", "sender", "to_ime", "to_ours", "to_foreign"),
    [
        ("internal", "a@acme.example", "yes", "yes", "yes"),
        ("internal", "", "sender-not-managed", "yes", "yes"),
        ("internal", "scanner@third.example", "sender-not-managed", "yes", "yes"),
        ("internal", "anybody@crm.example", "sender-not-managed", "yes", "yes"),
        ("internal", "a@third.example", *["sender-not-managed"] * 3),
        ("internal", "a@sub.crm.example", *["sender-not-managed"] * 3),
        ("internal", "a@sub.acme.example", *["sender-not-managed"] * 3),
        ("internet", "a@acme.example", "relay-denied", "yes", "relay-denied"),
        ("internet", "", "relay-denied", "yes", "relay-denied"),
        ("internet", "scanner@third.example", "relay-denied", "yes", "relay-denied"),
        ("internet", "a@third.example", "relay-denied", "yes", "relay-denied"),
    ],
)
def test_the_table(role: Role, sender: str, to_ime: str, to_ours: str, to_foreign: str) -> None:
    assert [ask(role, sender, recipient) for recipient in (IME, OURS, FOREIGN)] == [to_ime, to_ours, to_foreign]
    for local in ("domain-confidentiality-authority", "TopSecret"):  # IME 2.0: any local part at an IME domain
        assert ask(role, sender, f"{local}@IME.acme.example") == to_ime


def test_tricks_of_the_local_part_buy_nothing() -> None:
    for recipient in (
        "x%acme.example@partner.example",
        "acme.example!x@partner.example",
        '"b@acme.example"@partner.example',
    ):
        assert ask("internet", "a@third.example", recipient) == "relay-denied"
    assert ask("internet", "a@third.example", "x%partner.example@acme.example") == "yes"


def test_an_ime_address_in_a_managed_domain_is_still_the_ime_address() -> None:
    facts = RelayFacts(FACTS.is_managed, frozenset({"ime@acme.example"}))
    refused = may_relay("internet", None, Address("ime", "acme.example"), facts, ())
    assert refused is not None
    assert refused.reason == "relay-denied"


def test_who_may_connect() -> None:
    networks = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("2001:db8::/32"))
    assert may_connect("internal", networks, "127.3.2.1")
    assert may_connect("internal", networks, "::ffff:127.0.0.1")
    assert may_connect("internet", networks, "2001:db8::1")
    assert not may_connect("internal", networks, "128.0.0.1")
    assert not may_connect("internet", networks, "2001:db9::1")
    assert not may_connect("internal", networks, "fe80::1%eth0")
    assert not may_connect("internal", (), "127.0.0.1")
    assert may_connect("internet", (), "198.51.100.1")


def test_client_certificates() -> None:
    assert certificate_refusal((), ()) is None
    assert certificate_refusal(("Mail.acme.example",), ("other", "mail.ACME.example")) is None
    for presented in ((), ("evil.example",), ("sub.mail.acme.example",)):
        assert certificate_refusal(("mail.acme.example",), presented) is not None
