"""What the rooms show: the right facts, the words for them, and hostile text as text only."""

import json
import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from ime_gateway.admin.health import HealthReport
from ime_gateway.base.errors import StoreUnavailable
from ime_gateway.base.reasons import Reason
from ime_gateway.ports.queue import Event, HeldEvidence, QueueLine
from tests.doubles.admin_site import PASSWORD, AdminSite, MovableClock, fast_desks
from tests.doubles.memory_registry import MemoryRegistry
from tests.doubles.site_world import DEFERRED, DELIVERED, MOMENT, REFUSED, fill
from tests.pki import make_ca, make_user
from webui.application import create_app

TEMPLATES = Path(__file__).resolve().parents[3] / "webui" / "templates"


@pytest.fixture
def world() -> AdminSite:
    registry = MemoryRegistry()
    fill(registry)
    return AdminSite(registry=registry, clock=MovableClock(MOMENT))


def text_of(client: FlaskClient, path: str) -> str:
    """A page's words, without markup and with single blanks."""
    answer = client.get(path)
    assert answer.status_code == 200, path
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", answer.text)))


def test_healthz_without_login(site: AdminSite, visitor: FlaskClient) -> None:
    for status, code in (("ok", 200), ("starting", 503), ("degraded", 503), ("stopping", 503)):
        site.report = HealthReport(status, {"store": "the disk is full"}, {"internal": 2525})
        answer = visitor.get("/healthz")
        assert answer.status_code == code
        expected = {"status": status, "checks": {"store": "the disk is full"}, "listeners": {"internal": 2525}}
        assert json.loads(answer.data) == expected
        assert "Set-Cookie" not in answer.headers
    site.report = HealthReport("ok")
    assert {visitor.get("/healthz").status_code for _ in range(200)} == {200}, "monitoring is never throttled"


@pytest.mark.parametrize("error", [StoreUnavailable("locked"), RuntimeError("secret path /etc")])
def test_healthz_answers_503_when_it_cannot_answer(error: Exception) -> None:
    def broken() -> HealthReport:
        raise error

    site = AdminSite()
    desks = fast_desks(site.registry, site.clock)
    app = create_app(desks, broken, behind_tls=False, secret_key=bytes(32))
    answer = app.test_client().get("/healthz")
    assert answer.status_code == 503
    assert answer.json is not None and answer.json["status"] == "degraded"
    assert "secret" not in answer.text


def test_overview_when_all_is_well(world: AdminSite) -> None:
    page = text_of(world.logged_in(), "/")
    assert "Everything works." in page
    assert "internal port 2525" in page and "internet port 2526" in page
    assert "deferred 61 waiting" in page and "held 1 kept back" in page and "sending 0" in page
    assert "carol@partner.example from ada@acme.example certificate-expired" in page
    assert Reason.NO_CERTIFICATE.sentence in page
    assert "1 certificate within 60 days" in page and "dave@late.example" in page
    assert "1 message set aside" in page


def test_overview_says_what_is_wrong(site: AdminSite, admin: FlaskClient) -> None:
    site.report = HealthReport("degraded", {"store": "the disk is full", "clock": "ok"}, {})
    page = text_of(admin, "/")
    assert "Something is wrong" in page and "store : the disk is full" in page
    assert "clock" not in page and "Everything works" not in page
    assert "No listener accepts mail." in page


def test_expiry_is_counted_anew_when_live_data_or_the_time_change(world: AdminSite) -> None:
    admin = world.logged_in()
    assert "1 certificate within" in text_of(admin, "/")
    with world.registry.transaction(write=True) as live:
        live.delete_certificate(
            next(e for e in live.certificates() if "dave@late.example" in e.addresses).certificate.thumbprint
        )
    assert "None of 4 certificates within" in text_of(admin, "/")
    world.clock.moment += 320 * 86400
    world.login(admin, "ada", PASSWORD)
    assert "3 certificates within" in text_of(admin, "/")


def test_queue_in_pages_of_fifty(world: AdminSite) -> None:
    admin = world.logged_in()
    first, second = admin.get("/queue").text, admin.get("/queue?page=2").text
    assert first.count("<tr") == 51 and second.count("<tr") == 14
    assert 'href="/queue?page=2"' in first and 'href="/queue?page=1"' in second and "page=3" not in second
    page = text_of(admin, "/queue")
    assert "1 queued, 61 deferred, 1 held." in page
    assert "451 4.7.1 Greylisted, please try again in 300 seconds" in page
    assert "<> (no sender)" in page and "sent copy" in page
    assert "store: disk I/O error" in page
    for odd in ("0", "-1", "x", "99999999999", "²"):
        assert admin.get("/queue", query_string={"page": odd}).status_code == 200
    assert "shorter than that" in text_of(admin, "/queue?page=9")


