"""The private Postfix and Dovecot do together what the story needs, without any gateway."""

import smtplib
import time
from collections.abc import Iterator

import pytest

from addin_sim.world.mail_server import MailServer
from tests.servers.dovecot import Dovecot
from tests.servers.postfix import Postfix

pytestmark = pytest.mark.xdist_group("postfix")
MAIL = b"Subject: x\r\nX-SM-ORIGTO: bob@acme.example\r\n\r\nhello\r\n.dot\r\n"


@pytest.fixture
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    """Whatever arrives here came over the route."""
    world = MailServer(tmp_path_factory.mktemp("outside"), [])
    world.start()
    yield world
    world.stop()


def test_postfix_delivers_routes_and_refuses(outside: MailServer) -> None:
    with (
        Dovecot(["alice@acme.example", "bob@acme.example"]) as dovecot,
        Postfix(
            local_domains=["acme.example"],
            lmtp_port=dovecot.lmtp_port,
            routes={"imepseudodomain.local": outside.outside_port},
        ) as postfix,
    ):
        with smtplib.SMTP("127.0.0.1", postfix.port) as client:
            client.sendmail(
                "alice@acme.example", ["alice@acme.example", "bob@acme.example", "ime@imepseudodomain.local"], MAIL
            )
            with pytest.raises(smtplib.SMTPRecipientsRefused):
                client.sendmail("alice@acme.example", ["x@nowhere.example"], MAIL)
        postfix.wait_until_empty()
        for address in dovecot.addresses:
            (stored,) = dovecot.mails(address)
            assert stored.endswith(b"\r\n\r\nhello\r\n.dot\r\n")
        (handed_over,) = outside.mailboxes.of("ime@imepseudodomain.local")
        assert b"X-SM-ORIGTO: bob@acme.example\r\n" in handed_over.read_bytes()
        assert postfix.accepted_by(outside.outside_port) == ["ime@imepseudodomain.local"]


def test_postfix_keeps_what_the_gateway_cannot_take_yet(free_port: int) -> None:
    with Postfix(local_domains=["acme.example"], lmtp_port=1, routes={"imepseudodomain.local": free_port}) as postfix:
        with smtplib.SMTP("127.0.0.1", postfix.port) as client:
            client.sendmail("alice@acme.example", ["ime@imepseudodomain.local"], MAIL)
        deadline = time.monotonic() + 30
        while "status=deferred" not in postfix.log():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert len(postfix.queue()) == 1
        with pytest.raises(AssertionError, match="still holds 1"):
            postfix.wait_until_empty(0)


def test_two_postfixes_do_not_meet() -> None:
    settings = {"local_domains": ["acme.example"], "lmtp_port": 1, "routes": {}}
    with Postfix(**settings) as one, Postfix(**settings) as other:  # type: ignore[arg-type]
        assert one.port != other.port
        assert one.queue() == other.queue() == []
