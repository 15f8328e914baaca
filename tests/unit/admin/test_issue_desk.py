"""Certificates that the gateway makes: for whom, where they go, renewed and revoked, over the real store."""

import secrets

import pytest
from cryptography import x509

from ime_gateway.admin.authority_desk import AuthorityDesk
from ime_gateway.admin.issue_desk import IssueDesk, Made, made_json, revocation_reason
from ime_gateway.admin.key_desk import KeyDesk
from ime_gateway.admin.pki_places import PkiFiles
from ime_gateway.base.errors import UserError
from ime_gateway.base.reasons import Reason
from ime_gateway.settings.site import ManagedDomain
from ime_gateway.store.database import Store
from tests.pki import make_ca, make_user
from tests.unit.admin.conftest import FixedClock

PKI = "http://pki.acme.com"
DAY = 86_400.0
IME = "domain-confidentiality-authority@ime.acme.com"


@pytest.fixture
def bare(store: Store, clock: FixedClock) -> IssueDesk:
    """Without a CA."""
    with store.registry.transaction(write=True) as live:
        live.put_managed_domain(ManagedDomain(name="acme.com", deliver_to="smtp://127.0.0.1:9", ime_address=IME), ())
    return IssueDesk(store.registry, clock, secrets.token_bytes, PKI)


@pytest.fixture
def desk(bare: IssueDesk, store: Store, clock: FixedClock) -> IssueDesk:
    authorities = AuthorityDesk(store.registry, clock, secrets.token_bytes, PKI)
    authorities.init("Acme", "", "p-256", open_root=False, replace=False, actor="test")
    return bare


def issue(desk: IssueDesk, name: str, kind: str = "p-256", **changes: object) -> list[Made]:
    options = {"self_signed": False, "again": False, "actor": "test"} | changes
    return desk.issue(name, kind=kind, **options)  # type: ignore[arg-type]


def verdicts(store: Store, clock: FixedClock, address: str) -> list[bool]:
    found = KeyDesk(store.registry, clock).certificates(address=address)
    return [item.verdict.usable for item in found]


def crl(store: Store, made: Made) -> x509.CertificateRevocationList:
    with store.registry.transaction(write=False) as live:
        [issued] = live.authorities.issued(thumbprint=made.certificate.thumbprint)
        entry = next(one for one in live.authorities.list() if one.certificate.thumbprint == issued.authority)
    data = PkiFiles(store.registry).crl(entry.name)
    assert data is not None
    return x509.load_der_x509_crl(data)


def test_a_person_gets_a_trusted_certificate_with_its_key_here(
    desk: IssueDesk, store: Store, clock: FixedClock
) -> None:
    [made] = issue(desk, "Anna@ACME.com")
    assert made.certificate.addresses == ("anna@acme.com",) and made.by_authority
    assert verdicts(store, clock, "anna@acme.com") == [True]
    with store.registry.transaction(write=False) as live:
        assert live.private_key(made.certificate.thumbprint) is not None
        [issued] = live.authorities.issued(owner="anna@acme.com")
        assert (issued.purpose, issued.certificate) == ("user", made.certificate)
        assert live.audit_lines(1)[0].action == "cert-issue"
    assert made_json(made)["self_signed"] is False


def test_a_domain_gets_its_domain_key(desk: IssueDesk, store: Store) -> None:
    [made] = issue(desk, "acme.com")
    assert made.certificate.addresses == (
        "domain-confidentiality-authority@acme.com", "domain-signing-authority@acme.com",
    )  # fmt: skip
    with store.registry.transaction(write=False) as live:
        [key] = live.domain_keys.list("acme.com")
        assert (key.state, key.certificate) == ("current", made.certificate)
        assert live.domain_keys.private_key("acme.com", made.certificate.thumbprint) is not None
    with pytest.raises(UserError, match=r"domain key rollover acme\.com"):
        issue(desk, "domain-signing-authority@acme.com")
    [later] = issue(desk, "acme.com", again=True)
    with store.registry.transaction(write=False) as live:
        assert {key.certificate: key.state for key in live.domain_keys.list("acme.com")} == {
            made.certificate: "current",
            later.certificate: "next",
        }


