"""Mail from outside to mailboxes that do not exist: refused at RCPT, so that no report ever goes to a forged sender."""

import smtplib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.gateway import Gateway, free_port
from tests.servers.postfix import Postfix

KNOWN = "virtual_mailbox_maps = inline:{ {bob@acme.example = bob} }"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, Postfix]]:
    folder: Path = tmp_path_factory.mktemp("unknown")
    routes = {"acme.example": "discard:"}
    with Postfix(local_domains=["acme.example"], lmtp_port=free_port(), routes=routes, extra=KNOWN) as postfix:
        gateway = Gateway(folder)
        gateway.configure(next_hop=postfix.port, workers=1)
        gateway.apply(
            f"""[[managed_domain]]
name = "acme.example"
deliver_to = "smtp://127.0.0.1:{postfix.port}"
exchange_address = "keys@acme.example"
"""
        )
        gateway.start()
        try:
            yield gateway, postfix
        finally:
            gateway.stop()


def rcpt(port: int, sender: str, recipient: str) -> tuple[int, bytes]:
    with smtplib.SMTP("127.0.0.1", port, timeout=60) as client:
        client.ehlo("outsider.example")
        client.mail(sender)
        return client.rcpt(recipient)


def test_an_outsider_is_told_at_once(world: tuple[Gateway, Postfix]) -> None:
    gateway, _ = world
    code, text = rcpt(gateway.internet_port, "forged@victim.example", "nobody@acme.example")
    assert (code, text[:28]) == (550, b"5.1.1 <nobody@acme.example> ") and b"recipient-unknown" in text
    for known in ("bob@acme.example", "postmaster@acme.example", "keys@acme.example"):
        assert rcpt(gateway.internet_port, "forged@victim.example", known)[0] == 250, known


def test_insiders_are_not_asked_about_and_no_mail_came_of_asking(world: tuple[Gateway, Postfix]) -> None:
    gateway, postfix = world
    delivered = postfix.log().count("status=")
    assert rcpt(gateway.port, "bob@acme.example", "nobody@acme.example")[0] == 250
    assert rcpt(gateway.internet_port, "forged@victim.example", "bob@acme.example")[0] == 250
    assert gateway.json("queue", "list") == []
    assert postfix.queue() == [] and postfix.log().count("status=") == delivered


def test_the_known_one_among_unknown_ones_gets_the_mail_and_nobody_a_report(world: tuple[Gateway, Postfix]) -> None:
    gateway, postfix = world
    with smtplib.SMTP("127.0.0.1", gateway.internet_port, timeout=60) as client:
        refused = client.sendmail(
            "forged@victim.example",
            ["nobody@acme.example", "bob@acme.example", "noone@acme.example"],
            b"From: forged@victim.example\r\nTo: bob@acme.example\r\nSubject: hello\r\n\r\nhello\r\n",
        )
    assert sorted(refused) == ["nobody@acme.example", "noone@acme.example"]
    gateway.wait_until_empty()
    events = gateway.json("track", "--from", "forged@victim.example")
    assert {(one["recipient"], one["event"]) for one in events} == {
        ("bob@acme.example", "accepted"),
        ("bob@acme.example", "delivered"),
    }
    assert "to=<forged@victim.example>" not in postfix.log()
