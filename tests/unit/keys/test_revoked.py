"""Revocation in verdicts: every link below the root, after all other questions, by soft or hard failing."""

import math
from dataclasses import dataclass

import pytest

from ime_gateway.base.reasons import Reason
from ime_gateway.certs.revocation import Finding, Link, combined, sources
from ime_gateway.certs.trust import Anchors
from ime_gateway.keys.signer import judge_signer
from ime_gateway.keys.usable import Verdict, judge
from tests.pki import NOW, Entity, make_ca, make_user
from tests.revocation import Book, points, responder

MOMENT = NOW.timestamp()


@dataclass(frozen=True)
class Line:
    verdict: str
    allow_expired: bool = False
    note: str = ""


@dataclass(frozen=True)
class World:
    root: Entity
    issuing: Entity
    alice: Entity

    def verdict(self, states: dict[str, str], mode: str = "hard-fail", line: Line | None = None) -> Verdict:
        def ask(link: Link, moment: float) -> Finding:
            state = states.get(link.certificate.subject, "good")
            return Finding(state, f"said {state}", moment + 100)  # type: ignore[arg-type]

        self_book = Book(ask, mode)  # type: ignore[arg-type]
        trust = {self.alice.certificate.thumbprint: line} if line else {}
        anchors = Anchors([self.root.certificate], [self.issuing.certificate], trust, self_book)
        made = judge(self.alice.certificate, anchors, MOMENT, "personal")
        signed = judge_signer(self.alice.certificate, anchors, MOMENT)
        assert (made.usable, made.unasked) == (signed.usable, signed.unasked)
        assert made.usable or made.reason is signed.reason, "the two judges agree"
        return made


@pytest.fixture(scope="module")
def world() -> World:
    root = make_ca("Root")
    issuing = make_ca("Issuing", root)
    return World(root, issuing, make_user("alice@acme.example", issuing))


ALICE, ISSUING = "CN=alice@acme.example", "CN=Issuing"


def test_all_links_good(world: World) -> None:
    found = world.verdict({})
    assert found.usable and found.valid_until == MOMENT + 100
    assert [line for line in found.evidence if line.startswith("revocation of")] == [
        f"revocation of {ALICE}: good: said good",
        f"revocation of {ISSUING}: good: said good",
    ], "the root is not asked about"
    assert any(line.startswith(f"path: {ALICE} < {ISSUING} < CN=Root (root)") for line in found.evidence)


@pytest.mark.parametrize("mode", ["soft-fail", "hard-fail"])
@pytest.mark.parametrize("who", [ALICE, ISSUING])
def test_a_revoked_link_refuses_in_every_mode(world: World, mode: str, who: str) -> None:
    found = world.verdict({who: "revoked", ALICE if who == ISSUING else ISSUING: "unknown"}, mode)
    assert not found.usable and found.reason is Reason.CERTIFICATE_REVOKED
    assert ("issuer CN=Issuing" in found.detail) is (who == ISSUING)
    assert found.unasked == ()


@pytest.mark.parametrize("state", ["unknown", "unasked"])
@pytest.mark.parametrize("who", [ALICE, ISSUING])
def test_not_knowing_is_a_fault_of_hard_fail_only(world: World, state: str, who: str) -> None:
    hard, soft = world.verdict({who: state}), world.verdict({who: state}, "soft-fail")
    assert hard.reason is Reason.REVOCATION_UNKNOWN and not hard.usable
    assert soft.usable and soft.reason is Reason.PERSONAL_CERTIFICATE
    assert len(hard.unasked) == len(soft.unasked) == (1 if state == "unasked" else 0)


@pytest.mark.parametrize("turned", [False, True])
def test_a_revocation_of_any_source_beats_what_the_others_say(turned: bool) -> None:
    told = [Finding("good", "", 9.0), Finding("revoked", "says one", 5.0), Finding("unasked", "", 1.0)]
    assert combined(told[::-1] if turned else told) == Finding("revoked", "says one", 5.0)


@pytest.mark.parametrize("shortest", [ALICE, ISSUING])
def test_a_verdict_holds_no_longer_than_the_first_of_its_answers(world: World, shortest: str) -> None:
    def ask(link: Link, moment: float) -> Finding:
        return Finding("good", "", moment + (5 if link.certificate.subject == shortest else 900))

    anchors = Anchors([world.root.certificate], [world.issuing.certificate], {}, Book(ask))
    assert judge(world.alice.certificate, anchors, MOMENT, "personal").valid_until == MOMENT + 5


def test_off_asks_nothing(world: World) -> None:
    assert world.verdict({ALICE: "revoked"}, "off").usable


def test_the_trust_list_skips_revocation_and_deny_comes_first(world: World) -> None:
    assert world.verdict({ALICE: "revoked"}, line=Line("allow")).usable
    assert world.verdict({ALICE: "revoked"}, line=Line("deny")).reason is Reason.CERTIFICATE_DENIED


def test_earlier_questions_are_answered_first_and_nobody_is_asked(world: World) -> None:
    expired = make_user("late@acme.example", world.issuing, expired=True)
    stranger = make_user("x@acme.example", make_ca("Elsewhere"))
    book = Book(lambda link, moment: Finding("revoked", "", math.inf))
    anchors = Anchors([world.root.certificate], [world.issuing.certificate], {}, book)
    assert judge(expired.certificate, anchors, MOMENT, "personal").reason is Reason.CERTIFICATE_EXPIRED
    assert judge(stranger.certificate, anchors, MOMENT, "personal").reason is Reason.CERTIFICATE_UNTRUSTED
    assert book.asked == [], "no URL of a certificate without a trusted path is ever looked at"


def test_denying_a_ca_denies_what_hangs_below_it(world: World) -> None:
    trust = {world.issuing.certificate.thumbprint: Line("deny")}
    anchors = Anchors([world.root.certificate], [world.issuing.certificate], trust)
    assert judge(world.alice.certificate, anchors, MOMENT, "personal").reason is Reason.CERTIFICATE_DENIED


def test_where_a_certificate_can_be_asked_about(world: World) -> None:
    many = [f"http://crl{number}.example/" for number in range(9)]
    odd = ["ldap:///CN=x?certificateRevocationList", "ftp://x.example/", "file:///etc/passwd", "http:///x", "//x"]
    asked = make_user(
        "a@acme.example",
        world.root,
        extra=[
            points(*odd, "ldap://dir.example/cn=x", *many),
            responder("ldap://no.example/", "https://ocsp.example/"),
        ],
    )
    found = sources(asked.certificate)
    assert found.crls == ("ldap://dir.example/cn=x", *many[:3]) and found.responders == ("https://ocsp.example/",)
    assert sources(world.alice.certificate).crls == ()
    long = make_user("l@acme.example", world.root, extra=[points("http://x.example/" + "a" * 2048)])
    assert sources(long.certificate).crls == ()
