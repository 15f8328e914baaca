"""Turns a file of certificates into what the store will keep: for whom, and with which private key.

One file may hold a person's certificate, its chain and its key (PKCS#12), or a hundred people's
(PKCS#7). CA certificates are kept as links for path building and belong to nobody; a person's
certificate must say, or be told, whose it is, else it could never be chosen.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ime_gateway.base.errors import UnreadableMail, UserError
from ime_gateway.certs.bundle import Bundle
from ime_gateway.certs.certificate import Certificate
from ime_gateway.certs.fitness import is_self_signed
from ime_gateway.certs.trust import may_have_signed
from ime_gateway.mail.address import parse_path


@dataclass(frozen=True, slots=True)
class Arrival:
    """One certificate on its way into the store."""

    certificate: Certificate
    addresses: tuple[str, ...]
    """Address keys, sorted; empty for a CA."""
    private_key: bytes | None
    """PKCS#8 DER, when it came along."""


def arrivals(bundle: Bundle, addresses: Sequence[str]) -> list[Arrival]:
    """What a file brings; `addresses` replace those in its certificates when given.

    Raises UserError with a sentence that says what to change.
    """
    keys = {entry.thumbprint: entry.pkcs8_der for entry in bundle.private_keys}
    if None in keys:
        raise UserError("a private key in it belongs to none of its certificates; put both into one file")
    given = tuple(sorted({address_key(text) for text in addresses}))
    people = [certificate for certificate in bundle.certificates if not certificate.is_ca]
    if given and not people:
        people = list(bundle.certificates)  # a self-made certificate that calls itself a CA
    if given and len(people) > 1:
        raise UserError(f"it holds certificates of {len(people)} people; addresses can be given for one only")
    found: list[Arrival] = []
    for certificate in bundle.certificates:
        owned = (given or tuple(sorted(certificate.addresses))) if certificate in people else ()
        if certificate in people and not owned:
            raise UserError(f"the certificate {certificate.subject!r} names no mail address; give its addresses")
        found.append(Arrival(certificate, owned, keys.get(certificate.thumbprint)))
    if not found:
        raise UserError("it holds no certificate")
    return found


def roots_and_links(certificates: Iterable[Certificate]) -> tuple[list[Certificate], list[Certificate]]:
    """The certificates of one file of roots: the trust anchors, and the CAs below them, which the file brings along.

    A CA that another one of the file issued can be revoked by it, and nobody asks about the revocation of an anchor
    (RFC 5280 section 6.1.3). An issuing CA alone in its file stays what the administrator made of it, an anchor.
    """
    everyone = list(certificates)
    links = [one for one in everyone if one.is_ca and not is_self_signed(one) and _issued_among(one, everyone)]
    roots = [one for one in everyone if one not in links]
    return (roots, links) if roots else (everyone, [])  # CAs that certify each other: none is above the others


def _issued_among(certificate: Certificate, others: Iterable[Certificate]) -> bool:
    return any(may_have_signed(one, certificate) for one in others if one != certificate)


def address_key(text: str) -> str:
    """An address as certificates are found by it; raises UserError."""
    try:
        return parse_path(text.strip()).key
    except UnreadableMail as error:
        raise UserError(f"{text!r} is no mail address: {error}") from None
