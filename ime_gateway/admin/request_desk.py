"""Certificates from CAs of others: the request goes out, the certificate comes in, the key stays here.

A certificate is taken in only when it is for a key that waits, names its owner and can be used; then it goes where its
purpose wants it, together with the CA certificates that came along, or nothing of the file is stored.
"""

from dataclasses import dataclass

from ime_gateway.admin.domain_keys import require_not_denied
from ime_gateway.admin.ime_keys import require_fit
from ime_gateway.admin.issuing import Owner, PairKind, keep_pair, make_keys, owner_of
from ime_gateway.admin.key_pairs import KeyPair
from ime_gateway.admin.timestamps import rfc3339
from ime_gateway.base.errors import UnreadableCertificate, UserError
from ime_gateway.certs.bundle import Bundle, read_bundle
from ime_gateway.certs.certificate import Certificate
from ime_gateway.certs.fitness import fitness_fault
from ime_gateway.certs.key_kinds import SigningPrivateKey, to_pkcs8
from ime_gateway.certs.request import answers, make_request, request_pem
from ime_gateway.certs.signing_fitness import signing_fault
from ime_gateway.ports.authorities import KeyRequest
from ime_gateway.ports.clock import Clock, Randomness
from ime_gateway.ports.directory import SiteView
from ime_gateway.ports.registry import Registry, RegistryTransaction


@dataclass(frozen=True, slots=True)
class Installed:
    """A certificate that met its key."""

    owner: Owner
    certificate: Certificate
    placed: str
    """What was done with it, in one sentence."""


class RequestDesk:
    """The desk of certificate requests. Every method may raise StoreUnavailable."""

    def __init__(self, registry: Registry, clock: Clock, randomness: Randomness) -> None:
        self._registry = registry
        self._clock = clock
        self._randomness = randomness

    def request(self, name: str, kind: PairKind, actor: str) -> tuple[KeyRequest, bytes]:
        """Make a key and a request for it; the request as PEM. Raises UserError."""
        if kind == "curve25519":
            raise UserError("a request is signed with its own key, which X25519 cannot do; choose another kind")
        with self._registry.transaction(write=False) as live:
            owner = owner_of(live.view(), name)
        key = make_keys(owner, kind)[0]
        assert isinstance(key, SigningPrivateKey)
        encoded = make_request(owner.addresses, key)
        request = KeyRequest(self._randomness(8).hex(), owner.name, owner.purpose, encoded, self._clock.now())
        with self._registry.transaction(write=True) as live:
            live.authorities.put_request(request, to_pkcs8(key))
            live.audit(actor, "cert-request", f"{owner.words} request {request.id}")
        return request, request_pem(encoded)

    def waiting(self) -> list[KeyRequest]:
        """Requests that have no certificate yet, oldest first."""
        with self._registry.transaction(write=False) as live:
            return list(live.authorities.requests())

    def forget(self, id: str, actor: str) -> None:  # noqa: A002 - the command's word
        """Drop a request and its key, for good; raises UserError when there is none."""
        with self._registry.transaction(write=True) as live:
            if not live.authorities.delete_request(id):
                raise UserError(f"no request {id} waits; see: ime-gateway cert requests")
            live.audit(actor, "cert-request-forget", id)

    def install(self, data: bytes, actor: str) -> list[Installed]:
        """Take the certificate of a request from a file (PEM, DER, PKCS#7), with the CA certificates in it. Raises
        UserError, and stores nothing, when none fits."""
        try:
            bundle = read_bundle(data, None)
        except UnreadableCertificate as error:
            raise UserError(str(error), error.evidence) from None
        with self._registry.transaction(write=True) as live:
            matches = _matches(live, bundle)
            installed = [self._install(live, request, certificate) for request, certificate in matches]
            for certificate in bundle.certificates:
                if certificate.is_ca:
                    live.put_certificate(certificate, (), None)
            words = ", ".join(f"{one.owner.words} {one.certificate.thumbprint}" for one in installed)
            live.audit(actor, "cert-install", words)
        return installed

    def _install(self, live: RegistryTransaction, request: KeyRequest, certificate: Certificate) -> Installed:
        view = live.view()
        owner = _owner(view, request)
        _require_usable(certificate, owner, self._clock.now())
        require_not_denied(certificate, view.trust)
        private_key = live.authorities.request_key(request.id)
        if private_key is None:
            raise UserError(f"the key of request {request.id} is missing from the store")
        placed = keep_pair(live, owner, KeyPair(certificate, private_key), self._clock.now())
        live.authorities.delete_request(request.id)
        return Installed(owner, certificate, placed)


def _owner(view: SiteView, request: KeyRequest) -> Owner:
    if request.purpose != "ime":
        return owner_of(view, request.owner)
    domain = view.managed.get(request.owner)
    if domain is None or not domain.ime_address:
        raise UserError(f"{request.owner} has no IME address any more; the request cannot be answered")
    return owner_of(view, domain.ime_address)


def _matches(live: RegistryTransaction, bundle: Bundle) -> list[tuple[KeyRequest, Certificate]]:
    waiting = live.authorities.requests()
    people = [one for one in bundle.certificates if not one.is_ca]
    found = [(request, one) for request in waiting for one in people if answers(one, request.request)]
    if found:
        return found
    if not waiting:
        raise UserError("no request waits for a certificate; with its key in the file: ime-gateway cert import")
    if not people:
        raise UserError("it holds CA certificates only; the certificate itself is missing")
    names = ", ".join(dict.fromkeys(request.owner for request in waiting))
    raise UserError(
        f"its certificate ({people[0].subject or people[0].thumbprint}) is for none of the keys that wait here, which"
        f" are those of {names}; with its key in the file: ime-gateway cert import"
    )


def _require_usable(certificate: Certificate, owner: Owner, moment: float) -> None:
    if certificate.not_after < moment:
        raise UserError(f"the certificate expired at {rfc3339(certificate.not_after)}; ask the CA for a new one")
    if owner.purpose == "ime":
        require_fit(certificate, owner.addresses[0])
        return
    named = sorted(certificate.addresses)
    ours = owner.name in named if owner.purpose == "user" else any(one.endswith(f"@{owner.name}") for one in named)
    if not ours:
        for_whom = ", ".join(named) or "nobody by address"
        raise UserError(f"the certificate is for {for_whom}, not for {owner.words}; ask the CA for another one")
    fault = fitness_fault(certificate)
    if fault is not None and (owner.purpose == "domain" or signing_fault(certificate) is not None):
        raise UserError(f"the certificate cannot be used: {fault.detail}; ask the CA for one for S/MIME")


def request_json(request: KeyRequest) -> dict[str, object]:
    """One element of `cert requests --json`."""
    return {
        "id": request.id,
        "owner": request.owner,
        "purpose": request.purpose,
        "since": rfc3339(request.made_at),
    }
