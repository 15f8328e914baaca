"""Mail to an exchange address that brings nothing or less than it claims: who may write, what is believed, how old."""

import asyncio
import base64
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import structlog

from ime_gateway.base.outcome import Accepted, Refused
from ime_gateway.keys.exchange_mail import Letter, write_mail
from ime_gateway.keys.exchange_note import Announcement, ExchangeNote, SelfTestRequest
from ime_gateway.mail.address import parse_path
from ime_gateway.pipeline.revocation import Revocations
from ime_gateway.ports.directory import TrustEntry
from ime_gateway.settings.site import ManagedDomain
from ime_gateway.smime.sign import SigningKey
from tests.core import close
from tests.exchange_world import ACME, BOLT, Gateway, authority, foreign_mail, make_gateway
from tests.pki import DAY, NOW, Entity, make_ca, make_user, pkcs7_bundle
from tests.smime_mail import encrypted, mail, signed, text_entity

ANNA, EVE = f"anna@{ACME}", "eve@evil.example"
TOKEN = "imegw-" + "7" * 32
SECONDS_OF_A_DAY = 86_400.0


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Gateway, Gateway]]:
    """bolt takes the next certificate of acme by itself."""
    acme, bolt = make_gateway(tmp_path, ACME), make_gateway(tmp_path, BOLT)
    acme.knows(bolt)
    bolt.knows(acme, rollover="automatic")
    yield acme, bolt
    close(acme.core)
    close(bolt.core)


@pytest.fixture
def bolt(tmp_path: Path) -> Iterator[Gateway]:
    """It knows no partner."""
    made = make_gateway(tmp_path, BOLT)
    yield made
    close(made.core)


def written(acme: Gateway, bolt: Gateway, note: ExchangeNote, *attached: Entity) -> bytes:
    """As acme's gateway writes it: signed with its key, encrypted to bolt."""
    letter = Letter(parse_path(acme.exchange), parse_path(bolt.exchange), "x", "Hello,\n", "u", "gw", time.time())
    key = SigningKey(acme.key.certificate, acme.key.key)  # type: ignore[arg-type]
    certificates = [one.certificate for one in attached]
    readers = (bolt.key.certificate,)
    return b"".join(write_mail(letter, note, certificates, key, readers, "aes-256-gcm", os.urandom))


def announced(acme: Gateway, bolt: Gateway, following: Entity, **changes: Any) -> str:
    """What bolt says of an announcement signed with acme's current key."""
    note: dict[str, Any] = {
        "domain": ACME,
        "current": acme.key.certificate.thumbprint,
        "following": following.certificate.thumbprint,
        "at": time.time(),
    }
    wire = written(acme, bolt, Announcement(**(note | changes)), following)
    assert isinstance(bolt.takes(acme.exchange, bolt.exchange, wire), Accepted)
    return bolt.last_line()


def heir(**changes: Any) -> Entity:
    return authority(ACME, **({"not_before": NOW - DAY / 24} | changes))


@pytest.mark.parametrize(("days", "taken"), [(-31, False), (-29, True), (29, True), (31, False)])
def test_an_old_announcement_is_no_news(pair: tuple[Gateway, Gateway], days: int, taken: bool) -> None:
    """Who kept one from years ago must not bring its certificate back."""
    acme, bolt = pair
    following = heir()
    line = announced(acme, bolt, following, at=time.time() + days * SECONDS_OF_A_DAY)
    assert ("out of date" in line) is not taken
    assert (following.certificate.thumbprint in bolt.certificates_of(ACME)) is taken
    assert bolt.candidates() == []


def test_an_announcement_that_names_another_current_certificate_waits(pair: tuple[Gateway, Gateway]) -> None:
    acme, bolt = pair
    line = announced(acme, bolt, heir(), current="sha256:" + "0" * 64)
    assert "kept for approval" in line
    assert bolt.certificates_of(ACME) == [acme.key.certificate.thumbprint]


@pytest.mark.parametrize("domain", ["nobody.example", BOLT])
def test_nobody_announces_for_who_is_no_partner(pair: tuple[Gateway, Gateway], domain: str) -> None:
    acme, bolt = pair
    assert "which is no partner" in announced(acme, bolt, authority(domain), domain=domain)
    assert bolt.candidates("") == []


