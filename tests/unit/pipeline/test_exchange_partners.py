"""Mail between the exchange addresses of two gateways: self-tests, announcements, and what must not come of them."""

import asyncio
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog

from ime_gateway.base.errors import UnreadableCertificate, UserError
from ime_gateway.base.outcome import Accepted, Refused
from ime_gateway.ports.directory import TrustEntry
from ime_gateway.ports.incoming import CANDIDATES_OF_ONE_SENDER
from ime_gateway.ports.revocation import StoredAnswer
from ime_gateway.settings.site import Policy
from ime_gateway.smime.owned_key import OwnedKey
from tests import openssl
from tests.core import close
from tests.exchange_world import ACME, BOLT, Gateway, authority, foreign_mail, make_gateway, post
from tests.pki import DAY, NOW, Entity, make_ca, make_user
from tests.revocation import make_crl, points


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Gateway, Gateway]]:
    acme, bolt = make_gateway(tmp_path, ACME), make_gateway(tmp_path, BOLT)
    acme.knows(bolt)
    bolt.knows(acme)
    yield acme, bolt
    close(acme.core)
    close(bolt.core)


def begin(acme: Gateway, **options: Any) -> Any:
    return asyncio.run(acme.test_desk.begin(BOLT, "test", **options))


def next_key(gateway: Gateway, **changes: Any) -> Entity:
    """A key that comes after the current one."""
    following = authority(gateway.domain, **({"not_before": NOW - timedelta(hours=1)} | changes))
    gateway.core.configure(
        lambda live: live.domain_keys.put(gateway.domain, following.certificate, following.key_der, "next")
    )
    return following


def announce(gateway: Gateway) -> Any:
    return asyncio.run(gateway.announce_desk.announce(gateway.domain, "test"))


def test_self_test_proves_both_directions(pair: tuple[Gateway, Gateway]) -> None:
    acme, bolt = pair
    begun = begin(acme)
    assert acme.test_desk.result(begun.token_hash)["state"] == "waiting"
    [(sender, recipient, request)] = post(acme, bolt)
    assert (sender, recipient) == (acme.exchange, bolt.exchange)
    assert b"application/pkcs7-mime" in request and b"imegw-" not in request
    [(sender, recipient, answer)] = post(bolt, acme)
    assert (sender, recipient) == ("", acme.exchange)
    assert b"Auto-Submitted: auto-replied" in answer and b"application/pkcs7-mime" in answer
    result = acme.test_desk.result(begun.token_hash)
    assert (result["state"], result["problems"]) == ("passed", [])
    ours, theirs = acme.key.certificate.thumbprint, bolt.key.certificate.thumbprint
    there, here = result["there"], result["here"]
    assert (there["encrypted_to"], there["opened_with"], there["signed_by"]) == (theirs, theirs, ours)
    assert (there["opened"], there["trusted"], there["delivery"]) == (True, True, "queued")
    assert (here["opened_with"], here["signed_by"], here["trusted"], here["key_state"]) == (
        ours,
        theirs,
        True,
        "current",
    )
    assert acme.queued() == bolt.queued() == [], "nobody answers an answer"


def test_request_is_answered_once(pair: tuple[Gateway, Gateway]) -> None:
    acme, bolt = pair
    begin(acme)
    [mail] = post(acme, bolt)
    assert len(bolt.queued()) == 1
    assert isinstance(bolt.takes(*mail), Accepted)
    assert bolt.queued() == []
    assert "is not answered" in bolt.last_line()


def test_request_without_sender_gets_no_answer(pair: tuple[Gateway, Gateway]) -> None:
    acme, bolt = pair
    begin(acme)
    [(_, recipient, wire)] = acme.queued()
    assert isinstance(bolt.takes("", recipient, wire), Accepted)
    assert bolt.queued() == []
    assert "sender is empty" in bolt.last_line()


def test_request_of_a_stranger_waits_as_a_candidate(pair: tuple[Gateway, Gateway]) -> None:
    acme, bolt = pair
    bolt.knows(acme, certificates=())
    begin(acme)
    post(acme, bolt)
    assert bolt.queued() == []
    [candidate] = bolt.candidates()
    assert (candidate.owner, candidate.kind, candidate.origin) == (ACME, "domain", "exchange")
    assert candidate.certificate == acme.key.certificate


