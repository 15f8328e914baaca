"""The trust list: deny beats everything and reaches down, allow speaks for one certificate."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from ime_gateway.base.reasons import Reason
from ime_gateway.certs.trust import Anchors
from ime_gateway.keys.signer import judge_signer
from ime_gateway.keys.usable import Verdict, judge
from tests.pki import NOW, Entity, make_ca, make_user


@dataclass(frozen=True)
class Line:
    verdict: str
    allow_expired: bool = False
    note: str = ""


def anchors(roots: list[Entity], between: list[Entity], **lines: tuple[Entity, Line]) -> Anchors:
    trust = {entity.certificate.thumbprint: line for entity, line in lines.values()}
    return Anchors([one.certificate for one in roots], [one.certificate for one in between], trust)


def test_a_denied_certificate() -> None:
    root = make_ca("Root")
    alice, bob = make_user("alice@acme.example", root), make_user("bob@acme.example", root)
    known = anchors([root], [], x=(alice, Line("deny", note="laptop stolen")))
    fault = known.denial(alice.certificate)
    assert fault is not None and fault.reason is Reason.CERTIFICATE_DENIED and "laptop stolen" in fault.detail
    assert known.denial(bob.certificate) is None


def test_a_denied_authority_takes_all_below_it_by_every_path() -> None:
    root, other_root = make_ca("Root"), make_ca("Other Root")
    issuing = make_ca("Issuing", root)
    cross = make_ca("Issuing", other_root, key=issuing.key)
    below = make_ca("Below", issuing)
    alice, bob = make_user("alice@acme.example", below), make_user("bob@acme.example", root)
    for denied in (root, issuing, cross, below, other_root):
        known = anchors([root, other_root], [issuing, cross, below], x=(denied, Line("deny")))
        fault = known.denial(alice.certificate)
        assert fault is not None and denied.certificate.subject in fault.detail
        assert (known.denial(bob.certificate) is not None) is (denied is root)


def test_a_denied_authority_does_not_come_back_with_another_certificate() -> None:
    root, other_root = make_ca("Root"), make_ca("Other Root")
    denied = make_ca("Issuing", root)
    twin = make_ca("Issuing", other_root, key=denied.key)
    alice = make_user("alice@acme.example", twin)
    trust = {denied.certificate.thumbprint: Line("deny", note="hacked")}
    both = Anchors([root.certificate, other_root.certificate], [denied.certificate], trust)
    fault = both.denial(twin.certificate)
    assert fault is not None and fault.reason is Reason.CERTIFICATE_DENIED and "hacked" in fault.detail
    found = judge_signer(alice.certificate, both, NOW.timestamp(), carried=[twin.certificate])
    assert found.reason is Reason.CERTIFICATE_DENIED, "nor when it comes along in a mail"
    for namesake in (make_ca("Issuing", other_root), make_ca("Other", other_root, key=denied.key)):
        assert both.denial(namesake.certificate) is None
    assert both.denial(make_user("bob@acme.example", root).certificate) is None


@pytest.mark.parametrize("judged", [lambda *asked: judge(*asked, "personal"), judge_signer])
def test_the_denial_of_an_authority_beats_the_line_that_allows_one_below_it(judged: Callable[..., Verdict]) -> None:
    root = make_ca("Root")
    issuing = make_ca("Issuing", root)
    alice = make_user("alice@acme.example", issuing)
    known = anchors([root], [issuing], x=(issuing, Line("deny")), y=(alice, Line("allow")))
    assert judged(alice.certificate, known, NOW.timestamp()).reason is Reason.CERTIFICATE_DENIED


def test_an_authority_with_the_name_of_a_denied_one_is_not_denied() -> None:
    hacked, fresh = make_ca("Acme CA"), make_ca("Acme CA")
    known = anchors([fresh, hacked], [], x=(hacked, Line("deny")))
    assert known.denial(make_user("alice@acme.example", fresh).certificate) is None
    assert known.denial(make_user("alice@acme.example", hacked).certificate) is not None


def test_authorities_that_issued_each_other_end_the_search() -> None:
    first = make_ca("First")
    second = make_ca("Second", first)
    again = make_ca("First", second, key=first.key)
    denied = make_ca("Elsewhere")
    known = anchors([first, denied], [second, again], x=(denied, Line("deny")))
    assert known.denial(make_user("alice@acme.example", second).certificate) is None
    assert set(known.named_above(again.certificate)) == {second.certificate, first.certificate}


def test_allow_speaks_for_that_certificate_only() -> None:
    root = make_ca("Root")
    alice = make_user("alice@acme.example", root)
    known = anchors([], [root], x=(root, Line("allow")))
    assert known.allows(root.certificate) is not None
    assert known.allows(alice.certificate) is None
