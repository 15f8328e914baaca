"""`doctor`: names everybody whom encrypted mail could not reach, and what will break soon."""

import pytest

from ime_gateway.admin.doctor_desk import Diagnosis, DoctorDesk, diagnosis_json, people_of_list
from ime_gateway.base.errors import UserError
from ime_gateway.ports.queue import Event
from tests.doubles.memory_registry import MemoryRegistry
from tests.pki import DAY, NOW, make_user

DOMAINS = """\
[[managed_domain]]
name = "acme.example"
deliver_to = "smtp://127.0.0.1:10025"
return_to = "smtp://127.0.0.1:10026"
[[partner_domain]]
name = "partner.example"
route = "smtp://partner.example"
smime_certificates = ["partner.pem"]
[[root]]
file = "root.pem"
"""


def answers(_route: str) -> str | None:
    return None


def examined(site, people=(), probe=answers, default_route: str = "mx") -> Diagnosis:
    return DoctorDesk(site.registry, site.clock, probe, default_route).examine(people)


def reasons(diagnosis: Diagnosis) -> dict[str, str]:
    return {one.address: str(one.reason) for one in diagnosis.unreachable}


def test_ready(site) -> None:
    site.apply(DOMAINS + '[[certificate]]\nfile = "anna.pem"\n')
    diagnosis = examined(site, ["anna@acme.example", "someone@elsewhere.example"])
    assert diagnosis.ready and diagnosis.people == 1


def test_who_cannot_be_reached_and_why(site, people) -> None:
    (site.folder / "late.pem").write_bytes(make_user("late@acme.example", people.root, expired=True).pem)
    site.apply(
        DOMAINS
        + '[[certificate]]\nfile = "anna.pem"\n[[certificate]]\nfile = "stranger.pem"\n'
        + '[[certificate]]\nfile = "late.pem"\n[[certificate]]\nfile = "bob.pem"\n'
        + f'[[trust]]\nthumbprint = "{people.bob.certificate.thumbprint}"\nverdict = "deny"\n'
    )
    assert reasons(examined(site, ["new@acme.example", "other@partner.example"])) == {
        "bob@acme.example": "certificate-denied",
        "late@acme.example": "certificate-expired",
        "new@acme.example": "no-certificate",
        "stranger@acme.example": "certificate-untrusted",
    }


def test_a_newer_certificate_that_works_is_enough(site, people) -> None:
    (site.folder / "late.pem").write_bytes(make_user("anna@acme.example", people.root, expired=True).pem)
    site.apply(DOMAINS + '[[certificate]]\nfile = "late.pem"\n[[certificate]]\nfile = "anna.pem"\n')
    assert examined(site).ready


def test_the_key_that_all_readers_hold_is_enough(site) -> None:
    text = DOMAINS.replace("return_to", 'internal_certificates = ["bob.pem"]\nreturn_to')
    site.apply(text)
    assert not examined(site, ["new@acme.example"]).unreachable


def test_people_are_known_from_mail(clock) -> None:
    registry = MemoryRegistry()
    from ime_gateway.settings.site import ManagedDomain

    with registry.transaction(write=True) as live:
        live.put_managed_domain(ManagedDomain(name="acme.example", deliver_to="mx"), ())
    for sender, recipient in (("Sue@acme.example", "x@elsewhere.example"), ("", "Ron@ACME.example"), ("junk", "<>")):
        registry.all_events.append(Event("i", "", sender, recipient, "recipient", "refused", "", "", 1.0))
    desk = DoctorDesk(registry, clock, answers, "mx")
    assert [one.address for one in desk.examine().unreachable] == ["ron@acme.example", "sue@acme.example"]


def test_what_expires(site, people) -> None:
    soon = make_user("soon@acme.example", people.root, not_after=NOW + 59 * DAY)
    later = make_user("later@acme.example", people.root, not_after=NOW + 61 * DAY)
    (site.folder / "soon.pem").write_bytes(soon.pem)
    (site.folder / "later.pem").write_bytes(later.pem)
    site.apply(DOMAINS + '[[certificate]]\nfile = "soon.pem"\n[[certificate]]\nfile = "later.pem"\n')
    diagnosis = examined(site)
    assert [(one.owner, one.certificate) for one in diagnosis.expiring] == [("soon@acme.example", soon.certificate)]
    assert not diagnosis.unreachable and not diagnosis.ready
    site.clock.moment += 3 * 86_400
    assert [one.owner for one in examined(site).expiring] == ["later@acme.example", "soon@acme.example"]


def test_domain_certificates_that_are_not_used(site, people) -> None:
    site.apply(DOMAINS.replace('[[root]]\nfile = "root.pem"\n', ""))
    (unusable,) = examined(site).domain_certificates
    assert (unusable.domain, str(unusable.reason)) == ("partner.example", "certificate-untrusted")


def test_silent_next_hops(site) -> None:
    site.apply(DOMAINS)
    asked: list[str] = []

    def probe(route: str) -> str | None:
        asked.append(route)
        return "no connection" if route.endswith("10026") or route == "smtp://relay.example" else None

    diagnosis = examined(site, probe=probe, default_route="smtp://relay.example")
    assert {(one.domain, one.route) for one in diagnosis.silent_hops} == {
        ("acme.example", "smtp://127.0.0.1:10026"),
        ("everybody else", "smtp://relay.example"),
    }
    assert sorted(asked) == sorted(set(asked)), "each is asked once"
    assert "mx" not in asked


def test_json(site) -> None:
    site.apply(DOMAINS.replace('[[root]]\nfile = "root.pem"\n', ""))
    answer = diagnosis_json(examined(site, ["new@acme.example"], probe=lambda _: "silent"))
    assert set(answer) == {
        "ready",
        "people",
        "unreachable",
        "expiring",
        "domain_certificates",
        "next_hops",
        "ime",
        "ime_hints",
        "domain_keys",
    }
    assert answer["ready"] is False
    assert answer["unreachable"] == [
        {"address": "new@acme.example", "reason": "no-certificate",
         "detail": "no certificate is known; add one: ime-gateway cert import FILE"}
    ]  # fmt: skip


def test_lists_of_people() -> None:
    text = '\ufeffMail;Name\nAnna@ACME.example;Anna\n\n# gone: x\n"bob@acme.example",Bob\ncarl@acme.example\t1\n'
    assert people_of_list(text) == ["anna@acme.example", "bob@acme.example", "carl@acme.example"]
    assert people_of_list("a@acme.example\n") == ["a@acme.example"]
    with pytest.raises(UserError, match=r"^line 2: 'nobody' is no mail address"):
        people_of_list("a@acme.example\nnobody\n")