def test_the_ime_address_gets_the_ime_key(desk: IssueDesk, store: Store, clock: FixedClock) -> None:
    [made] = issue(desk, IME)
    [later] = issue(desk, IME, again=True)
    with store.registry.transaction(write=False) as live:
        keys = {key.certificate: key for key in live.ime_keys("acme.com")}
    assert keys[later.certificate].is_current
    assert keys[made.certificate].opens_until == clock.now() + 14 * DAY


def test_two_keys_of_curve_25519(desk: IssueDesk, store: Store, clock: FixedClock) -> None:
    signing, encrypting = issue(desk, "anna@acme.com", "curve25519")
    assert (signing.certificate.key_kind, encrypting.certificate.key_kind) == ("ed25519", "x25519")
    assert sorted(verdicts(store, clock, "anna@acme.com")) == [False, True], "one of them encrypts"
    with pytest.raises(UserError, match="needs one key for signing and encryption"):
        issue(desk, "acme.com", "curve25519")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("eve@other.com", "other.com is no managed domain"),
        ("other.com", "other.com is no managed domain"),
        ("no domain at all", "neither an address nor a domain"),
        ("a@b@acme.com", "is no mail address"),
        ("eve@sub.acme.com", "sub.acme.com is no managed domain"),
    ],
)
def test_names_that_are_not_ours(desk: IssueDesk, store: Store, name: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        issue(desk, name)
    with store.registry.transaction(write=False) as live:
        assert len(live.authorities.issued()) == 1, "the issuing CA alone"


def test_a_second_certificate_must_be_wanted(desk: IssueDesk) -> None:
    issue(desk, "anna@acme.com")
    with pytest.raises(UserError, match=r"has a certificate.*cert renew anna@acme\.com, or give --again"):
        issue(desk, "anna@acme.com")
    issue(desk, "anna@acme.com", again=True)


def test_without_an_authority_there_is_self_signing(bare: IssueDesk, store: Store, clock: FixedClock) -> None:
    with pytest.raises(UserError, match=r"no built-in CA yet.*--self-signed"):
        issue(bare, "anna@acme.com")
    [made] = issue(bare, "anna@acme.com", self_signed=True)
    assert verdicts(store, clock, "anna@acme.com") == [True], "the trust list allows it"
    assert not made.by_authority and made.certificate.issuer == made.certificate.subject
    issue(bare, "acme.com", self_signed=True)
    with store.registry.transaction(write=False) as live:
        assert list(live.view().trust) == [made.certificate.thumbprint], "nobody but partners must allow a domain's"
    with pytest.raises(UserError, match="X25519 keys cannot sign themselves"):
        issue(bare, "bert@acme.com", "curve25519", self_signed=True)


def test_self_signing_needs_no_address_of_lists(bare: IssueDesk, store: Store, clock: FixedClock) -> None:
    desk = IssueDesk(store.registry, clock, secrets.token_bytes, "")
    issue(desk, "anna@acme.com", self_signed=True)
    with pytest.raises(UserError, match="pki_url"):
        issue(desk, "bert@acme.com")


def test_a_domain_outside_the_constraints_is_refused_before_partners_refuse_it(desk: IssueDesk, store: Store) -> None:
    with store.registry.transaction(write=True) as live:
        live.put_managed_domain(ManagedDomain(name="bolt.com", deliver_to="smtp://127.0.0.1:9"), ())
    with pytest.raises(UserError, match=r"may not certify bolt\.com.*ca renew"):
        issue(desk, "anna@bolt.com")


def test_an_expired_authority_issues_nothing(desk: IssueDesk, clock: FixedClock) -> None:
    clock.moment += 5 * 365 * DAY + 1
    with pytest.raises(UserError, match="has expired; run: ime-gateway ca renew"):
        issue(desk, "anna@acme.com")


@pytest.mark.parametrize("kind", ["p-256", "p-384"])
def test_renewal_keeps_owner_and_kind_and_the_old_key(
    desk: IssueDesk, store: Store, clock: FixedClock, kind: str
) -> None:
    [old] = issue(desk, "anna@acme.com", kind)
    clock.moment += 100 * DAY
    new = desk.renew("anna@acme.com", actor="test")
    assert new.certificate.key_bits == old.certificate.key_bits and new.certificate.addresses == ("anna@acme.com",)
    assert new.certificate.key_digest != old.certificate.key_digest
    with store.registry.transaction(write=False) as live:
        assert live.private_key(old.certificate.thumbprint) is not None, "it opens what is under way"
    again = desk.renew(new.certificate.thumbprint[7:27], actor="test")
    assert again.certificate.not_after == new.certificate.not_after


def test_renewal_of_domain_and_ime_keys(desk: IssueDesk, store: Store) -> None:
    [domain], [ime] = issue(desk, "acme.com"), issue(desk, IME)
    assert "next domain key" in desk.renew(domain.certificate.thumbprint, actor="test").placed
    assert "IME key of acme.com now" in desk.renew(ime.certificate.thumbprint, actor="test").placed
    assert "next domain key" in desk.renew("acme.com", actor="test").placed


def test_renewal_of_what_signed_itself_signs_itself(bare: IssueDesk) -> None:
    issue(bare, "anna@acme.com", self_signed=True)
    assert not bare.renew("anna@acme.com", actor="test").by_authority


def test_renewal_of_the_certificates_of_others(desk: IssueDesk, store: Store, clock: FixedClock) -> None:
    anna = make_user("anna@acme.com", make_ca("Public CA"), kind="p256")
    with store.registry.transaction(write=True) as live:
        live.put_certificate(anna.certificate, ("anna@acme.com",), anna.key_der)
    with pytest.raises(UserError, match="was issued by CN=Public CA; ask there"):
        desk.renew("anna@acme.com", actor="test")
    with pytest.raises(UserError, match="has no certificate with its key here"):
        desk.renew("bert@acme.com", actor="test")
    with pytest.raises(UserError, match="no certificate with its key here begins with abcdef"):
        desk.renew("abcdef", actor="test")


def test_a_revoked_certificate_is_on_the_list_at_once(desk: IssueDesk, store: Store, clock: FixedClock) -> None:
    [made], [other] = issue(desk, "anna@acme.com"), issue(desk, "bert@acme.com")
    before = crl(store, made).extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    entry = desk.revoke(made.certificate.thumbprint[:20], "key-compromise", "test")
    assert entry.owner == "anna@acme.com"
    after = crl(store, made)
    assert after.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == before + 1
    line = after.get_revoked_certificate_by_serial_number(made.certificate.serial)
    assert line is not None
    assert line.extensions.get_extension_for_class(x509.CRLReason).value.reason is x509.ReasonFlags.key_compromise
    assert after.get_revoked_certificate_by_serial_number(other.certificate.serial) is None
    [listed] = KeyDesk(store.registry, clock).certificates(address="anna@acme.com")
    assert (listed.verdict.usable, listed.verdict.reason) == (False, Reason.CERTIFICATE_REVOKED)
    with pytest.raises(UserError, match="was revoked already"):
        desk.revoke(made.certificate.thumbprint, "superseded", "test")
    issue(desk, "anna@acme.com")  # nothing stands in the way of the next one


def test_a_revoked_authority_retires(desk: IssueDesk, store: Store, clock: FixedClock) -> None:
    with store.registry.transaction(write=False) as live:
        [issued] = live.authorities.issued()
    desk.revoke(issued.certificate.thumbprint, "cessationOfOperation", "test")
    with pytest.raises(UserError, match="no built-in CA"):
        issue(desk, "anna@acme.com")


def test_what_others_issued_is_revoked_there(desk: IssueDesk) -> None:
    with pytest.raises(UserError, match=r"not issued by the CA of this gateway.*trust deny"):
        desk.revoke("ab" * 32, "superseded", "test")
    for short in ("", "abc", "not hexadecimal"):
        with pytest.raises(UserError, match="digits of the thumbprint"):
            desk.revoke(short, "superseded", "test")


@pytest.mark.parametrize("text", ["keyCompromise", "key-compromise", "KEY_COMPROMISE", "key compromise"])
def test_reasons_in_every_spelling(text: str) -> None:
    assert revocation_reason(text) == "keyCompromise"


@pytest.mark.parametrize("text", ["", "certificateHold", "removeFromCRL", "because"])
def test_reasons_that_are_none(text: str) -> None:
    with pytest.raises(UserError, match="keyCompromise"):
        revocation_reason(text)
