"""A CRL server that is slow, absent, lying or out of bounds: mail is protected, deferred or refused, never in clear.

Whole messages through the gateway in the process, over a real store and real sockets (threats, sections 2 and 3).
"""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from ime_gateway.base.outcome import Accepted, Refused
from ime_gateway.base.reasons import Reason
from ime_gateway.settings.site import PartnerDomain, Policy
from ime_gateway.smtp.replies import reply_for
from tests.core import Core, close, make_core, root
from tests.pki import Entity, make_ca, make_user
from tests.revocation import WebServer, make_crl, points, send
from tests.smime_mail import mail, signed, text_entity

CANARY = "canary-4711"
MAIL = f"From: anna@acme.example\nTo: bob@bolt.example\nSubject: hello\n\n{CANARY}\n".encode()
LOOPBACK = {"allow_networks": ["127.0.0.1/32"]}


@pytest.fixture
def web() -> Iterator[WebServer]:
    server = WebServer()
    yield server
    server.close()


def gateway(folder: Path, mode: str, certificate: Entity, lookup: dict[str, Any] = LOOPBACK, **smtp: Any) -> Core:
    core = make_core(folder, lookup={**lookup}, **smtp)

    def act(live: Any) -> None:
        live.put_policy(Policy(revocation=mode))  # type: ignore[arg-type]
        live.put_partner_domain(PartnerDomain(name="bolt.example", encryption="mandatory"), (certificate.certificate,))

    core.configure(act)
    return core


def send_mail(core: Core) -> tuple[Any, list[Any]]:
    outcome, delivered = core.send(MAIL, "anna@acme.example", ["bob@bolt.example"])
    assert all(CANARY.encode() not in one.wire for one in delivered)
    return outcome, delivered


def domain_certificate(url: str) -> Entity:
    return make_user("domain-confidentiality-authority@bolt.example", root(), extra=[points(url)])


@pytest.mark.parametrize("mode", ["soft-fail", "hard-fail"])
def test_good_then_revoked(tmp_path: Path, web: WebServer, mode: str) -> None:
    good, bad = domain_certificate(web.url("/a.crl")), domain_certificate(web.url("/b.crl"))
    web.give("/a.crl", make_crl(root()))
    web.give("/b.crl", make_crl(root(), [bad]))
    core = gateway(tmp_path, mode, good)
    outcome, delivered = send_mail(core)
    assert isinstance(outcome, Accepted) and delivered[0].protection == "smime-domain"
    close(core)
    core = gateway(tmp_path, mode, bad)
    outcome, delivered = send_mail(core)
    assert isinstance(outcome, Refused) and outcome.reason is Reason.CERTIFICATE_REVOKED and not delivered
    close(core)


def lists(web: WebServer) -> dict[str, Any]:
    stranger = make_ca("Acme Root CA")
    return {
        "absent": lambda handler: send(handler, b"", 404),
        "garbage": lambda handler: send(handler, b"<html>it works</html>"),
        "of another CA": lambda handler: send(handler, make_crl(stranger)),
        "away to the metadata service": lambda handler: send(handler, b"", 302, Location="http://169.254.169.254/"),
        "huge": lambda handler: send(handler, bytes(70_000)),
    }


@pytest.mark.parametrize("how", ["absent", "garbage", "of another CA", "away to the metadata service", "huge"])
def test_a_server_that_does_not_help(tmp_path: Path, web: WebServer, how: str) -> None:
    web.paths["/a.crl"] = lists(web)[how]
    certificate = domain_certificate(web.url("/a.crl"))
    core = gateway(tmp_path, "hard-fail", certificate, {**LOOPBACK, "max_bytes": 65_536})
    outcome, delivered = send_mail(core)
    assert isinstance(outcome, Refused) and outcome.reason is Reason.REVOCATION_UNKNOWN and not delivered
    close(core)
    core = gateway(tmp_path, "soft-fail", certificate, {**LOOPBACK, "max_bytes": 65_536})
    outcome, delivered = send_mail(core)
    assert isinstance(outcome, Accepted) and delivered[0].protection == "smime-domain"
    close(core)


def test_a_slow_server_defers_with_hard_fail_and_delays_little_with_soft_fail(tmp_path: Path, web: WebServer) -> None:
    release = threading.Event()

    def hang(handler: BaseHTTPRequestHandler) -> None:
        release.wait(60)
        send(handler, make_crl(root()))

    web.paths["/a.crl"] = hang
    certificate = domain_certificate(web.url("/a.crl"))
    core = gateway(tmp_path, "hard-fail", certificate, decide_seconds=0.2)
    outcome, delivered = send_mail(core)
    assert isinstance(outcome, Refused) and outcome.reason is Reason.LOOKUP_TIMEOUT and outcome.temporary
    close(core)
    core = gateway(tmp_path, "soft-fail", certificate, {**LOOPBACK, "seconds": 0.2})
    outcome, delivered = send_mail(core)
    assert isinstance(outcome, Accepted) and delivered[0].protection == "smime-domain"
    release.set()
    close(core)


