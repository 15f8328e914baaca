"""The room "Internal encryption": what it shows and gives away, and that deciding takes a form, a token and a tick."""

import re
import subprocess
from html import unescape
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from ime_gateway.ports.containers import Pin
from tests.doubles.admin_site import AdminSite, MovableClock
from tests.doubles.memory_registry import MemoryRegistry
from tests.doubles.site_world import MOMENT, WAITING, fill
from tests.pki import make_user
from webui.words import groups

ROOM = "/internal-encryption"


@pytest.fixture
def world() -> AdminSite:
    registry = MemoryRegistry()
    fill(registry)
    return AdminSite(registry=registry, clock=MovableClock(MOMENT))


def text_of(client: FlaskClient, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200, path
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", answer.text)))


def waiting(world: AdminSite) -> Pin:
    with world.registry.transaction(write=False) as live:
        (pin,) = live.pins(address=WAITING)
        return pin


def page_of(pin: Pin) -> str:
    return f"{ROOM}/signer?thumbprint={pin.certificate.thumbprint}&address={pin.address}"


def decide(world: AdminSite, client: FlaskClient, what: str, **changes: str):
    pin = waiting(world)
    fields = {"thumbprint": pin.certificate.thumbprint, "address": pin.address, "sure": "yes"} | changes
    fields = {name: value for name, value in fields.items() if value != "LEAVE OUT"}
    return world.post(client, f"{ROOM}/signer/{what}", fields, form=page_of(pin))


def test_who_waits_comes_first_then_the_domains(world: AdminSite) -> None:
    page = text_of(world.logged_in(), ROOM)
    assert page.index("frank@acme.example") < page.index("IME addresses")
    with world.registry.transaction(write=False) as live:
        current, older = live.ime_keys("acme.example")
    assert groups(current.certificate.thumbprint) in page
    assert f"{groups(older.certificate.thumbprint)[:19]} … opens until" in page
    assert "domain-confidentiality-authority@ime.acme.example" in page
    assert "1 approved, 2 pending, 1 revoked" in page
    assert "2 signers wait to be confirmed or approved, as listed above" in page
    assert "signers list" not in page
    assert "there is no IME key, so every container is refused" in page
    assert "is weaker than the others" in page


def test_an_empty_site_says_what_to_do(site: AdminSite, admin: FlaskClient) -> None:
    page = text_of(admin, ROOM)
    assert "No signer waits." in page and "No domain has an IME address yet." in page
    assert "No signer is known yet." in text_of(admin, f"{ROOM}/signers")


def test_the_certificate_in_every_form(world: AdminSite, tmp_path: Path) -> None:
    admin = world.logged_in()
    with world.registry.transaction(write=False) as live:
        der = live.ime_keys("acme.example")[0].certificate.der
    for form, words in (("pem", ("x509",)), ("der", ("x509", "-inform", "DER")), ("p7c", ())):
        answer = admin.get(f"{ROOM}/certificates/acme.example/{form}")
        assert answer.status_code == 200
        assert answer.headers["Content-Disposition"] == f'attachment; filename="ime-acme.example.{form}"'
        assert b"PRIVATE" not in answer.data
        data = answer.data
        if form == "p7c":
            printed = subprocess.run(
                ["openssl", "pkcs7", "-inform", "DER", "-print_certs"], input=data, capture_output=True, check=True
            )
            data, words = printed.stdout, ("x509",)
        read = subprocess.run(["openssl", *words, "-outform", "DER"], input=data, capture_output=True, check=True)
        assert read.stdout == der
    for path in ("acme.example/key", "acme.example/p12", "first.example/pem", "nobody.example/pem", "../x/pem"):
        assert admin.get(f"{ROOM}/certificates/{path}").status_code == 404, path


def test_approving_takes_effect_and_is_written_down(world: AdminSite) -> None:
    admin = world.logged_in()
    answer = decide(world, admin, "approve", note=" by\r\nphone ")
    assert (answer.status_code, answer.headers["Location"]) == (303, ROOM)
    pin = waiting(world)
    assert (pin.state, pin.origin, pin.note) == ("approved", "registered", "by phone")
    with world.registry.transaction(write=False) as live:
        line = live.audit_lines()[0]
    assert (line.actor, line.action) == ("ada", "ime-signer-approve")
    page = text_of(admin, ROOM)
    assert "The signer of frank@acme.example is approved" in page
    assert text_of(admin, page_of(pin)).count("Approve") == 0


def test_revoking_takes_effect_and_is_written_down(world: AdminSite) -> None:
    admin = world.logged_in()
    assert decide(world, admin, "revoke").status_code == 303
    assert waiting(world).state == "revoked"
    with world.registry.transaction(write=False) as live:
        assert live.audit_lines()[0].action == "ime-signer-revoke"
    assert "The signer is revoked" in text_of(admin, ROOM)


@pytest.mark.parametrize("what", ["approve", "revoke"])
@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"sure": "LEAVE OUT"}, 400),
        ({"thumbprint": "sha256:" + "0" * 20}, 400),
        ({"thumbprint": ""}, 400),
        ({"thumbprint": "sha256:" + "0" * 64}, 404),
        ({"address": "nobody"}, 404),
        ({"address": "bob@acme.example"}, 404),
    ],
)
def test_nothing_is_decided_by_half(world: AdminSite, what: str, changes: dict[str, str], status: int) -> None:
    admin = world.logged_in()
    assert decide(world, admin, what, **changes).status_code == status
    assert waiting(world).state == "pending"


@pytest.mark.parametrize("what", ["approve", "revoke"])
def test_nothing_is_decided_by_get_or_without_token(world: AdminSite, what: str) -> None:
    admin, pin = world.logged_in(), waiting(world)
    fields = {"thumbprint": pin.certificate.thumbprint, "address": pin.address, "sure": "yes"}
    assert admin.get(f"{ROOM}/signer/{what}", query_string=fields).status_code == 405
    assert admin.post(f"{ROOM}/signer/{what}", data=fields).status_code == 400
    assert waiting(world).state == "pending"


def test_an_expired_signer_cannot_be_approved(world: AdminSite) -> None:
    admin = world.logged_in()
    world.clock.moment = waiting(world).certificate.not_after + 1
    world.login(admin, "ada", "orbit lantern 42 mosaic")
    answer = decide(world, admin, "approve")
    assert answer.status_code == 400
    assert "Nothing was done: the certificate expired" in unescape(answer.text)
    assert waiting(world).state == "pending"


def test_signers_of_one_person(world: AdminSite) -> None:
    admin = world.logged_in()
    page = text_of(admin, f"{ROOM}/signers?address=ADA@acme.example")
    assert "laptop stolen" in page and "frank@" not in page
    assert "is no mail address" in text_of(admin, f"{ROOM}/signers?address=nonsense")
    assert "No signer of this person" in text_of(admin, f"{ROOM}/signers?address=x@acme.example")
    assert admin.get(f"{ROOM}/signer?thumbprint=zz&address=x").status_code == 404


def test_hostile_words_are_words_only(world: AdminSite) -> None:
    evil = "<script>alert(1)</script>"
    signer = make_user("frank@acme.example", common_name=evil)
    with world.registry.transaction(write=True) as live:
        live.put_pin(Pin(WAITING, signer.certificate, "pending", "challenged", MOMENT, f'"{evil}'))
    admin = world.logged_in()
    for path in (
        ROOM,
        f"{ROOM}/signers",
        f"{ROOM}/signer?thumbprint={signer.certificate.thumbprint}&address={WAITING}",
    ):
        assert "<script" not in admin.get(path).text, path
