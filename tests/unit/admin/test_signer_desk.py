"""Who may sign for whom: approve what waits, register from a file, revoke for good."""

import secrets

import pytest

from ime_gateway.admin.ime_desk import ImeDesk
from ime_gateway.admin.key_pairs import groups
from ime_gateway.admin.signer_desk import SignerDesk, signer_json
from ime_gateway.base.errors import UserError
from ime_gateway.ports.containers import Pin
from ime_gateway.ports.registry import Registry
from tests.pki import NOW, key_usage, make_ca, make_user, pkcs7_bundle

ANNA = "anna@acme.example"


@pytest.fixture
def desk(site, registry: Registry, clock) -> SignerDesk:
    site.apply('[[managed_domain]]\nname = "acme.example"\ndeliver_to = "mx"\n')
    return SignerDesk(registry, clock)


@pytest.fixture
def waiting(desk: SignerDesk, registry: Registry) -> Pin:
    pin = Pin(ANNA, make_user(ANNA).certificate, "pending", "challenged", NOW.timestamp() - 60)
    with registry.transaction(write=True) as live:
        live.put_pin(pin)
    return pin


def audited(registry: Registry) -> list[tuple[str, str]]:
    with registry.transaction(write=False) as live:
        return [(line.action, line.detail) for line in live.audit_lines() if line.action.startswith("ime-")]


def test_what_waits_is_approved_by_any_spelling(desk: SignerDesk, waiting: Pin, registry: Registry, clock) -> None:
    thumbprint = waiting.certificate.thumbprint
    assert desk.rows(pending=True) == [waiting]
    pin, changed = desk.approve(groups(thumbprint), "Anna@ACME.example", "by phone", "test")
    assert changed
    assert pin == Pin(ANNA, waiting.certificate, "approved", "registered", clock.now(), "by phone")
    assert desk.rows(pending=True) == [] and desk.rows(address="ANNA@acme.example") == [pin]
    assert audited(registry) == [("ime-signer-approve", f"{ANNA} {thumbprint}, before pending")]
    assert desk.approve(thumbprint, ANNA, "", "test") == (pin, False)
    assert len(audited(registry)) == 1


@pytest.mark.parametrize("digits", [0, 6, 10, 31])
def test_a_beginning_approves_nobody_and_the_whole_is_shown(desk: SignerDesk, waiting: Pin, digits: int) -> None:
    """A forger can make a certificate that shares the first digits with the one that was read aloud."""
    thumbprint = waiting.certificate.thumbprint
    with pytest.raises(UserError, match="at least 32 of its 64 digits") as refused:
        desk.approve(thumbprint[: 7 + digits], ANNA, "", "test")
    assert thumbprint in str(refused.value)
    assert desk.rows() == [waiting]


@pytest.mark.parametrize(
    "spell",
    [
        str.upper,
        lambda text: text[7:],
        lambda text: ":".join(text[start : start + 2] for start in range(7, 71, 2)),
        lambda text: f"  {groups(text)}\n",
        lambda text: text[: 7 + 32],
    ],
)
def test_half_of_it_in_any_spelling_is_enough(desk: SignerDesk, waiting: Pin, spell) -> None:
    assert desk.approve(spell(waiting.certificate.thumbprint), ANNA, "", "test")[1]


def test_a_beginning_that_fits_several_shows_them_all(desk: SignerDesk, registry: Registry) -> None:
    pins = [Pin(ANNA, make_user(ANNA).certificate, "pending", "challenged", float(at)) for at in range(2)]
    with registry.transaction(write=True) as live:
        for pin in pins:
            live.put_pin(pin)
    with pytest.raises(UserError) as refused:
        desk.approve("sha256:", ANNA, "", "test")
    assert all(pin.certificate.thumbprint in str(refused.value) for pin in pins)


def test_a_certificate_is_registered_from_a_file(desk: SignerDesk, registry: Registry) -> None:
    laptop, desktop = make_user(ANNA), make_user(ANNA)
    for machine in (laptop, desktop):
        assert desk.register(machine.pem, ANNA, "", "test")[1]
    assert desk.register(desktop.der, ANNA, "", "test")[1] is False
    assert {pin.certificate for pin in desk.rows()} == {laptop.certificate, desktop.certificate}
    ca = make_ca("Some CA")
    chained = make_user(ANNA, ca)
    assert desk.register(pkcs7_bundle([ca, chained]), ANNA, "", "test")[0].certificate == chained.certificate


