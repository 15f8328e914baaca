"""Revocation for tests: CRLs and OCSP answers of the CAs of tests/pki, with any fault, and servers that give them."""

import ssl
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID

from ime_gateway.certs.revocation import Finding, Link, RevocationMode
from tests.pki import DAY, NOW, Entity

Extensions = Iterable[tuple[x509.ExtensionType, bool]]


def make_crl(
    ca: Entity,
    revoked: Iterable[Entity | int] = (),
    *,
    this_update: datetime = NOW - DAY,
    next_update: datetime = NOW + 7 * DAY,
    reason: x509.ReasonFlags | None = None,
    extensions: Extensions = (),
    entry_extensions: Extensions = (),
    signer: Entity | None = None,
    number: int = 1,
) -> bytes:
    """A CRL in DER. signer: another key than the CA's, under the CA's name."""
    builder = x509.CertificateRevocationListBuilder().issuer_name(ca.x509.subject)
    builder = builder.last_update(this_update).next_update(next_update).add_extension(x509.CRLNumber(number), False)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    for one in revoked:
        serial = one if isinstance(one, int) else one.x509.serial_number
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(this_update)
        if reason is not None:
            entry = entry.add_extension(x509.CRLReason(reason), False)
        for extension, critical in entry_extensions:
            entry = entry.add_extension(extension, critical)
        builder = builder.add_revoked_certificate(entry.build())
    key = (signer or ca).key
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, digest).public_bytes(Encoding.DER)  # type: ignore[arg-type]


def scope(**limits: object) -> tuple[x509.ExtensionType, bool]:
    """IssuingDistributionPoint with the named limits, all others off."""
    known: dict[str, object] = {
        "full_name": None,
        "relative_name": None,
        "only_contains_user_certs": False,
        "only_contains_ca_certs": False,
        "only_some_reasons": None,
        "indirect_crl": False,
        "only_contains_attribute_certs": False,
    }
    return x509.IssuingDistributionPoint(**{**known, **limits}), True  # type: ignore[arg-type]


def points(*urls: str, reasons: frozenset[x509.ReasonFlags] | None = None) -> tuple[x509.ExtensionType, bool]:
    """CRLDistributionPoints, for `make_user(extra=[...])`."""
    return (
        x509.CRLDistributionPoints(
            [x509.DistributionPoint([x509.UniformResourceIdentifier(url)], None, reasons, None) for url in urls]
        ),
        False,
    )


def responder(*urls: str) -> tuple[x509.ExtensionType, bool]:
    """AuthorityInformationAccess with OCSP responders."""
    described = [
        x509.AccessDescription(AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(url)) for url in urls
    ]
    return x509.AuthorityInformationAccess(described), False


def make_answer(
    link: Link,
    *,
    signer: Entity,
    status: ocsp.OCSPCertStatus = ocsp.OCSPCertStatus.GOOD,
    this_update: datetime = NOW - DAY,
    next_update: datetime | None = NOW + DAY,
    certificates: Sequence[Entity] = (),
    digest: hashes.HashAlgorithm | None = None,
    reason: x509.ReasonFlags = x509.ReasonFlags.key_compromise,
) -> bytes:
    """An OCSPResponse in DER, signed by `signer`."""
    revoked = status is ocsp.OCSPCertStatus.REVOKED
    builder = ocsp.OCSPResponseBuilder().add_response(
        cert=link.certificate.x509,
        issuer=link.issuer.x509,
        algorithm=digest or hashes.SHA1(),
        cert_status=status,
        this_update=this_update,
        next_update=next_update,
        revocation_time=this_update if revoked else None,
        revocation_reason=reason if revoked else None,
    )
    builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, signer.x509)
    if certificates:
        builder = builder.certificates([one.x509 for one in certificates])
    hash_algorithm = None if isinstance(signer.key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(signer.key, hash_algorithm).public_bytes(Encoding.DER)  # type: ignore[arg-type]


@dataclass
class Book:
    """A RevocationBook out of a function."""

    ask: Callable[[Link, float], Finding]
    mode: RevocationMode = "hard-fail"
    asked: list[Link] = field(default_factory=list)

    def finding(self, link: Link, moment: float) -> Finding:
        self.asked.append(link)
        return self.ask(link, moment)


Behaviour = Callable[[BaseHTTPRequestHandler], None]


def send(handler: BaseHTTPRequestHandler, body: bytes, status: int = 200, **headers: str) -> None:
    """One whole answer."""
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


class WebServer:
    """An HTTP server on loopback whose paths behave as told; counts what was asked. tls: it speaks HTTPS."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.paths: dict[str, Behaviour] = {}
        self.asked: list[str] = []
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                outer.headers.append({name.lower(): value for name, value in self.headers.items()})
                outer.bodies.append(self.rfile.read(int(self.headers.get("Content-Length", "0"))))
                behave = outer.paths.get(self.path)
                if behave is None:
                    send(self, b"no such thing", 404)
                else:
                    behave(self)

            do_POST = do_GET  # noqa: N815 - the library calls it so

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                pass  # clients that break off are what is tested

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def give(self, path: str, body: bytes) -> None:
        """Answer a path with these octets from now on."""
        self.paths[path] = lambda handler: send(handler, body)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
