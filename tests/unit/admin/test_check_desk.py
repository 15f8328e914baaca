"""Comparing thumbprints: what differs is named by its group, what is the same is recorded with who, how and when."""

import pytest

from ime_gateway.admin.check_desk import CheckDesk, differences, trust_facts_json
from ime_gateway.admin.key_pairs import groups
from ime_gateway.base.errors import UserError
from ime_gateway.ports.directory import TrustEntry
from ime_gateway.ports.registry import Registry
from ime_gateway.settings.site import PartnerDomain

THUMBPRINT = "sha256:" + "0123456789abcdef" * 4


def spelled(groups_: list[str]) -> str:
    return " ".join(groups_)


@pytest.mark.parametrize(
    "heard",
    [
        THUMBPRINT,
        THUMBPRINT[7:],
        groups(THUMBPRINT),
        groups(THUMBPRINT).lower(),
        groups(THUMBPRINT).replace(" ", "-"),
        ":".join(THUMBPRINT[7:][n : n + 2] for n in range(0, 64, 2)),
        "  " + groups(THUMBPRINT).replace(" ", "\n") + "\n",
    ],
)
def test_every_spelling_of_the_same_is_the_same(heard: str) -> None:
    assert differences(THUMBPRINT, heard) == []


def test_what_differs_is_named() -> None:
    listed = groups(THUMBPRINT).split()
    assert listed[4] == "0123"
    listed[4], listed[15] = "0132", "CDEE"
    assert differences(THUMBPRINT, spelled(listed)) == [
        "group 5 of 16 is 0123 here, 0132 was given",
        "group 16 of 16 is CDEF here, CDEE was given",
    ]


def test_a_digit_too_few_or_too_many_is_found() -> None:
    digits = THUMBPRINT[7:]
    assert differences(THUMBPRINT, digits[:17] + digits[18:]) == ["63 digits were given instead of 64; look at group 5"]
    assert differences(THUMBPRINT, digits + "0") == ["65 digits were given instead of 64; look at group 16"]
    assert differences(THUMBPRINT, digits[:12]) == ["12 digits were given instead of 64; look at group 4"]
    assert differences(THUMBPRINT, " ") == ["nothing was given"]


def test_a_check_is_recorded_and_shown(registry: Registry, clock, people) -> None:
    desk, thumbprint = CheckDesk(registry, clock), people.partner.certificate.thumbprint
    with registry.transaction(write=True) as live:
        live.put_partner_domain(PartnerDomain(name="partner.example"), (people.partner.certificate,))
        live.put_trust(TrustEntry(thumbprint, "allow", note="2026"))
    desk.record(thumbprint, groups(thumbprint), person=" Bea ", method="phone", note="her desk", actor="cli:ada")
    clock.moment += 60
    desk.record(thumbprint, thumbprint, person="Bea", method="in-person", note="", actor="cli:bob")
    facts = trust_facts_json(desk.facts(thumbprint))
    assert facts["used_by"] == ["partner partner.example"] and facts["subject"] == people.partner.certificate.subject
    assert (facts["verdict"], facts["note"]) == ("allow", "2026")
    latest, first = facts["checks"]
    assert (latest["how"], latest["by"]) == ("in-person", "cli:bob")
    assert (first["with"], first["how"], first["note"], first["by"]) == ("Bea", "phone", "her desk", "cli:ada")
    with registry.transaction(write=False) as live:
        assert live.audit_lines()[0].action == "trust-verify"


@pytest.mark.parametrize(
    ("heard", "person", "note", "sentence"),
    [
        ("0" * 64, "Bea", "", "all 16 groups differ"),
        ("", "Bea", "", "nothing was given"),
        (THUMBPRINT, " ", "", "--with NAME"),
        (THUMBPRINT, "Bea\nroot", "", "one line"),
        (THUMBPRINT, "Bea", "a\x1b[2J", "one line"),
        (THUMBPRINT, "B" * 201, "", "at most 200"),
    ],
)
def test_what_is_not_the_same_is_not_recorded(
    registry: Registry, clock, heard: str, person: str, note: str, sentence: str
) -> None:
    desk = CheckDesk(registry, clock)
    with pytest.raises(UserError, match=sentence):
        desk.record(THUMBPRINT, heard, person=person, method="phone", note=note, actor="me")
    assert desk.facts(THUMBPRINT).checks == () and desk.facts(THUMBPRINT).used_by == ()
    with registry.transaction(write=False) as live:
        assert live.audit_lines() == []