def test_answer_of_somebody_else_ends_no_test(pair: tuple[Gateway, Gateway]) -> None:
    acme, bolt = pair
    begun = begin(acme)
    post(acme, bolt)
    [answer] = bolt.queued()
    other = authority(BOLT)
    acme.knows(bolt, certificates=(other,))
    acme.takes(*answer)
    assert "not believed" in acme.last_line()
    assert acme.test_desk.result(begun.token_hash)["state"] == "waiting"
    acme.knows(bolt)
    acme.takes(*answer)
    assert acme.test_desk.result(begun.token_hash)["state"] == "passed"


def test_request_that_cannot_be_opened_is_not_answered(pair: tuple[Gateway, Gateway]) -> None:
    """The partner lost its key: tracking says so there, and here the test goes on waiting."""
    acme, bolt = pair
    begin(acme)
    bolt.core.configure(lambda live: live.domain_keys.delete(BOLT, bolt.key.certificate.thumbprint))
    post(acme, bolt)
    assert bolt.queued() == []
    assert "cannot be opened" in bolt.last_line()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("no key", "has no domain key yet"),
        ("no certificate", "cannot be encrypted: no certificate is set"),
        ("untrusted", "cannot be encrypted"),
        ("no address there", "has no exchange_address; set it if the partner has this product"),
        ("no address here", "no managed domain has an exchange_address"),
        ("elsewhere", "is not at bolt.example"),
        ("unknown", "is no partner domain"),
    ],
)
def test_self_test_that_cannot_begin_says_why(pair: tuple[Gateway, Gateway], change: str, words: str) -> None:
    acme, bolt = pair
    options: dict[str, Any] = {}
    match change:
        case "no key":
            acme.core.configure(lambda live: live.domain_keys.delete(ACME, acme.key.certificate.thumbprint))
        case "no certificate":
            acme.knows(bolt, certificates=())
        case "untrusted":
            acme.core.configure(lambda live: live.delete_trust(bolt.key.certificate.thumbprint))
        case "no address there":
            acme.knows(bolt, exchange_address="")
        case "no address here":
            acme.core.configure(
                lambda live: live.put_managed_domain(
                    live.view().managed[ACME].model_copy(update={"exchange_address": ""}), ()
                )
            )
        case "elsewhere":
            options = {"to": "anna@acme.example"}
    with pytest.raises(UserError, match=words):
        asyncio.run(acme.test_desk.begin("other.example" if change == "unknown" else BOLT, "test", **options))
    assert acme.queued() == []


@pytest.mark.parametrize(
    ("trouble", "advice"),
    [
        ("none", "ask the partner for one: ime-gateway domain set bolt.example --certificate FILE"),
        ("expired", "ask the partner for the next one: ime-gateway domain set bolt.example --certificate FILE"),
        ("unknown CA", "see: ime-gateway cert check bolt.example"),
        ("unasked", "to ask its CA now: ime-gateway cert check bolt.example --fetch"),
    ],
)
def test_what_helps_against_the_trouble_is_said(pair: tuple[Gateway, Gateway], trouble: str, advice: str) -> None:
    acme, bolt = pair
    ca = make_ca("Partner CA", kind="p256")
    if trouble == "none":
        acme.knows(bolt, certificates=())
    elif trouble == "expired":
        acme.knows(bolt, certificates=(authority(BOLT, expired=True),))
    else:
        issued = authority(BOLT, issuer=ca, extra=[points("http://crl.example/a.crl")])

        def act(live: Any) -> None:
            live.put_partner_domain(live.view().partners[BOLT], (issued.certificate,))
            if trouble == "unasked":
                live.put_root(ca.certificate)
                live.put_policy(Policy(revocation="hard-fail"))

        acme.core.configure(act)
    with pytest.raises(UserError) as caught:
        asyncio.run(acme.test_desk.begin(BOLT, "test"))
    assert str(caught.value).endswith(f"; {advice}")


def test_announcement_waits_for_approval(pair: tuple[Gateway, Gateway]) -> None:
    acme, bolt = pair
    following = next_key(acme)
    [told] = announce(acme)
    assert (told.partner, told.problem) == (BOLT, "")
    post(acme, bolt)
    [candidate] = bolt.candidates()
    assert (candidate.owner, candidate.origin, candidate.certificate) == (ACME, "announcement", following.certificate)
    assert bolt.certificates_of(ACME) == [acme.key.certificate.thumbprint]
    announced = acme.look(lambda live: {one.state: one.announced_at for one in live.domain_keys.list(ACME)})
    assert announced["next"] is not None and announced["current"] is None


