"""The trust list: deny beats everything and reaches down, allow speaks for one certificate."""

from dataclasses import dataclass

from ime_gateway.base.reasons import Reason
from ime_gateway.certs.trust import Anchors
from tests.pki import Entity, make_ca, make_user


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
