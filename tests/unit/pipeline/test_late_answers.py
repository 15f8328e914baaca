"""Which certificate an answer is late about, wherever the certificate came from, and what `explain` says of it."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from ime_gateway.app.explainer import Explainer
from ime_gateway.base.outcome import Refused
from ime_gateway.base.reasons import Reason
from ime_gateway.mail.address import Address
from ime_gateway.pipeline.directory_candidates import DirectoryCandidates
from ime_gateway.ports.address_directory import DirectoryAnswer, FoundCertificate
from ime_gateway.ports.revocation import Unfetched
from ime_gateway.settings.site import Policy
from tests.core import Core, allow, close, make_core, root
from tests.pki import Entity, make_user
from tests.revocation import points, responder

ZOE = "zoe@bolt.example"
DCA = "domain-confidentiality-authority@bolt.example"
URL = "http://slow.example/a.crl"
MAIL = f"From: anna@acme.example\nTo: {ZOE}\nX-SMENC: yes\n\nx\n".encode()


class Silence:
    """A network in which nobody answers."""

    async def crl(self, url: str) -> bytes | Unfetched:
        await asyncio.sleep(60)
        return Unfetched("nothing")

    async def ocsp(self, url: str, question: bytes) -> bytes | Unfetched:
        return await self.crl(url)


@dataclass
class Directories:
    people: dict[str, DirectoryAnswer] = field(default_factory=dict)

    def covers(self, domain: str, *, managed: bool) -> bool:
        return True

    async def about(self, address: Address, *, managed: bool) -> DirectoryAnswer:
        return self.people.get(address.key, DirectoryAnswer())

    async def members(self, address: Address, *, managed: bool) -> Any:
        raise AssertionError("there are no groups")


@pytest.fixture
def core(tmp_path: Path) -> Iterator[Core]:
    made = make_core(tmp_path, decide_seconds=0.3)
    made.configure(lambda live: live.put_policy(Policy(revocation="hard-fail")))
    made.receiver.planner.opener.revocations.source = Silence()
    yield made
    close(made)


def late(core: Core, *to: str) -> Refused:
    outcome, copies = core.send(MAIL, "anna@acme.example", to or (ZOE,))
    assert isinstance(outcome, Refused) and outcome.reason is Reason.LOOKUP_TIMEOUT and not copies
    return outcome


def imported(core: Core, entity: Entity, address: str = ZOE) -> None:
    core.configure(lambda live: live.put_certificate(entity.certificate, (address,), None))


@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize("owner", [ZOE, DCA])
def test_one_that_a_directory_gave(core: Core, owner: str, trusted: bool) -> None:
    found = make_user(owner, root(), extra=[points(URL)])
    directories = Directories({owner: DirectoryAnswer((FoundCertificate(found.certificate, "corp", trusted),))})
    planner = core.receiver.planner
    lookups = DirectoryCandidates(planner.facts, directories, directories, 20)
    core.receiver = replace(core.receiver, planner=replace(planner, lookups=lookups))
    outcome = late(core)
    assert outcome.address == ZOE and f"no answer from slow.example whether the certificate of {ZOE}" in outcome.detail


def test_one_that_everything_is_encrypted_to(core: Core) -> None:
    archive = make_user("archive@acme.example", root(), extra=[points(URL)])
    zoe = make_user(ZOE)
    imported(core, zoe)
    core.configure(lambda live: allow(live, zoe))
    core.configure(lambda live: live.put_additional_certificates([archive.certificate]))
    outcome = late(core)
    assert outcome.address == "" and "an additional certificate of [policy] was revoked" in outcome.detail
    assert archive.certificate.thumbprint[:19] in outcome.detail


def test_responders_and_several_recipients(core: Core) -> None:
    places = [f"http://o{number}.example/" for number in range(4)]
    imported(core, make_user(ZOE, root(), extra=[responder(*places)]))
    imported(core, make_user("max@bolt.example", root(), extra=[points(URL)]), "max@bolt.example")
    outcome = late(core, ZOE, "max@bolt.example")
    assert outcome.address == ZOE
    assert f"from o0.example, o1.example and 2 more whether the certificate of {ZOE} and others" in outcome.detail


def test_explain_says_the_same(core: Core) -> None:
    imported(core, make_user(ZOE, root(), extra=[points(URL)]))
    explainer = Explainer(core.installation)
    explainer._planner.opener.revocations.source = Silence()
    listener = core.installation.settings.listener_named("internal")
    assert listener is not None
    told = core.run(
        explainer(bytearray(MAIL.replace(b"\n", b"\r\n")), listener, "anna@acme.example", [ZOE], "127.0.0.1", 1.8e9)
    )
    assert told["decision"] == "defer" and f"451 4.4.3 <{ZOE}>" in str(told["reply"])
    assert "slow.example" in str(told["reply"])