@pytest.mark.parametrize(
    ("data", "address", "sentence"),
    [
        (lambda: make_user("bob@acme.example").pem, ANNA, "is for bob@acme.example, not for anna@acme.example"),
        (lambda: make_user("x@other.example").pem, "x@other.example", "in no managed domain"),
        (lambda: make_user(ANNA, key_bits=1024).pem, ANNA, "1024 bits"),
        (lambda: make_user(ANNA, expired=True).pem, ANNA, "expired at"),
        (lambda: make_user(ANNA, not_yet=True).pem, ANNA, "not valid before"),
        (lambda: make_user(ANNA, ku=key_usage(key_encipherment=True)).pem, ANNA, "cannot sign mail"),
        (lambda: b"no certificate", ANNA, "cannot be read"),
        (lambda: make_user(ANNA).pem + make_user(ANNA).pem, ANNA, "holds 2 certificates"),
        (lambda: make_user(ANNA).pem, "anna", "is no mail address"),
    ],
)
def test_certificates_that_cannot_sign_for_the_person(desk: SignerDesk, data, address: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        desk.register(data(), address, "", "test")
    assert desk.rows() == []


@pytest.mark.parametrize("at_once", [False, True])
def test_the_ime_certificates_sign_for_nobody(desk: SignerDesk, site, registry: Registry, clock, at_once: bool) -> None:
    ime = ImeDesk(registry, clock, secrets.token_bytes)
    nameless = make_user(ANNA, san=False, common_name="Gateway")
    (site.folder / "k.pem").write_bytes(nameless.pem + nameless.key_pem)
    text = '[[managed_domain]]\nname = "acme.example"\ndeliver_to = "mx"\nime_address = "dca@ime.acme.example"\n'
    site.apply(text + 'ime_key = "k.pem"\n')
    for _ in range(2):
        with pytest.raises(UserError, match=r"is an IME certificate of acme\.example"):
            desk.register(nameless.pem, ANNA, "", "test")
        ime.rotate("acme.example", days=10, overlap_days=3, at_once=at_once, actor="test")
    assert desk.rows() == []


def test_revoked_is_revoked(desk: SignerDesk, waiting: Pin, registry: Registry) -> None:
    thumbprint = waiting.certificate.thumbprint
    desk.approve(thumbprint, ANNA, "", "test")
    (pin,) = desk.revoke(thumbprint[:20], "", "test")
    assert (pin.state, pin.address) == ("revoked", ANNA)
    assert desk.revoke(thumbprint, ANNA, "test") == []
    assert audited(registry)[0] == ("ime-signer-revoke", f"{ANNA} {thumbprint}")
    back, changed = desk.approve(thumbprint, ANNA, "a mistake", "test")
    assert changed and back.state == "approved", "an administrator may change his mind"
    assert audited(registry)[0][1].endswith("before revoked")


def test_revoke_takes_all_people_of_one_certificate_but_not_several(desk: SignerDesk, registry: Registry) -> None:
    shared, other = make_user("team@acme.example", san=False).certificate, make_user(ANNA).certificate
    with registry.transaction(write=True) as live:
        for address in (ANNA, "bob@acme.example"):
            live.put_pin(Pin(address, shared, "approved", "registered", 1.0))
        live.put_pin(Pin(ANNA, other, "approved", "registered", 1.0))
    assert {pin.address for pin in desk.revoke(shared.thumbprint, "", "test")} == {ANNA, "bob@acme.example"}
    assert [pin.state for pin in desk.rows(address=ANNA) if pin.certificate == other] == ["approved"]


@pytest.mark.parametrize(
    ("thumbprint", "sentence"),
    [
        ("xyzxyzxyz", "no thumbprint"),
        ("0" * 65, "no thumbprint"),
        ("0" * 64, "no signer"),
    ],
)
def test_thumbprints_that_name_nobody(desk: SignerDesk, waiting: Pin, thumbprint: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        desk.revoke(thumbprint, "", "test")
    with pytest.raises(UserError, match=sentence):
        desk.approve(thumbprint, ANNA, "", "test")


def test_a_short_beginning_revokes_nobody(desk: SignerDesk, waiting: Pin) -> None:
    with pytest.raises(UserError, match="at least 6 digits"):
        desk.revoke(waiting.certificate.thumbprint[7:12], "", "test")
    with pytest.raises(UserError, match="no signer of this person begins so"):
        desk.approve("0123456789", ANNA, "", "test")


def test_an_expired_signer_is_not_approved(desk: SignerDesk, waiting: Pin, clock) -> None:
    clock.moment = waiting.certificate.not_after + 1
    with pytest.raises(UserError, match="expired at"):
        desk.approve(waiting.certificate.thumbprint, ANNA, "", "test")


def test_an_approval_without_words_keeps_the_note(desk: SignerDesk, waiting: Pin) -> None:
    thumbprint = waiting.certificate.thumbprint
    desk.approve(thumbprint, ANNA, "by phone", "test")
    desk.revoke(thumbprint, ANNA, "test")
    assert desk.approve(thumbprint, ANNA, "", "test")[0].note == "by phone"


def test_json(desk: SignerDesk, waiting: Pin) -> None:
    answer = signer_json(waiting)
    assert answer["address"] == ANNA and answer["state"] == "pending" and answer["self_signed"] is True
    assert answer["thumbprint"] == waiting.certificate.thumbprint
    assert answer["thumbprint_groups"] == groups(waiting.certificate.thumbprint)