def hanging(web: WebServer, path: str) -> threading.Event:
    """A path that answers nothing until it is let go."""
    release = threading.Event()

    def hang(handler: BaseHTTPRequestHandler) -> None:
        release.wait(60)
        send(handler, b"")

    web.paths[path] = hang
    return release


def test_a_slow_server_is_named_with_its_recipient(tmp_path: Path, web: WebServer) -> None:
    """While it is still slow: in the reply, which `explain` prints, and in tracking; the whole URL in the log."""
    release = hanging(web, "/a.crl?token=s3cret")
    url = web.url("/a.crl?token=s3cret")
    certificate = domain_certificate(url)
    for patience in (0.1, 30.0):  # the time of the fetch is up first, then that of the message
        core = gateway(tmp_path, "hard-fail", certificate, decide_seconds=0.4)
        core.receiver.planner.opener.revocations.patience = patience
        with capture_logs() as logs:
            outcome, _ = send_mail(core)
        reply = reply_for(outcome)
        assert reply.startswith("451 4.4.3 <bob@bolt.example> lookup-timeout: ") and len(reply) <= 400
        assert reply.isascii() and "no answer from 127.0.0.1 whether the certificate of bob@bolt.example" in reply
        assert certificate.certificate.thumbprint[:19] in reply and "s3cret" not in reply
        (told,) = [line for line in logs if line["event"] == "revocation not learnt in time"]
        assert told["recipient"] == "bob@bolt.example" and told["urls"] == [url]
        (event,) = core.store.registry.events(recipient="bob@bolt.example")
        assert event.event == "refused" and event.detail == outcome.detail
        close(core)
    release.set()


def test_only_the_slow_one_of_several_is_named(tmp_path: Path, web: WebServer) -> None:
    release = hanging(web, "/a.crl")
    web.give("/b.crl", make_crl(root()))
    core = gateway(tmp_path, "hard-fail", domain_certificate(web.url("/a.crl")), decide_seconds=0.5)
    quick = make_user("eve@quick.example", root(), extra=[points(web.url("/b.crl"))])
    core.configure(lambda live: live.put_certificate(quick.certificate, ("eve@quick.example",), None))
    wanted = MAIL.replace(b"Subject:", b"X-SMENC: yes\nSubject:")
    outcome, _ = core.send(wanted, "anna@acme.example", ["eve@quick.example", "bob@bolt.example"])
    assert isinstance(outcome, Refused) and outcome.address == "bob@bolt.example" and "others" not in outcome.detail
    release.set()
    close(core)


def test_a_stranger_learns_nothing_about_a_signer(tmp_path: Path, web: WebServer) -> None:
    """Which CA made a signature, perhaps one inside an encryption, is for our administrators."""
    release = hanging(web, "/a.crl")
    signer = make_user("kim@partner.example", root(), extra=[points(web.url("/a.crl"))])
    core = gateway(tmp_path, "hard-fail", domain_certificate(web.url("/a.crl")), decide_seconds=0.3)
    data = mail(signed(text_entity("x"), signer), "kim@partner.example", "bob@acme.example")
    with capture_logs() as logs:
        outcome, _ = core.send(data, "kim@partner.example", ["bob@acme.example"], "internet")
    assert isinstance(outcome, Refused) and outcome.reason is Reason.LOOKUP_TIMEOUT
    assert "127.0.0.1" not in outcome.detail and outcome.address == ""
    (told,) = [line for line in logs if line["event"] == "revocation not learnt in time"]
    assert told["urls"] == [web.url("/a.crl")] and signer.certificate.thumbprint[:19] in told["certificate"]
    release.set()
    close(core)


def test_our_own_loopback_is_never_asked(tmp_path: Path, web: WebServer) -> None:
    web.give("/a.crl", make_crl(root()))
    core = gateway(tmp_path, "hard-fail", domain_certificate(web.url("/a.crl")), {})
    outcome, _ = send_mail(core)
    assert isinstance(outcome, Refused) and outcome.reason is Reason.REVOCATION_UNKNOWN
    assert "allow_networks" in outcome.detail and web.asked == []
    close(core)


def test_a_stranger_does_not_choose_what_is_asked(tmp_path: Path, web: WebServer) -> None:
    """A certificate without a path to a root of ours: its URLs are never looked at."""
    web.give("/a.crl", make_crl(root()))
    stranger = make_user("dca@bolt.example", make_ca("Stranger"), extra=[points(web.url("/a.crl"))])
    core = gateway(tmp_path, "hard-fail", stranger)
    outcome, _ = send_mail(core)
    assert isinstance(outcome, Refused) and outcome.reason is Reason.CERTIFICATE_UNTRUSTED and web.asked == []
    close(core)