def test_automatic_rollover_accepts_both_in_the_overlap(pair: tuple[Gateway, Gateway]) -> None:
    acme, bolt = pair
    bolt.knows(acme, rollover="automatic")
    following = next_key(acme)
    announce(acme)
    post(acme, bolt)
    assert bolt.candidates() == []
    old, new = acme.key.certificate.thumbprint, following.certificate.thumbprint
    assert bolt.certificates_of(ACME) == [new, old]
    assert bolt.look(lambda live: live.view().trust[new].verdict) == "allow"
    assert any("partner-rollover" in line.action for line in bolt.look(lambda live: live.audit_lines()))
    begun = asyncio.run(bolt.test_desk.begin(ACME, "test"))
    post(bolt, acme)
    post(acme, bolt)
    result: Any = bolt.test_desk.result(begun.token_hash)
    assert result["state"] == "passed"
    assert (result["there"]["opened_with"], result["here"]["signed_by"]) == (new, old)


def test_old_key_appoints_no_heir_after_the_rollover(pair: tuple[Gateway, Gateway]) -> None:
    """Who stole last year's key must not name his own certificate unseen."""
    acme, bolt = pair
    bolt.knows(acme, rollover="automatic")
    announce_after = next_key(acme)
    announce(acme)
    post(acme, bolt)
    stolen = next_key(acme, not_before=NOW)
    announce(acme)
    post(acme, bolt)
    assert stolen.certificate.thumbprint not in bolt.certificates_of(ACME)
    [candidate] = bolt.candidates()
    assert candidate.certificate == stolen.certificate
    assert "not signed with the partner's current certificate" in candidate.evidence
    assert bolt.certificates_of(ACME)[0] == announce_after.certificate.thumbprint


@pytest.mark.parametrize("author", [f"key-exchange@{ACME}", "eve@evil.example"])
@pytest.mark.parametrize("crl", ["stored", "silenced", "lists the newer"])
def test_an_unanswered_question_appoints_no_heir(pair: tuple[Gateway, Gateway], author: str, crl: str) -> None:
    """Whether the newer certificate is revoked may be unknown, or not asked for, since the mail shows another From: the
    stolen key of last year is not the current one because of that."""
    acme, bolt = pair
    authority_of_acme, url = make_ca("Acme CA"), "http://crl.acme.example/ca.crl"
    newer = authority(ACME, issuer=authority_of_acme, extra=[points(url)], not_before=NOW - timedelta(hours=1))
    bolt.knows(acme, certificates=(acme.key,), rollover="automatic")

    def roll_over(live: Any) -> None:
        live.put_root(authority_of_acme.certificate)
        live.put_policy(Policy(revocation="hard-fail"))
        live.put_partner_domain(live.view().partners[ACME], [newer.certificate, acme.key.certificate])

    bolt.core.configure(roll_over)
    if crl != "silenced":
        now, revoked = NOW.timestamp(), [newer] if crl == "lists the newer" else []
        answer = StoredAnswer("crl", url, make_crl(authority_of_acme, revoked), now, now + 86_400.0, now)
        bolt.core.run(bolt.core.store.revocations.keep(answer))
    heir = next_key(acme, not_before=NOW)
    announce(acme)
    [(_, recipient, wire)] = acme.queued()
    wire = re.sub(rb"(?m)^(From: .*)<[^>]*>", rb"\1<" + author.encode() + b">", wire, count=1)
    bolt.takes(author, recipient, wire)
    assert (heir.certificate.thumbprint in bolt.certificates_of(ACME)) is (crl == "lists the newer")