def test_queue_of_one_message(world: AdminSite) -> None:
    admin = world.logged_in()
    page = admin.get(f"/queue?id={DEFERRED}").text
    assert page.count("<tr") == 3
    nothing = text_of(admin, "/queue?id=unknown")
    assert "No message with this id is in the queue." in nothing and "Track unknown" in nothing
    assert "store: disk I/O error" in text_of(admin, "/queue?id=held1")


def test_empty_places_say_what_to_do_next(admin: FlaskClient) -> None:
    assert "The queue is empty." in text_of(admin, "/queue")
    assert "Send a message through a listener" in text_of(admin, "/tracking")
    assert "ime-gateway cert import" in text_of(admin, "/certificates")
    assert "Nothing was refused lately." in text_of(admin, "/")
    assert "Nothing was found." in text_of(admin, "/tracking?to=bob@partner.example")
    assert "No certificate matches." in text_of(admin, "/certificates?search=bob")


@pytest.mark.parametrize(
    ("query", "present", "absent"),
    [
        ({"id": REFUSED}, "dave@nowhere.example", "bob@partner.example"),
        ({"to": "carol@PARTNER.example"}, "certificate-expired", "dave@nowhere.example"),
        ({"from": "ada@acme.example", "to": "bob@partner.example"}, "personal-certificate", "carol@partner.example"),
        ({"message_id": f"{DELIVERED}@acme.example"}, "bob@partner.example", "carol@partner.example"),
        ({"message_id": f" <{DELIVERED}@acme.example> "}, "bob@partner.example", "carol@partner.example"),
    ],
)
def test_tracking_finds_by(world: AdminSite, query: dict[str, str], present: str, absent: str) -> None:
    page = world.logged_in().get("/tracking", query_string=query).text
    table = page[page.index("1 message found") :]
    assert present in table and absent not in table


def test_tracking_tells_each_recipient_the_reason(world: AdminSite) -> None:
    page = text_of(world.logged_in(), f"/tracking?id={REFUSED}")
    expired = page.index("certificate-expired " + Reason.CERTIFICATE_EXPIRED.sentence)
    unknown = page.index("no-certificate " + Reason.NO_CERTIFICATE.sentence)
    assert page.index("carol@partner.example refused") < expired < page.index("dave@nowhere.example refused") < unknown
    assert re.search(r"20\d\d-\d\d-\d\d \d\d:\d\d Z", page)


def test_tracking_keeps_the_reason_after_delivery(world: AdminSite) -> None:
    page = text_of(world.logged_in(), f"/tracking?id={DELIVERED}")
    assert "bob@partner.example delivered personal-certificate" in page
    assert "250 2.0.0 Ok: queued as 4F1" in page and "2 events" in page and "sent copy" in page


def test_tracking_explains_a_bad_search(admin: FlaskClient) -> None:
    page = text_of(admin, "/tracking?to=no%20address")
    assert "no address" in page and "is no mail address" in page


def test_certificates_with_the_verdict_of_this_moment(world: AdminSite) -> None:
    admin = world.logged_in()
    page = text_of(admin, "/certificates")
    assert re.search(r"carol@partner\.example .*? no certificate-expired", page)
    assert re.search(r"mallory@elsewhere\.example .*? no certificate-untrusted", page)
    assert re.search(r"bob@partner\.example .*? yes .*?trusted by root CN=Partner Root CA", page)
    assert page.count("private key") == 1
    assert admin.get("/certificates?search=partner.example").text.count("<tr") == 3


def test_one_certificate(world: AdminSite) -> None:
    admin = world.logged_in()
    with world.registry.transaction(write=False) as live:
        (entry,) = live.certificates(address="bob@partner.example")
    digits = entry.certificate.thumbprint.removeprefix("sha256:")
    page = text_of(admin, f"/certificates/{entry.certificate.thumbprint}")
    grouped = " ".join(digits[n : n + 4].upper() for n in range(0, 64, 4))
    assert "It may be used now." in page and grouped in page and "not stored here" in page
    assert admin.get("/certificates", query_string={"search": grouped}).text.count("<tr") == 2
    for path in ("/certificates/sha256:ffff0000", "/certificates/..%2f..%2fetc%2fpasswd", "/certificates/%00"):
        assert admin.get(path).status_code == 404


