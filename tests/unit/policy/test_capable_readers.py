"""What people's programs can read chooses cipher and padding; nothing that they say makes either weaker."""

import itertools

import pytest
from cryptography import x509

from ime_gateway.base.reasons import Reason
from ime_gateway.certs import der
from ime_gateway.certs.capabilities import Capabilities
from ime_gateway.keys.usable import Verdict
from ime_gateway.mail.address import parse_path
from ime_gateway.policy.candidates import candidates
from ime_gateway.policy.decide import decide
from ime_gateway.policy.facts import Candidate, Facts, MessageFacts, PolicyFacts, RecipientFacts
from ime_gateway.policy.plan import RecipientPlan
from tests.pki import DAY, NOW, make_user

POLICY = PolicyFacts(("smime-personal", "smime-domain"), "refuse", "refuse", "encrypt", "auto")
CONFIDENTIAL = MessageFacts("outgoing", None, True, False, False)
GOOD = Verdict(True, Reason.PERSONAL_CERTIFICATE, "good", 0.0)
BAD = Verdict(False, Reason.CERTIFICATE_EXPIRED, "expired", 0.0)
GCM = Capabilities(("aes-256-gcm", "aes-128-cbc"), oaep=True)
CLASSIC = Capabilities(("aes-256-cbc", "des-ede3-cbc"))


def candidate(name: str, *, gcm: bool = False, oaep: bool = False) -> Candidate:
    return Candidate("sha256:" + name * 64, True, Reason.PERSONAL_CERTIFICATE, "good", gcm, oaep)


def reader(name: str, candidate: Candidate, *, blind: bool = False, domain: bool = False) -> RecipientFacts:
    where = {"domain" if domain else "personal": (candidate,)}
    return RecipientFacts(parse_path(f"{name}@x.example"), "recipient", blind, False, None, **where)  # type: ignore[arg-type]


def plans(*readers: RecipientFacts, cipher: str = "auto") -> tuple[RecipientPlan, ...]:
    policy = PolicyFacts(POLICY.hierarchy, "refuse", "refuse", "encrypt", cipher)  # type: ignore[arg-type]
    return decide(Facts(CONFIDENTIAL, policy, readers)).recipients


def test_gcm_only_when_every_reader_of_the_envelope_has_it() -> None:
    able, other, classic = candidate("a", gcm=True), candidate("b", gcm=True), candidate("c")
    assert {plan.cipher for plan in plans(reader("a", able), reader("b", other))} == {"aes-256-gcm"}
    assert {plan.cipher for plan in plans(reader("a", able), reader("c", classic))} == {"aes-256-cbc"}
    mixed = plans(reader("a", able), reader("c", classic, blind=True))
    assert [plan.cipher for plan in mixed] == ["aes-256-gcm", "aes-256-cbc"]


def test_two_people_behind_one_certificate() -> None:
    """A shared mailbox: the one person's new program does not make the other's old one able."""
    able, unable = candidate("a", gcm=True, oaep=True), candidate("a")
    for readers in itertools.permutations((reader("x", able), reader("y", unable))):
        assert {plan.cipher for plan in plans(*readers)} == {"aes-256-cbc"}


def test_oaep_goes_to_each_alone() -> None:
    made = plans(reader("a", candidate("a", oaep=True)), reader("b", candidate("b")))
    assert [plan.oaep for plan in made] == [True, False]
    assert {plan.group for plan in made} == {made[0].group}


@pytest.mark.parametrize("cipher", ["aes-256-cbc", "aes-256-gcm"])
def test_the_policy_beats_what_programs_say(cipher: str) -> None:
    assert {plan.cipher for plan in plans(reader("a", candidate("a", gcm=True)), cipher=cipher)} == {cipher}
    assert {plan.cipher for plan in plans(reader("a", candidate("a")), cipher=cipher)} == {cipher}


def test_learnt_beats_what_the_certificate_states() -> None:
    certificate = make_user("a@x.example").certificate
    assert [(one.reads_gcm, one.reads_oaep) for one in candidates([(certificate, GOOD)])] == [(False, False)]
    assert [(one.reads_gcm, one.reads_oaep) for one in candidates([(certificate, GOOD)], GCM)] == [(True, True)]


def test_both_ways() -> None:
    """Who moved back to a program that does not list GCM gets none, whatever the certificate still says."""
    listed = der.sequence(der.sequence(der.oid("2.16.840.1.101.3.4.1.46")))
    extension = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.840.113549.1.9.15"), listed)
    certificate = make_user("a@x.example", extra=[(extension, False)]).certificate
    assert candidates([(certificate, GOOD)])[0].reads_gcm
    assert not candidates([(certificate, GOOD)], CLASSIC)[0].reads_gcm
    assert candidates([(certificate, GOOD)], Capabilities(oaep=True))[0].reads_gcm, "no cipher listed: nothing said"


def test_the_preferred_comes_first_among_the_usable() -> None:
    old = make_user("a@x.example", not_before=NOW - 90 * DAY).certificate
    new = make_user("a@x.example").certificate
    judged = [(old, GOOD), (new, GOOD)]
    assert [one.thumbprint for one in candidates(judged)] == [new.thumbprint, old.thumbprint]
    wanted = [one.thumbprint for one in candidates(judged, preferred=old.thumbprint)]
    assert wanted == [old.thumbprint, new.thumbprint]


def test_a_preference_makes_nothing_usable_and_adds_nothing() -> None:
    old = make_user("a@x.example", not_before=NOW - 90 * DAY).certificate
    new = make_user("a@x.example").certificate
    judged = candidates([(old, BAD), (new, GOOD)], preferred=old.thumbprint)
    assert [(one.thumbprint, one.usable) for one in judged] == [(new.thumbprint, True), (old.thumbprint, False)]
    stranger = make_user("mallory@evil.example").certificate
    assert len(candidates([(new, GOOD)], preferred=stranger.thumbprint)) == 1
    both_bad = [one.thumbprint for one in candidates([(old, BAD), (new, BAD)], preferred=old.thumbprint)]
    assert both_bad[0] == new.thumbprint, "the reason shown is that of the newest"
