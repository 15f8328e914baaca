"""The DNS look-up against a name server on a real UDP socket that answers as told."""

import asyncio
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from ime_gateway.lookup.dns import DnsExchangers
from ime_gateway.ports.exchangers import Exchanger, Exchangers, LookupFailed, TakesNoMail

ZONE: dict[tuple[str, str], list[str]] = {
    ("x.example.", "MX"): ["20 Mx2.x.example.", "10 mx1.x.example."],
    ("null.example.", "MX"): ["0 ."],
    ("implicit.example.", "A"): ["127.0.0.1"],
    ("six.example.", "AAAA"): ["::1"],
}
EMPTY = ("empty.example.",)


class NameServer(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.questions: list[tuple[str, str]] = []

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        query = dns.message.from_wire(data)
        name, kind = query.question[0].name.to_text().lower(), dns.rdatatype.to_text(query.question[0].rdtype)
        self.questions.append((name, kind))
        if name == "silent.example.":
            return
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        if name == "broken.example.":
            response.set_rcode(dns.rcode.SERVFAIL)
        elif (name, kind) in ZONE:
            response.answer.append(dns.rrset.from_text(name, 300, "IN", kind, *ZONE[name, kind]))
        elif name not in EMPTY and not any(known == name for known, _ in ZONE):
            response.set_rcode(dns.rcode.NXDOMAIN)
        self.transport.sendto(response.to_wire(), address)


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        ("x.example", Exchangers((Exchanger(20, "mx2.x.example"), Exchanger(10, "mx1.x.example")))),
        ("implicit.example", Exchangers((Exchanger(0, "implicit.example"),))),
        ("six.example", Exchangers((Exchanger(0, "six.example"),))),
        ("null.example", TakesNoMail),
        ("empty.example", TakesNoMail),
        ("missing.example", TakesNoMail),
        ("a..b", TakesNoMail),
        ("x" * 64 + ".example", TakesNoMail),
        ("broken.example", LookupFailed),
        ("silent.example", LookupFailed),
    ],
)
def test_yes_no_and_no_answer_are_three_things(domain: str, expected: Any) -> None:
    async def scenario() -> Any:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(NameServer, local_addr=("127.0.0.1", 0))
        port = transport.get_extra_info("sockname")[1]
        try:
            return await DnsExchangers(("127.0.0.1",), port, lifetime_seconds=0.5).exchangers(domain)
        finally:
            transport.close()

    found = asyncio.run(scenario())
    if isinstance(expected, type):
        assert isinstance(found, expected)
        assert domain in found.detail
        if domain == "null.example":
            assert found.null_mx
    else:
        assert set(found.hosts) == set(expected.hosts)


def test_answers_are_kept_for_their_time() -> None:
    async def scenario() -> list[tuple[str, str]]:
        server = NameServer()
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: server, local_addr=("127.0.0.1", 0)
        )
        lookup = DnsExchangers(("127.0.0.1",), transport.get_extra_info("sockname")[1])
        for _ in range(3):
            await lookup.exchangers("x.example")
        transport.close()
        return server.questions

    assert asyncio.run(scenario()) == [("x.example.", "MX")]
