"""Directories behind the decision: who is asked about, what is believed, and what happens when nobody answers."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import pytest

from ime_gateway.base.outcome import Accepted, Refused
from ime_gateway.base.reasons import Reason
from ime_gateway.mail.address import Address, parse_path
from ime_gateway.pipeline.directory_candidates import DirectoryCandidates
from ime_gateway.pipeline.planning import Planned, refusal_of
from ime_gateway.policy.plan import RecipientPlan
from ime_gateway.ports.address_directory import (
    DirectoryAnswer,
    FoundCertificate,
    GroupMembers,
    NoDirectoryAnswer,
    NotExpandable,
)
from ime_gateway.ports.directory import TrustEntry
from ime_gateway.ports.revocation import StoredAnswer
from ime_gateway.settings.site import AddressSettings, PartnerDomain, Policy
from tests.core import PSEUDO, Core, Delivered, close, make_core, person
from tests.pki import make_ca, make_user
from tests.revocation import make_crl, points

DOWN = NoDirectoryAnswer("directory corp did not answer within 3 s")
CRL = "http://127.0.0.1:1/a.crl"
DCA = "domain-confidentiality-authority"


@dataclass
class Directories:
    """Both ports, by dictionaries; remembers who was asked about."""

    people: dict[str, DirectoryAnswer | NoDirectoryAnswer] = field(default_factory=dict)
    groups: dict[str, GroupMembers | NotExpandable | NoDirectoryAnswer] = field(default_factory=dict)
    expands: bool = True
    asked: list[str] = field(default_factory=list)

    def covers(self, domain: str, *, managed: bool) -> bool:
        return domain != "uncovered.example"

    async def about(self, address: Address, *, managed: bool) -> DirectoryAnswer | NoDirectoryAnswer:
        self.asked.append(address.key)
        return self.people.get(address.key, DirectoryAnswer())

    async def members(self, address: Address, *, managed: bool) -> GroupMembers | NotExpandable | NoDirectoryAnswer:
        return self.groups[address.key]


@dataclass
class GroupsOff(Directories):
    def covers(self, domain: str, *, managed: bool) -> bool:
        return False


@dataclass
class World:
    core: Core
    directories: Directories

    def configure(self, act: Any) -> None:
        self.core.configure(act)

    def plan(self, mail: bytes, recipients: list[str], sender: str = "anna@acme.example") -> Planned | Refused:
        submission = self.core.submission(mail, sender, recipients)

        async def go() -> Any:
            return await self.core.receiver.planner.plan(submission, await self.core.store.directory.view())

        planned = asyncio.run(go())
        assert isinstance(planned, Planned | Refused)
        return planned

    def one(self, mail: bytes, recipient: str) -> RecipientPlan:
        planned = self.plan(mail, [recipient])
        assert isinstance(planned, Planned)
        assert len(planned.plan.recipients) == 1
        return planned.plan.recipients[0]

    def learnt(self, url: str, der: bytes) -> None:
        """A list that was fetched before."""
        now = time.time()
        asyncio.run(self.core.store.revocations.keep(StoredAnswer("crl", url, der, now, now + 9e5, now, "", now)))

    def send(self, mail: bytes, recipients: list[str]) -> tuple[Any, list[Delivered]]:
        return self.core.send(mail, "anna@acme.example", recipients)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    core = make_core(tmp_path)
    directories = Directories()
    planner = core.receiver.planner
    lookups = DirectoryCandidates(planner.facts, directories, directories, 20)
    core.receiver = replace(core.receiver, planner=replace(planner, lookups=lookups))
    yield World(core, directories)
    close(core)


def plain(to: str, *more: str) -> bytes:
    head = "\n".join(("From: anna@acme.example", f"To: {to}", "Subject: numbers", *more))
    return f"{head}\n\nThe secret is here.\n".encode()


def encrypted(to: str) -> bytes:
    return plain(to, "x-smenc: yes")


def ime(to: str) -> bytes:
    return plain(PSEUDO, f"X-SM-ORIGTO: {to}")


def given(address: str, *, trusted: bool = False, fault: str = "") -> DirectoryAnswer:
    entity = person(address, fault) if fault else person(address)
    return DirectoryAnswer((FoundCertificate(entity.certificate, "corp", trusted),))


# Certificates


def test_a_certificate_of_the_directory_that_proves_itself_is_used(world: World) -> None:
    world.directories.people["zoe@acme.example"] = given("zoe@acme.example")
    found = world.one(encrypted("zoe@acme.example"), "zoe@acme.example")
    assert (found.protection, found.reason) == ("smime-personal", Reason.PERSONAL_CERTIFICATE)
    assert found.keys == (person("zoe@acme.example").certificate.thumbprint,)
    assert found.detail.endswith("found in directory corp")
    assert [one.candidate.selected_by for one in found.considered] == ["directory"]
    outcome, delivered = world.send(encrypted("zoe@acme.example"), ["zoe@acme.example"])
    assert isinstance(outcome, Accepted) and delivered[0].protection == "smime-personal"
    assert b"secret" not in delivered[0].wire


@pytest.mark.parametrize(
    ("fault", "reason"), [("selfsigned", Reason.CERTIFICATE_UNTRUSTED), ("expired", Reason.CERTIFICATE_EXPIRED)]
)
def test_one_that_does_not_prove_itself_is_not_used_on_the_word_of_a_candidates_directory(
    world: World, fault: str, reason: Reason
) -> None:
    world.directories.people["zoe@acme.example"] = given("zoe@acme.example", fault=fault)
    found = world.one(encrypted("zoe@acme.example"), "zoe@acme.example")
    assert (found.protection, found.reason) == (None, reason)
    assert "found in directory corp" in found.detail


def test_a_valid_certificate_of_somebody_else_is_not_used(world: World) -> None:
    world.directories.people["zoe@acme.example"] = given("mallory@acme.example")
    found = world.one(encrypted("zoe@acme.example"), "zoe@acme.example")
    assert (found.protection, found.reason) == (None, Reason.CERTIFICATE_UNTRUSTED)
    assert "it is for mallory@acme.example" in found.detail


def test_a_trusted_directory_vouches_for_what_proves_nothing(world: World) -> None:
    world.directories.people["zoe@acme.example"] = given("other@acme.example", trusted=True, fault="selfsigned")
    found = world.one(encrypted("zoe@acme.example"), "zoe@acme.example")
    assert found.protection == "smime-personal" and "directory corp vouches for it" in found.detail
    outcome, delivered = world.send(encrypted("zoe@acme.example"), ["zoe@acme.example"])
    assert isinstance(outcome, Accepted) and b"secret" not in delivered[0].wire


def test_no_directory_vouches_past_a_denial_or_an_end(world: World) -> None:
    world.directories.people["zoe@acme.example"] = given("zoe@acme.example", trusted=True, fault="expired")
    assert world.one(encrypted("zoe@acme.example"), "zoe@acme.example").reason is Reason.CERTIFICATE_EXPIRED
    world.directories.people["zoe@acme.example"] = given("zoe@acme.example", trusted=True)
    assert world.one(encrypted("zoe@acme.example"), "zoe@acme.example").protection == "smime-personal"
    thumbprint = person("zoe@acme.example").certificate.thumbprint
    world.configure(lambda live: live.put_trust(TrustEntry(thumbprint, "deny")))
    assert world.one(encrypted("zoe@acme.example"), "zoe@acme.example").reason is Reason.CERTIFICATE_DENIED


@pytest.mark.parametrize(
    ("mode", "listed", "reason"),
    [
        ("soft-fail", True, Reason.CERTIFICATE_REVOKED),
        ("soft-fail", False, Reason.PERSONAL_CERTIFICATE),
        ("hard-fail", None, Reason.REVOCATION_UNKNOWN),
        ("off", True, Reason.PERSONAL_CERTIFICATE),
    ],
)
def test_no_directory_vouches_past_a_revocation(
    world: World, mode: Literal["soft-fail", "hard-fail", "off"], listed: bool | None, reason: Reason
) -> None:
    root = make_ca("Revoking Root")
    zoe = make_user("zoe@acme.example", root, extra=[points(CRL)])
    world.configure(lambda live: live.put_root(root.certificate))
    world.configure(lambda live: live.put_policy(Policy(revocation=mode)))
    world.directories.people["zoe@acme.example"] = DirectoryAnswer((FoundCertificate(zoe.certificate, "corp", True),))
    if listed is not None:
        world.learnt(CRL, make_crl(root, [zoe] if listed else []))
    assert world.one(encrypted("zoe@acme.example"), "zoe@acme.example").reason is reason


def test_what_was_imported_and_works_is_never_replaced_and_nobody_is_asked(world: World) -> None:
    world.directories.people["bob@acme.example"] = given("other@acme.example", trusted=True)
    found = world.one(encrypted("bob@acme.example"), "bob@acme.example")
    assert found.keys == (person("bob@acme.example").certificate.thumbprint,)
    assert world.directories.asked == []


def test_an_imported_one_that_expired_is_helped_out_by_the_directory(world: World) -> None:
    world.directories.people["frank@acme.example"] = given("frank@acme.example")
    found = world.one(encrypted("frank@acme.example"), "frank@acme.example")
    assert found.keys == (person("frank@acme.example").certificate.thumbprint,)
    assert [one.candidate.reason for one in found.considered][-1] is Reason.CERTIFICATE_EXPIRED


def test_plain_mail_and_mail_from_outside_ask_nobody(world: World) -> None:
    assert world.one(plain("zoe@elsewhere.example"), "zoe@elsewhere.example").protection == "none"
    submission = world.core.submission(
        plain("zoe@acme.example"), "eve@elsewhere.example", ["zoe@acme.example"], "internet"
    )

    async def go() -> Any:
        return await world.core.receiver.planner.plan(submission, await world.core.store.directory.view())

    asyncio.run(go())
    assert world.directories.asked == []


def test_a_choice_by_hand_and_domains_that_are_not_covered_ask_nobody(world: World) -> None:
    settings = AddressSettings(address="zoe@elsewhere.example", selection="manual", use=("sha256:" + "0" * 64,))
    world.configure(lambda live: live.put_address(settings))
    for recipient in ("zoe@elsewhere.example", "zoe@uncovered.example"):
        assert world.one(encrypted(recipient), recipient).reason is Reason.NO_CERTIFICATE
    assert world.directories.asked == []


def test_the_certificate_of_a_whole_domain_is_found_under_its_own_name(world: World) -> None:
    world.directories.people[f"{DCA}@strict.example"] = given(f"{DCA}@strict.example")
    found = world.one(plain("zoe@strict.example"), "zoe@strict.example")
    assert (found.protection, found.keys) == (
        "smime-domain", (person(f"{DCA}@strict.example").certificate.thumbprint,)
    )  # fmt: skip
    assert sorted(world.directories.asked) == [f"{DCA}@strict.example", "zoe@strict.example"]


def test_the_certificate_of_another_domain_does_not_serve(world: World) -> None:
    world.directories.people[f"{DCA}@strict.example"] = given(f"{DCA}@evil.example")
    found = world.one(plain("zoe@strict.example"), "zoe@strict.example")
    assert found.protection is None


# No answer is no "no"


def test_mail_that_must_be_encrypted_waits_for_the_directory(world: World) -> None:
    world.directories.people["zoe@acme.example"] = DOWN
    outcome, delivered = world.send(encrypted("zoe@acme.example"), ["zoe@acme.example"])
    assert isinstance(outcome, Refused) and delivered == []
    assert (outcome.reason, outcome.temporary, outcome.address) == (Reason.LOOKUP_TIMEOUT, True, "zoe@acme.example")
    assert DOWN.detail in outcome.detail
    world.directories.people["zoe@acme.example"] = given("zoe@acme.example")
    outcome, delivered = world.send(encrypted("zoe@acme.example"), ["zoe@acme.example"])
    assert isinstance(outcome, Accepted) and len(delivered) == 1


def test_mail_that_may_be_encrypted_waits_too_and_leaves_in_clear_after_a_no(world: World) -> None:
    world.directories.people["zoe@friend.example"] = DOWN
    outcome, delivered = world.send(plain("zoe@friend.example"), ["zoe@friend.example"])
    assert isinstance(outcome, Refused) and outcome.temporary and delivered == []
    world.directories.people["zoe@friend.example"] = DirectoryAnswer()
    outcome, delivered = world.send(plain("zoe@friend.example"), ["zoe@friend.example"])
    assert isinstance(outcome, Accepted) and delivered[0].protection == "none"


def test_a_domain_certificate_of_ours_serves_while_the_directory_is_down(world: World) -> None:
    world.directories.people["zoe@partner.example"] = DOWN
    assert world.one(plain("zoe@partner.example"), "zoe@partner.example").protection == "smime-domain"


def test_nobody_is_left_out_because_a_directory_is_down(world: World) -> None:
    world.configure(lambda live: live.put_policy(Policy(on_unprotectable="report")))
    world.directories.people["zoe@acme.example"] = DOWN
    planned = world.plan(encrypted("zoe@acme.example"), ["zoe@acme.example", "bob@acme.example"])
    assert isinstance(planned, Planned)
    refused = refusal_of(planned)
    assert refused is not None and refused.temporary and refused.reason is Reason.LOOKUP_TIMEOUT


def test_the_senders_own_copy_is_looked_up_as_well(world: World) -> None:
    world.directories.people["zoe@acme.example"] = given("zoe@acme.example")
    planned = world.plan(
        ime("bob@acme.example").replace(b"From: anna", b"From: zoe"), [PSEUDO], sender="zoe@acme.example"
    )
    assert isinstance(planned, Planned)
    assert [(one.copy, one.protection) for one in planned.plan.recipients] == [
        ("recipient", "smime-personal"),
        ("sent", "smime-personal"),
    ]


# Groups


def group(name: str = "Sales") -> DirectoryAnswer:
    return DirectoryAnswer(group=name)


def members(*names: str) -> GroupMembers:
    return GroupMembers(tuple(parse_path(name if "@" in name else f"{name}@acme.example") for name in names))


def test_a_group_becomes_its_members_who_are_blind_to_each_other(world: World) -> None:
    world.directories.people["sales@acme.example"] = group()
    world.directories.groups["sales@acme.example"] = members("bob", "carol", "dora", "anna")
    outcome, delivered = world.send(ime("sales@acme.example, dora@acme.example"), [PSEUDO])
    assert isinstance(outcome, Accepted)
    people = [one for one in delivered if one.copy == "recipient"]
    assert sorted(one.recipient for one in people) == [
        f"{name}@acme.example" for name in ("anna", "bob", "carol", "dora")
    ]
    assert len({one.envelope for one in people}) == 4 and len(delivered) == 5
    for one in delivered:
        assert "To: sales@acme.example, dora@acme.example" in one.unfolded
        assert "carol" not in one.head and b"secret" not in one.wire
    planned = world.plan(ime("sales@acme.example, dora@acme.example"), [PSEUDO])
    assert isinstance(planned, Planned)
    blind = {one.address.local: one.blind for one in planned.plan.recipients if one.copy == "recipient"}
    assert blind == {"bob": True, "carol": True, "anna": True, "dora": False}


def test_members_without_a_certificate_are_looked_up_and_named(world: World) -> None:
    world.directories.people |= {"sales@acme.example": group(), "zoe@acme.example": given("zoe@acme.example")}
    world.directories.groups["sales@acme.example"] = members("bob", "zoe", "yara")
    planned = world.plan(ime("sales@acme.example"), [PSEUDO])
    assert isinstance(planned, Planned)
    refused = refusal_of(planned)
    assert refused is not None and (refused.reason, refused.address) == (Reason.NO_CERTIFICATE, "yara@acme.example")
    zoe = next(one for one in planned.plan.recipients if one.address.local == "zoe")
    assert zoe.protection == "smime-personal"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (NotExpandable("it is dynamic"), Reason.RECIPIENT_IS_GROUP),
        (NoDirectoryAnswer("down"), Reason.LOOKUP_TIMEOUT),
        (members(*(f"x{number}" for number in range(25))), Reason.RECIPIENT_IS_GROUP),
    ],
)
def test_a_group_that_cannot_be_expanded_is_called_one(world: World, answer: Any, reason: Reason) -> None:
    world.directories.people["sales@acme.example"] = group()
    world.directories.groups["sales@acme.example"] = answer
    planned = world.plan(ime("sales@acme.example"), [PSEUDO])
    assert isinstance(planned, Planned)
    refused = refusal_of(planned)
    assert refused is not None and (refused.reason, refused.address) == (reason, "sales@acme.example")
    assert getattr(answer, "detail", "at most 20") in refused.detail


@pytest.mark.parametrize(("count", "reason"), [(20, Reason.NO_CERTIFICATE), (21, Reason.RECIPIENT_IS_GROUP)])
def test_the_limit_itself_is_allowed(world: World, count: int, reason: Reason) -> None:
    """Twenty, as the fixture says: their members are asked about; of one more nobody is."""
    world.directories.people["sales@acme.example"] = group()
    world.directories.groups["sales@acme.example"] = members(*(f"x{number}" for number in range(count)))
    planned = world.plan(encrypted("sales@acme.example"), ["sales@acme.example"])
    assert isinstance(planned, Planned)
    refused = refusal_of(planned)
    assert refused is not None and refused.reason is reason
    assert ("x0@acme.example" in world.directories.asked) is (count == 20)


def test_without_expansion_a_group_is_called_one_and_never_no_certificate(world: World) -> None:
    lookups = world.core.receiver.planner.lookups
    assert lookups is not None
    lookups.groups = GroupsOff()
    world.directories.people["sales@acme.example"] = group()
    planned = world.plan(ime("sales@acme.example"), [PSEUDO])
    assert isinstance(planned, Planned)
    refused = refusal_of(planned)
    assert refused is not None and refused.reason is Reason.RECIPIENT_IS_GROUP and "group Sales" in refused.detail


def test_a_group_with_a_certificate_of_its_own_is_not_expanded(world: World) -> None:
    world.directories.people["sales@acme.example"] = replace(given("sales@acme.example"), group="Sales")
    found = world.one(encrypted("sales@acme.example"), "sales@acme.example")
    assert found.protection == "smime-personal" and found.address.local == "sales"


def test_plain_mail_to_a_group_is_left_to_the_mail_server(world: World) -> None:
    world.directories.people["sales@acme.example"] = group()
    assert world.one(plain("sales@acme.example"), "sales@acme.example").address.local == "sales"


def test_a_group_of_ours_may_hold_people_outside(world: World) -> None:
    world.configure(lambda live: live.put_partner_domain(PartnerDomain(name="never.example", encryption="never"), ()))
    world.directories.people["sales@acme.example"] = group()
    world.directories.groups["sales@acme.example"] = members("bob", "guest@partner.example")
    planned = world.plan(encrypted("sales@acme.example"), ["sales@acme.example"])
    assert isinstance(planned, Planned)
    assert planned.prepared.direction == "outgoing"
    assert [(str(one.address), one.protection) for one in planned.plan.recipients] == [
        ("bob@acme.example", "smime-personal"),
        ("guest@partner.example", "smime-domain"),
    ]


def test_a_self_made_certificate_of_the_directory_is_kept_apart_from_verdicts_on_imported_ones(world: World) -> None:
    """Vouched for as zoe's by the directory; imported for yara it still proves nothing."""
    same = make_user("both@acme.example", None)
    world.directories.people["zoe@acme.example"] = DirectoryAnswer((FoundCertificate(same.certificate, "corp", True),))
    world.configure(lambda live: live.put_certificate(same.certificate, ("yara@acme.example",), None))
    assert world.one(encrypted("zoe@acme.example"), "zoe@acme.example").protection == "smime-personal"
    assert world.one(encrypted("yara@acme.example"), "yara@acme.example").protection is None