def test_hostile_text_stays_text(site: AdminSite, admin: FlaskClient) -> None:
    evil = '"><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7*7 }}'
    event = Event("<b>id", f"<{evil}@x>", evil, evil, "recipient", "refused", evil, evil, site.clock.moment)
    site.registry.all_events += [event, replace(event, event="failed", reason="malformed")]
    site.registry.all_lines.append(
        QueueLine(evil, evil, evil, evil, evil, "recipient", "held", 1, site.clock.moment, evil)
    )
    site.registry.all_held.append(HeldEvidence(evil, evil, evil, [evil], b"", evil, site.clock.moment))
    site.report = HealthReport("degraded", {evil: evil}, {evil: 25})
    person = make_user("eve@partner.example", make_ca(evil[:60], kind="ec"), kind="ec", common_name=evil[:60])
    with site.registry.transaction(write=True) as live:
        live.put_certificate(person.certificate, [evil], None)
    pages = ["/", "/queue", "/tracking", "/certificates", f"/certificates/{person.certificate.thumbprint}"]
    pages += [f"{page}{query}" for page in ("/queue", "/tracking") for query in ("?id=%22%3E%3Cscript%3E",)]
    pages += ["/certificates?search=%22%3E%3Cscript%3E", "/tracking?to=%3Cscript%3E", "/%3Cscript%3E"]
    for path in pages:
        text = admin.get(path).text
        assert "<script" not in text and "<img" not in text and "<b>id" not in text, path
        assert "49" not in re.sub(r"[0-9a-f ]{9,}|<[^>]*>", "", text) or "{{ 7*7 }}" in text, path
    assert "&lt;script&gt;" in admin.get("/tracking").text


def test_templates_never_switch_escaping_off() -> None:
    for file in TEMPLATES.rglob("*.html"):
        source = file.read_text()
        assert "|safe" not in source and "| safe" not in source and "autoescape" not in source, file


@pytest.mark.parametrize("path", ["/", "/queue", "/tracking", "/certificates", "/login"])
def test_a_store_that_is_away_gives_503_without_details(
    site: AdminSite, admin: FlaskClient, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    site.registry.broken = True
    answer = (
        site.post(site.client(), "/login", {"name": "ada", "password": "x"}, form="/login")
        if path == "/login"
        else admin.get(path)
    )
    assert answer.status_code == 503
    assert "The store cannot be reached now" in answer.text and "locked" not in answer.text
    assert "the database is locked" in capsys.readouterr().out


def test_error_pages_tell_nothing(site: AdminSite, admin: FlaskClient, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(**_: object) -> None:
        raise RuntimeError("secret at /var/lib/imegw")

    site.registry.queue_lines = broken  # type: ignore[method-assign,assignment]
    answer = admin.get("/queue")
    assert answer.status_code == 500 and "Something went wrong here" in answer.text
    for page in (answer, admin.get("/nope"), admin.put("/queue")):
        for word in ("secret", "Traceback", "Werkzeug", "Flask", "python", "/var", "RuntimeError"):
            assert word not in page.text
    logged = capsys.readouterr().out
    assert "RuntimeError" in logged and "queue.queue" in logged and "secret" not in logged
    assert admin.put("/queue").headers["Allow"]


def test_a_short_signing_key_is_refused() -> None:
    site = AdminSite()
    desks = fast_desks(site.registry, site.clock)
    with pytest.raises(ValueError, match="32 random bytes"):
        create_app(desks, lambda: site.report, behind_tls=False, secret_key=b"short")


def test_who_was_refused_with_the_message(world: AdminSite) -> None:
    """The reason is about somebody else, and one message is one refusal."""
    one = next(event for event in world.registry.all_events if event.event == "refused")
    why = "refused with the whole message (carol@partner.example): the certificate expired"
    world.registry.all_events.append(replace(one, recipient="frank@partner.example", detail=why))
    admin = world.logged_in()
    overview, tracking = text_of(admin, "/"), text_of(admin, f"/tracking?id={one.id}")
    assert overview.count("Track this message") == 1 and "Refused with it: frank@partner.example" in overview
    assert overview.count(Reason.CERTIFICATE_EXPIRED.sentence) == 1
    assert f"certificate-expired {why}" in tracking
    assert tracking.count(Reason.CERTIFICATE_EXPIRED.sentence) == 1, "only carol's"


def test_the_login_page_names_the_way_back_in(visitor: FlaskClient) -> None:
    assert "ime-gateway admin reset NAME" in text_of(visitor, "/login")
