"""Requests to CAs of others, and the certificates that come back: the right one for the right key, or nothing."""

import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509

from ime_gateway.admin.request_desk import RequestDesk, request_json
from ime_gateway.base.errors import UserError
from ime_gateway.settings.site import ManagedDomain
from ime_gateway.store.database import Store
from tests.pki import NOW, Entity, build, key_usage, make_ca, pkcs7_bundle
from tests.unit.admin.conftest import FixedClock

IME = "domain-confidentiality-authority@ime.acme.com"


@pytest.fixture
def desk(store: Store, clock: FixedClock) -> RequestDesk:
    with store.registry.transaction(write=True) as live:
        live.put_managed_domain(ManagedDomain(name="acme.com", deliver_to="smtp://127.0.0.1:9", ime_address=IME), ())
    return RequestDesk(store.registry, clock, secrets.token_bytes)


@dataclass(frozen=True)
class PublicCa:
    """Somebody else's CA, which goes by the request or does not."""

    root: Entity

    def answer(
        self, request: bytes, *addresses: str, expired: bool = False, usage: x509.KeyUsage | None = None
    ) -> Entity:
        asked = x509.load_pem_x509_csr(request)
        names = [x509.RFC822Name(address) for address in addresses]
        extensions: list[tuple[x509.ExtensionType, bool]] = [
            (x509.BasicConstraints(False, None), True),
            (usage or key_usage(digital_signature=True, key_agreement=True, key_encipherment=True), True),
        ]
        if names:
            extensions.append((x509.SubjectAlternativeName(names), False))
        before, after = NOW - timedelta(days=400), NOW + timedelta(days=-1 if expired else 365)
        key: Any = _PublicHalf(asked)
        return build(asked.subject, key, self.root, extensions, not_before=before, not_after=after)


class _PublicHalf:
    """The requester keeps its private key to itself."""

    def __init__(self, asked: x509.CertificateSigningRequest) -> None:
        self._asked = asked

    def public_key(self) -> object:
        return self._asked.public_key()


@pytest.fixture(scope="module")
def ca() -> PublicCa:
    return PublicCa(make_ca("Public CA", kind="p256"))


def ask(desk: RequestDesk, name: str = "anna@acme.com") -> bytes:
    return desk.request(name, "p-256", "test")[1]


def test_the_request_says_what_is_wanted(desk: RequestDesk) -> None:
    asked = x509.load_pem_x509_csr(ask(desk, "acme.com"))
    assert asked.is_signature_valid
    assert asked.subject.rfc4514_string() == "CN=domain-confidentiality-authority@acme.com"
    names = asked.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.RFC822Name) == [
        "domain-confidentiality-authority@acme.com", "domain-signing-authority@acme.com",
    ]  # fmt: skip
    assert asked.extensions.get_extension_for_class(x509.KeyUsage).value.key_agreement


def test_a_persons_certificate_meets_its_key(desk: RequestDesk, store: Store, ca: PublicCa) -> None:
    request = ask(desk)
    answer = ca.answer(request, "anna@acme.com", "a.nna@acme.com")
    [installed] = desk.install(pkcs7_bundle([answer, ca.root]), "test")
    assert installed.certificate == answer.certificate
    with store.registry.transaction(write=False) as live:
        assert live.private_key(answer.certificate.thumbprint) is not None
        [entry] = live.certificates(address="anna@acme.com")
        assert entry.has_private_key
        assert [one.subject for one in live.view().intermediates] == ["CN=Public CA"]
        assert live.view().roots == ()
        assert live.authorities.requests() == []
    with pytest.raises(UserError, match="no request waits"):
        desk.install(answer.pem, "test")


def test_a_domains_certificate_becomes_its_key(desk: RequestDesk, store: Store, ca: PublicCa) -> None:
    answer = ca.answer(ask(desk, "acme.com"), "mailgateway@acme.com")
    desk.install(answer.der, "test")
    with store.registry.transaction(write=False) as live:
        [key] = live.domain_keys.list("acme.com")
    assert (key.state, key.certificate) == ("current", answer.certificate)


def test_the_certificate_of_an_ime_address(desk: RequestDesk, store: Store, ca: PublicCa) -> None:
    answer = ca.answer(ask(desk, IME), IME)
    desk.install(answer.pem, "test")
    with store.registry.transaction(write=False) as live:
        [key] = live.ime_keys("acme.com")
    assert key.is_current and key.certificate == answer.certificate


