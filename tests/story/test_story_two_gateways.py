"""Two companies and a relay that records everything: their mail is readable inside and nowhere else, for years."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.canary import assert_lacks
from tests.servers.postfix import Postfix
from tests.story.two_gateways import Company, TwoCompanies, mail, two_companies

pytestmark = pytest.mark.xdist_group("two-gateways")

KEPT_DAYS = 1096
"""Beyond the three years of a generated domain key."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoCompanies]:
    with two_companies(tmp_path_factory.mktemp("companies")) as world:
        for ours, theirs in ((world.acme, world.bolt), (world.bolt, world.acme)):
            introduce(ours, theirs, 'encryption = "mandatory"\nrollover = "automatic"\nbound_recipients = true\n')
        yield world


def test_years_of_a_partnership(world: TwoCompanies) -> None:
    readable_inside_and_nowhere_else(world)
    the_self_test_proves_both_directions(world)
    rollover_by_mail_and_certificates_that_end_in_mid_run(world)


def introduce(ours: Company, theirs: Company, settings: str) -> None:
    """Theirs becomes a partner of ours, by a file as an administrator gets it."""
    file = ours.gateway.folder / f"{theirs.domain}.pem"
    theirs.gateway.command("domain", "key", "export", theirs.domain, "--out", str(file))
    ours.gateway.apply(
        '[policy]\nprotect_subject = "always"\n'
        f'[[partner_domain]]\nname = "{theirs.domain}"\nsmime_certificates = ["{file}"]\n{settings}'
        f'exchange_address = "key-exchange@{theirs.domain}"\n[[trust]]\nfile = "{file}"\nverdict = "allow"\n'
    )


def say(sender: Company, receiver: Company, text: str, *, count: int) -> bytes:
    """One mail from Anna there to Bob here; what Bob reads when `count` mails are in his inbox."""
    to = receiver.address("bob")
    sender.send("anna", mail(sender.address("anna"), [to], f"subject of {text}", text), [to])
    return receiver.inbox("bob", count)[-1]


def readable_inside_and_nowhere_else(world: TwoCompanies) -> None:
    for sender, receiver in ((world.acme, world.bolt), (world.bolt, world.acme)):
        before = len(receiver.dovecot.mails(receiver.address("bob")))
        text = f"canary-{sender.domain}-to-{receiver.domain}"
        received = say(sender, receiver, text, count=before + 1)
        head, _, body = received.partition(b"\r\n\r\n")
        assert text.encode() in body
        assert f"subject of {text}".encode() in head
        assert b"X-SM-decrypted: yes" in head
        assert b"[signed OK]" in head
        nothing_recorded(world, text)
        events = sender.gateway.json("track", "--to", receiver.address("bob"))
        assert {"accepted", "delivered"} <= {event["event"] for event in events}
        assert "domain-certificate" in {event["reason"] for event in events}


def the_self_test_proves_both_directions(world: TwoCompanies) -> None:
    told = json.loads(world.acme.gateway.command("domain", "test", "bolt.example", "--wait", "60", "--json"))
    assert told["state"] == "passed", told


def rollover_by_mail_and_certificates_that_end_in_mid_run(world: TwoCompanies) -> None:
    world.acme.gateway.command("domain", "key", "rollover", "acme.example")
    next_key = key_of(world.acme, "next")
    world.acme.gateway.command("domain", "announce", "acme.example")
    known = world.bolt.gateway
    world.acme.gateway.wait_until_empty()
    world.relay.wait_until_empty()
    assert next_key in used_by(known, "acme.example"), known.log()
    before = len(world.acme.dovecot.mails(world.acme.address("bob")))
    assert b"canary-in-the-overlap" in say(world.bolt, world.acme, "canary-in-the-overlap", count=before + 1)
    nothing_recorded(world, "canary-in-the-overlap")
    world.clock.move(days=KEPT_DAYS)
    refused = refusal(world.bolt.postfix, world.bolt, world.acme, "canary-after-the-end")
    assert "certificate-expired" in refused or "certificate has expired" in refused, refused
    nothing_recorded(world, "canary-after-the-end", "after the end")


def nothing_recorded(world: TwoCompanies, *words: str) -> None:
    """The relay has the mail, encrypted, and none of these words."""
    recorded = world.recorded()
    assert b"application/pkcs7-mime" in recorded and world.acme.address("anna").encode() in recorded
    assert_lacks(recorded, [word.encode() for word in words], "the relay's record")


def refusal(postfix: Postfix, sender: Company, receiver: Company, text: str) -> str:
    """What the sender's mail server tells its user: the mail is not delivered."""
    before = len(sender.dovecot.mails(sender.address("anna")))
    to = receiver.address("bob")
    sender.send("anna", mail(sender.address("anna"), [to], "after the end", text), [to])
    report = sender.inbox("anna", before + 1)[-1]
    postfix.wait_until_empty()
    return report.decode("utf-8", "replace")


def key_of(company: Company, state: str) -> str:
    keys: list[dict[str, Any]] = company.gateway.json("domain", "key", "show", company.domain)["keys"]
    return next(str(key["thumbprint"]) for key in keys if key["state"] == state)


def used_by(gateway: Any, partner: str) -> set[str]:
    """Thumbprints of a partner's certificates that are in force."""
    shown = gateway.json("domain", "show", partner)
    return {one["thumbprint"] for one in shown["certificates"] if one["usable"]}