@pytest.mark.parametrize("fault", ["expired", "denied", "removed", "other domain", "same key", "stranger"])
def test_automatic_rollover_needs_a_current_trusted_signer(pair: tuple[Gateway, Gateway], fault: str) -> None:
    acme, bolt = pair
    bolt.knows(acme, rollover="automatic")
    current, following = acme.key, next_key(acme)
    match fault:
        case "expired":
            old = authority(ACME, not_before=NOW - 10 * DAY, not_after=NOW - DAY)
            acme.core.configure(lambda live: live.domain_keys.put(ACME, old.certificate, old.key_der, "current"))
            bolt.knows(acme, certificates=(old,), rollover="automatic")
            bolt.core.configure(
                lambda live: live.put_trust(TrustEntry(old.certificate.thumbprint, "allow", allow_expired=True))
            )
            current = old
        case "denied":
            bolt.core.configure(lambda live: live.put_trust(TrustEntry(current.certificate.thumbprint, "deny")))
        case "removed":
            bolt.core.configure(lambda live: live.delete_trust(current.certificate.thumbprint))
        case "other domain":
            following = authority("evil.example", not_before=NOW)
            acme.core.configure(
                lambda live: live.domain_keys.put(ACME, following.certificate, following.key_der, "next")
            )
        case "same key":
            following = authority(ACME, key=current.key, not_before=NOW)
            acme.core.configure(
                lambda live: live.domain_keys.put(ACME, following.certificate, following.key_der, "next")
            )
        case "stranger":
            other = authority(ACME)
            acme.core.configure(lambda live: live.domain_keys.put(ACME, other.certificate, other.key_der, "current"))
    announce(acme)
    post(acme, bolt)
    assert following.certificate.thumbprint not in bolt.certificates_of(ACME)
    assert {one.state for one in bolt.candidates("")} == {"pending"}


def test_an_heir_with_names_of_others_waits(pair: tuple[Gateway, Gateway]) -> None:
    """A partner, or who stole its key, must not have the people of other companies believed."""
    acme, bolt = pair
    bolt.knows(acme, rollover="automatic")
    heir = next_key(acme, dn_addresses=["ceo@bank.example"])
    announce(acme)
    post(acme, bolt)
    assert bolt.certificates_of(ACME) == [acme.key.certificate.thumbprint]
    assert heir.certificate.thumbprint not in bolt.look(lambda live: live.view()).trust
    [candidate] = bolt.candidates()
    assert candidate.certificate == heir.certificate and "it names ceo@bank.example" in candidate.evidence


