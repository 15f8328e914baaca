"""Asks CRL distribution points (RFC 2585, RFC 4523) and OCSP responders (RFC 6960 appendix A) of the network.

What they send is bytes of strangers: `certs/crl` and `certs/ocsp` decide what it is worth.
"""

from ime_gateway.certs.ocsp import MAXIMUM_BYTES
from ime_gateway.lookup.fetch import Fetcher
from ime_gateway.ports.revocation import Unfetched


class NetworkRevocations:
    """The RevocationSource of ports/revocation."""

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher

    async def crl(self, url: str) -> bytes | Unfetched:
        """As the port says."""
        if url.lower().startswith("ldap"):
            from ime_gateway.lookup.ldap_crl import fetch_crl  # its library is large, and few CAs need it

            fetcher = self._fetcher
            return await fetcher.limited(lambda work: fetch_crl(url, fetcher.max_bytes, fetcher.allowed, work))
        return await self._fetcher.fetch(url)

    async def ocsp(self, url: str, question: bytes) -> bytes | Unfetched:
        """As the port says."""
        return await self._fetcher.fetch(url, question, "application/ocsp-request", MAXIMUM_BYTES)