def test_an_heir_that_leads_to_a_root_needs_no_line_on_the_trust_list(pair: tuple[Gateway, Gateway]) -> None:
    """An allow would outlast its revocation."""
    acme, bolt = pair
    issuer = make_ca("Acme CA")
    bolt.core.configure(lambda live: live.put_root(issuer.certificate))
    following = heir(issuer=issuer)
    assert "is in force" in announced(acme, bolt, following)
    assert bolt.certificates_of(ACME)[0] == following.certificate.thumbprint
    assert following.certificate.thumbprint not in bolt.look(lambda live: live.view()).trust


def test_of_other_certificates_only_those_of_the_same_owner_are_kept(bolt: Gateway) -> None:
    """Whoever writes for one domain brings nothing for another, nor for other people of his own."""
    theirs, second = authority("evil.example"), authority("evil.example")
    others = [authority("bank.example"), make_user("ceo@bank.example"), make_user(EVE), make_ca("Evil CA")]
    bundle = base64.encodebytes(pkcs7_bundle([second, *others]))
    content = b"Content-Type: application/pkcs7-mime; name=c.p7c\nContent-Transfer-Encoding: base64\n\n" + bundle
    bolt.takes(EVE, bolt.exchange, foreign_mail(theirs, EVE, bolt.exchange, content=content))
    kept = {one.certificate: one.owner for one in bolt.candidates("")}
    assert kept == {theirs.certificate: "evil.example", second.certificate: "evil.example"}


@pytest.mark.parametrize(
    "names", [(EVE, "ceo@bank.example"), ("x@bank.example",), ("x@evil.example", "y@bank.example")]
)
def test_a_signer_of_other_names_brings_nothing(bolt: Gateway, names: Sequence[str]) -> None:
    signer = make_user(names[0], dn_addresses=names[1:])
    bolt.takes(EVE, bolt.exchange, foreign_mail(signer, EVE, bolt.exchange))
    assert [one.owner for one in bolt.candidates("")] == ([EVE] if names[0] == EVE else [])


@pytest.mark.parametrize("author", [f"bob@{BOLT}", f"domain-confidentiality-authority@{BOLT}"])
def test_nobody_outside_brings_certificates_of_ours(bolt: Gateway, author: str) -> None:
    bolt.takes(EVE, bolt.exchange, foreign_mail(make_user(author), author, bolt.exchange))
    assert bolt.candidates("") == []
    assert "is ours" in bolt.last_line()


def test_a_denied_signer_brings_nothing(bolt: Gateway) -> None:
    eve = make_user(EVE)
    bolt.core.configure(lambda live: live.put_trust(TrustEntry(eve.certificate.thumbprint, "deny", note="stolen")))
    bolt.takes(EVE, bolt.exchange, foreign_mail(eve, EVE, bolt.exchange))
    assert bolt.candidates("") == []
    assert "nothing was taken" in bolt.last_line()


@pytest.mark.parametrize("case", ["around the encryption", "two signers", "text beside it"])
def test_what_is_not_signed_by_one_inside_is_nobodys(bolt: Gateway, case: str) -> None:
    """Of what a signature stands around without having seen it, anybody may be the author."""
    eve, text = make_user(EVE), text_entity("hello")
    entities = {
        "around the encryption": lambda: signed(encrypted(text, bolt.key), eve),
        "two signers": lambda: signed(text, eve, make_user(EVE)),
        "text beside it": lambda: signed(text, eve) + b"\nand this\n",
    }
    assert isinstance(bolt.takes(EVE, bolt.exchange, mail(entities[case](), EVE, bolt.exchange)), Accepted)
    assert bolt.candidates("") == []
    assert "nothing was taken" in bolt.last_line()


def test_a_report_brings_nothing(bolt: Gateway) -> None:
    """Automatic answers are signed, too: they must not fill the list that administrators look through."""
    bolt.takes("", bolt.exchange, foreign_mail(make_user(EVE), EVE, bolt.exchange))
    assert bolt.candidates("") == []
    assert "nothing was taken" in bolt.last_line()


def refused(bolt: Gateway, data: bytes, *to: str, sender: str = EVE, listener: str = "internet") -> Refused:
    outcome, delivered = bolt.core.send(data, sender, to or (bolt.exchange,), listener)
    assert isinstance(outcome, Refused) and not outcome.temporary and not delivered
    return outcome