def test_the_right_one_of_two_that_wait(desk: RequestDesk, ca: PublicCa) -> None:
    anna, bert = ask(desk, "anna@acme.com"), ask(desk, "bert@acme.com")
    [installed] = desk.install(ca.answer(bert, "bert@acme.com").pem, "test")
    assert installed.owner.name == "bert@acme.com"
    [waiting] = desk.waiting()
    assert waiting.owner == "anna@acme.com" and request_json(waiting)["purpose"] == "user"
    desk.install(ca.answer(anna, "anna@acme.com").pem, "test")
    assert desk.waiting() == []


def refused(desk: RequestDesk, store: Store, data: bytes, words: str) -> None:
    with store.registry.transaction(write=False) as live:
        before = (len(live.certificates()), len(live.domain_keys.list()), len(live.authorities.requests()))
    with pytest.raises(UserError, match=words):
        desk.install(data, "test")
    with store.registry.transaction(write=False) as live:
        after = (len(live.certificates()), len(live.domain_keys.list()), len(live.authorities.requests()))
    assert before == after, "nothing half imported"


def test_what_is_refused(desk: RequestDesk, store: Store, ca: PublicCa) -> None:
    request = ask(desk)
    usage = key_usage(crl_sign=True)
    refused(desk, store, b"hello", "neither PEM nor DER")
    refused(desk, store, ca.root.pem, "CA certificates only")
    refused(desk, store, ca.answer(request, "eve@acme.com").pem, r"is for eve@acme\.com, not for anna@acme\.com")
    refused(desk, store, ca.answer(request).pem, "is for nobody by address, not for anna")
    refused(desk, store, ca.answer(request, "anna@acme.com", expired=True).pem, "expired at")
    both = pkcs7_bundle([ca.root, ca.answer(request, "anna@acme.com", usage=usage)])
    refused(desk, store, both, "ask the CA for one for S/MIME")
    stranger = ca.answer(RequestDesk.request(desk, "bert@acme.com", "p-256", "test")[1], "bert@acme.com")
    desk.forget(next(one.id for one in desk.waiting() if one.owner == "bert@acme.com"), "test")
    refused(desk, store, stranger.pem, r"for none of the keys that wait here, which are those of anna@acme\.com")
    desk.install(ca.answer(request, "anna@acme.com").pem, "test")


def test_a_signing_certificate_is_no_domain_key(desk: RequestDesk, store: Store, ca: PublicCa) -> None:
    usage = key_usage(digital_signature=True)
    answer = ca.answer(ask(desk, "acme.com"), "mailgateway@acme.com", usage=usage)
    refused(desk, store, answer.pem, "keyAgreement")
    person = ca.answer(ask(desk, "anna@acme.com"), "anna@acme.com", usage=usage)
    assert desk.install(person.pem, "test"), "people may have one key for each"


def test_a_certificate_for_another_domain(desk: RequestDesk, store: Store, ca: PublicCa) -> None:
    request = ask(desk, "acme.com")
    for address in ("gateway@xacme.com", "gateway@sub.acme.com", "acme.com@evil.com"):
        refused(desk, store, ca.answer(request, address).pem, "not for domain acme")


def test_a_domain_that_is_gone(desk: RequestDesk, store: Store, ca: PublicCa) -> None:
    request, ime = ask(desk, "acme.com"), ask(desk, IME)
    with store.registry.transaction(write=True) as live:
        live.delete_domain("acme.com")
    refused(desk, store, ca.answer(request, "x@acme.com").pem, "no managed domain")
    refused(desk, store, ca.answer(ime, IME).pem, "no IME address any more")


def test_forgetting(desk: RequestDesk) -> None:
    made, _ = desk.request("anna@acme.com", "p-256", "test")
    assert "PRIVATE" not in repr(made)
    desk.forget(made.id, "test")
    assert desk.waiting() == []
    with pytest.raises(UserError, match=f"no request {made.id} waits"):
        desk.forget(made.id, "test")
    with pytest.raises(UserError, match="X25519"):
        desk.request("anna@acme.com", "curve25519", "test")