def test_junk_starves_no_announcement(pair: tuple[Gateway, Gateway], monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody may write the partner's address on an envelope; only the partner signs as the partner."""
    monkeypatch.setattr("ime_gateway.store.candidate_rows.MOST_PENDING", CANDIDATES_OF_ONE_SENDER)
    acme, bolt = pair
    for number in range(CANDIDATES_OF_ONE_SENDER + 1):
        junk = make_user(f"x{number}@{ACME}", kind="p256")
        bolt.takes(acme.exchange, bolt.exchange, foreign_mail(junk, f"x{number}@{ACME}", bolt.exchange))
    assert len(bolt.candidates()) == CANDIDATES_OF_ONE_SENDER
    following = next_key(acme)
    announce(acme)
    post(acme, bolt)
    [announced] = [one for one in bolt.candidates() if one.origin == "announcement"]
    assert announced.certificate == following.certificate


def test_an_announcement_that_is_dropped_is_an_error(pair: tuple[Gateway, Gateway]) -> None:
    """Signed with a certificate of the partner's that is believed no more: it has no more room than other mail."""
    acme, bolt = pair
    bolt.core.configure(lambda live: live.delete_trust(acme.key.certificate.thumbprint))
    for number in range(CANDIDATES_OF_ONE_SENDER):
        junk = make_user(f"x{number}@{ACME}", kind="p256")
        bolt.takes(acme.exchange, bolt.exchange, foreign_mail(junk, f"x{number}@{ACME}", bolt.exchange))
    following = next_key(acme)
    announce(acme)
    with structlog.testing.capture_logs() as logs:
        post(acme, bolt)
    [error] = [line for line in logs if line["log_level"] == "error"]
    assert (error["partner"], error["thumbprint"]) == (ACME, following.certificate.thumbprint)
    assert "too many wait" in bolt.last_line()


@pytest.mark.parametrize("verdict", ["denied", "revoked"])
def test_an_heir_that_is_out_of_force_takes_nothing(pair: tuple[Gateway, Gateway], verdict: str) -> None:
    """Deny beats an announcement, and so does the list of the authority that issued the heir."""
    acme, bolt = pair
    bolt.knows(acme, rollover="automatic")
    authority_of_acme = make_ca("Acme CA")
    url = "http://crl.acme.example/ca.crl"
    following = next_key(acme, issuer=authority_of_acme, extra=[points(url)])

    def out_of_force(live: Any) -> None:
        live.put_root(authority_of_acme.certificate)
        if verdict == "denied":
            live.put_trust(TrustEntry(following.certificate.thumbprint, "deny", note="stolen"))

    bolt.core.configure(out_of_force)
    if verdict == "revoked":
        now, crl = NOW.timestamp(), make_crl(authority_of_acme, [following])
        answer = StoredAnswer("crl", url, crl, now, now + 86_400.0, now)
        bolt.core.run(bolt.core.store.revocations.keep(answer))
    announce(acme)
    post(acme, bolt)
    assert bolt.certificates_of(ACME) == [acme.key.certificate.thumbprint]
    line = bolt.look(lambda live: live.view()).trust.get(following.certificate.thumbprint)
    assert (line and line.verdict) == ("deny" if verdict == "denied" else None)
    [candidate] = bolt.candidates()
    assert candidate.state == "pending" and verdict in candidate.evidence


def test_announcement_comes_again_without_effect(pair: tuple[Gateway, Gateway]) -> None:
    acme, bolt = pair
    following = next_key(acme)
    announce(acme)
    [mail] = post(acme, bolt)
    bolt.candidate_desk.reject(following.certificate.thumbprint, "test")
    bolt.takes(*mail)
    assert [one.state for one in bolt.candidates("")] == ["rejected"]
    assert "came again (rejected)" in bolt.last_line()


def test_mandatory_partner_without_certificate_is_told_nothing(pair: tuple[Gateway, Gateway]) -> None:
    acme, bolt = pair
    acme.knows(bolt, certificates=())
    next_key(acme)
    [told] = announce(acme)
    assert "cannot be encrypted" in told.problem
    assert acme.queued() == []
    assert acme.look(lambda live: [one.announced_at for one in live.domain_keys.list(ACME)]) == [None, None]


def test_keys_that_nobody_was_told_of_are_announced_by_housekeeping(pair: tuple[Gateway, Gateway]) -> None:
    acme, _ = pair
    next_key(acme)
    assert [one.partner for one in asyncio.run(acme.announce_desk.announce_due("test"))] == [BOLT]
    assert asyncio.run(acme.announce_desk.announce_due("test")) == []
    assert len(acme.queued()) == 1


def test_people_inside_cannot_write_to_the_exchange_address(pair: tuple[Gateway, Gateway]) -> None:
    acme, _ = pair
    outcome, delivered = acme.core.send(
        b"From: anna@acme.example\n\nhi\n", "anna@acme.example", [acme.exchange, "bob@acme.example"]
    )
    assert isinstance(outcome, Refused) and outcome.reason == "key-exchange"
    assert not delivered


def with_older_key(acme: Gateway, **changes: Any) -> Entity:
    """Acme changed its key; its partner has not noticed."""
    fresh = authority(ACME, **changes)
    acme.core.configure(lambda live: live.domain_keys.put(ACME, fresh.certificate, fresh.key_der, "current"))
    return fresh


def test_alarm_when_a_partner_uses_our_older_key(pair: tuple[Gateway, Gateway]) -> None:
    acme, bolt = pair
    with_older_key(acme)
    mail = foreign_mail(bolt.key, f"bob@{BOLT}", f"anna@{ACME}", reader=acme.key)
    with structlog.testing.capture_logs() as logs:
        outcome, [delivered] = acme.core.send(mail, f"bob@{BOLT}", [f"anna@{ACME}"], "internet")
    assert isinstance(outcome, Accepted) and b"in the signature" in delivered.wire
    [alarm] = [line for line in logs if "older certificate" in line["event"]]
    assert (alarm["partner"], alarm["domain"], alarm["used"]) == (BOLT, ACME, acme.key.certificate.thumbprint)


@pytest.mark.parametrize("make", [with_older_key, next_key], ids=["current", "next"])
def test_no_alarm_for_a_key_that_stays(pair: tuple[Gateway, Gateway], make: Any) -> None:
    acme, bolt = pair
    fresh = make(acme)
    mail = foreign_mail(bolt.key, f"bob@{BOLT}", f"anna@{ACME}", reader=fresh)
    with structlog.testing.capture_logs() as logs:
        acme.core.send(mail, f"bob@{BOLT}", [f"anna@{ACME}"], "internet")
    assert not [line for line in logs if "older certificate" in line["event"]]


def test_answer_to_our_older_key_is_a_finding(pair: tuple[Gateway, Gateway]) -> None:
    acme, bolt = pair
    fresh = with_older_key(acme, not_before=NOW - 2 * DAY)
    bolt.knows(acme, certificates=(acme.key, fresh))
    begun = begin(acme)
    post(acme, bolt)
    post(bolt, acme)
    result: Any = acme.test_desk.result(begun.token_hash)
    assert (result["state"], result["here"]["trusted"], result["here"]["key_state"]) == ("failed", True, "older")
    assert result["problems"] == ["the partner encrypts to an older certificate of ours"]


def test_person_without_our_product_answers_by_hand(pair: tuple[Gateway, Gateway]) -> None:
    acme, bolt = pair
    begun = begin(acme, to=f"bob@{BOLT}")
    [(_, recipient, request)] = acme.queued()
    assert recipient == f"bob@{BOLT}"
    read = openssl.decrypt(request, bolt.key)
    assert read is not None
    token = re.search(rb"imegw-[0-9a-z]{32}", read)
    assert token is not None
    quoted = b"Content-Type: text/plain\r\n\r\n> " + token[0] + b"\r\nIt works.\r\n"
    acme.takes(
        f"bob@{BOLT}",
        acme.exchange,
        foreign_mail(bolt.key, f"bob@{BOLT}", acme.exchange, content=quoted, reader=acme.key),
    )
    result: Any = acme.test_desk.result(begun.token_hash)
    assert (result["state"], result["there"]["opened"], result["there"]["trusted"]) == ("passed", True, None)
    assert acme.candidates("") == [] and acme.queued() == []


def test_answer_in_clear_names_the_missing_encryption(pair: tuple[Gateway, Gateway]) -> None:
    acme, bolt = pair
    begun = begin(acme, to=f"bob@{BOLT}")
    [(_, _, request)] = acme.queued()
    token = re.search(rb"imegw-[0-9a-z]{32}", openssl.decrypt(request, bolt.key) or b"")
    assert token is not None
    plain = b"From: bob@bolt.example\nSubject: Re\n\n> " + token[0] + b"\n"
    acme.takes(f"bob@{BOLT}", acme.exchange, plain)
    result: Any = acme.test_desk.result(begun.token_hash)
    assert result["state"] == "failed"
    assert "the answer came in clear: the partner does not encrypt to us" in result["problems"]


@pytest.mark.parametrize("address", [f"key-exchange@{ACME}", f"anna@{ACME}"])
def test_a_key_of_ours_that_cannot_be_read_puts_mail_off(
    pair: tuple[Gateway, Gateway], address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the mail would count as not encrypted to us, and its sender as served."""
    acme, bolt = pair

    def unreadable(*_: object) -> None:
        raise UnreadableCertificate("the private key cannot be read")

    monkeypatch.setattr(OwnedKey, "from_pkcs8", unreadable)
    mail = foreign_mail(bolt.key, f"bob@{BOLT}", address, reader=acme.key)
    outcome = acme.takes(f"bob@{BOLT}", address, mail)
    assert isinstance(outcome, Refused) and outcome.temporary and outcome.reason == "store-unavailable"


@pytest.mark.parametrize("content", [b"no CMS at all", b"MIIBAAAA", b""])
def test_broken_ciphertext_gets_the_same_reply_as_any(pair: tuple[Gateway, Gateway], content: bytes) -> None:
    """Whoever sends changed ciphertexts learns nothing from the reply (threats 31, 32)."""
    acme, bolt = pair
    head = b"From: eve@x.example\nContent-Type: application/pkcs7-mime; smime-type=enveloped-data\n"
    mail = head + b"Content-Transfer-Encoding: base64\n\n" + content + b"\n"
    assert isinstance(acme.takes("eve@x.example", acme.exchange, mail), Accepted)
    good = foreign_mail(bolt.key, f"bob@{BOLT}", acme.exchange, reader=acme.key)
    at = good.index(b"\n\n") + 400
    changed = good[:at] + (b"A" if good[at : at + 1] != b"A" else b"B") + good[at + 1 :]
    assert isinstance(acme.takes(f"bob@{BOLT}", acme.exchange, changed), Accepted)
    assert acme.candidates("") == []