def test_what_is_refused_at_once(bolt: Gateway) -> None:
    whole = foreign_mail(make_user(EVE), EVE, bolt.exchange)
    assert "only gateways of partners" in refused(bolt, whole, sender=f"bob@{BOLT}", listener="internal").detail
    for to in ((bolt.exchange, f"bob@{BOLT}"), (f"bob@{BOLT}", bolt.exchange)):
        assert "alone" in refused(bolt, whole, *to).detail
    assert refused(bolt, whole + b"x" * (1 << 20)).reason == "too-large"
    assert "only mail that is signed" in refused(bolt, mail(text_entity("hello"), EVE, bolt.exchange)).detail
    assert bolt.candidates("") == []


def test_only_keys_of_the_domain_open_its_exchange_mail(bolt: Gateway) -> None:
    """P8: we have the other key, too, and whoever writes here must not learn what it opens."""
    other = authority("other.example")

    def act(live: Any) -> None:
        live.put_managed_domain(ManagedDomain(name="other.example", deliver_to="smtp://127.0.0.1:25"), ())
        live.domain_keys.put("other.example", other.certificate, other.key_der, "current")

    bolt.core.configure(act)
    eve = make_user(EVE)
    bolt.takes(EVE, bolt.exchange, foreign_mail(eve, EVE, bolt.exchange, reader=other))
    assert bolt.candidates("") == [] and "cannot be opened" in bolt.last_line()
    bolt.takes(EVE, bolt.exchange, foreign_mail(eve, EVE, bolt.exchange, reader=bolt.key))
    assert [one.certificate for one in bolt.candidates()] == [eve.certificate]


@pytest.mark.parametrize(
    ("partner", "days", "answered"), [(BOLT, -6, True), (BOLT, -8, False), (BOLT, 8, False), ("x.example", 0, False)]
)
def test_a_request_is_answered_in_its_time_and_by_whom_it_asks(
    pair: tuple[Gateway, Gateway], partner: str, days: int, answered: bool
) -> None:
    """A captured one, sent to other partners or again next month, makes nobody write."""
    acme, bolt = pair
    at = time.time() + days * SECONDS_OF_A_DAY
    wire = written(acme, bolt, SelfTestRequest(ACME, partner, TOKEN, at))
    assert isinstance(bolt.takes(acme.exchange, bolt.exchange, wire), Accepted)
    assert [recipient for _, recipient, _ in bolt.queued()] == ([acme.exchange] if answered else [])


def test_exchange_mail_to_our_older_key_is_told(pair: tuple[Gateway, Gateway]) -> None:
    acme, bolt = pair
    fresh = authority(BOLT)
    wire = written(acme, bolt, SelfTestRequest(ACME, BOLT, TOKEN, time.time()))
    for expected in (0, 1):
        with structlog.testing.capture_logs() as logs:
            bolt.takes(acme.exchange, bolt.exchange, wire)
        told = [line for line in logs if "older certificate" in line["event"]]
        assert [(line["partner"], line["domain"]) for line in told] == [(ACME, BOLT)] * expected
        bolt.core.configure(lambda live: live.domain_keys.put(BOLT, fresh.certificate, fresh.key_der, "current"))


def test_a_request_with_an_odd_name_is_answered_without_it(pair: tuple[Gateway, Gateway]) -> None:
    """Its Message-ID stands outside the signature, where anything may be written."""
    acme, bolt = pair
    wire = written(acme, bolt, SelfTestRequest(ACME, BOLT, TOKEN, time.time()))
    odd = wire.replace(b"Message-ID: <u@gw>", "Message-ID: <\u00fc@gw>".encode(), 1)
    assert odd != wire
    assert isinstance(bolt.takes(acme.exchange, bolt.exchange, odd), Accepted)
    [(_, _, answer)] = bolt.queued()
    assert b"In-Reply-To" not in answer and answer.isascii()


def test_a_slow_revocation_server_puts_exchange_mail_off(
    pair: tuple[Gateway, Gateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is decided about it meanwhile, and its session is not held for ever."""
    acme, bolt = pair

    async def slow(*_: object) -> None:
        await asyncio.sleep(1)

    monkeypatch.setattr(Revocations, "judged", slow)
    hurried = replace(bolt.core.receiver.exchange, seconds=0.05)
    bolt.core.receiver = replace(bolt.core.receiver, exchange=hurried)
    following = heir()
    note = Announcement(ACME, acme.key.certificate.thumbprint, following.certificate.thumbprint, time.time())
    outcome = bolt.takes(acme.exchange, bolt.exchange, written(acme, bolt, note, following))
    assert isinstance(outcome, Refused) and outcome.temporary and outcome.reason == "lookup-timeout"
    assert bolt.certificates_of(ACME) == [acme.key.certificate.thumbprint] and bolt.candidates("") == []
