"""Nothing ends by surprise: each certificate in use is warned of once for each threshold, replaced ones never."""

import asyncio
import secrets
from dataclasses import replace
from datetime import datetime

import pytest

from ime_gateway.admin import expiry_desk
from ime_gateway.admin.expiry import Ending, endings, notices, people_endings
from ime_gateway.admin.expiry_desk import ExpiryDesk
from ime_gateway.base.errors import StoreUnavailable
from ime_gateway.ports.exchange import OwnMail
from ime_gateway.ports.registry import CertificateEnd, Registry
from ime_gateway.settings.site import ManagedDomain, PartnerDomain, Policy
from tests.pki import DAY, NOW, Entity, make_ca, make_user

SECONDS = 86_400.0
MOMENT = NOW.timestamp()
AUTHORITY = "domain-confidentiality-authority@acme.example"
ACME = ManagedDomain(name="acme.example", deliver_to="mx", ime_address="dca@ime.acme.example")


class Outbox:
    """Keeps what it was given; `broken` refuses."""

    def __init__(self) -> None:
        self.mails: list[OwnMail] = []
        self.broken = False

    async def send(self, mail: OwnMail, moment: float) -> None:
        if self.broken:
            raise StoreUnavailable("no disk")
        self.mails.append(mail)


@pytest.fixture
def outbox() -> Outbox:
    return Outbox()


@pytest.fixture
def desk(registry: Registry, clock, outbox: Outbox) -> ExpiryDesk:
    with registry.transaction(write=True) as live:
        live.put_managed_domain(ACME, ())
        live.put_policy(Policy(administrators=("ada@acme.example", "eve@elsewhere.example")))
    return ExpiryDesk(registry, outbox, clock, secrets.token_bytes, "gw.acme.example")


def user(address: str, end: datetime, issuer: Entity | None = None) -> Entity:
    return make_user(address, issuer, not_after=end)


def found(registry: Registry) -> set[tuple[str, str, int]]:
    with registry.transaction(write=False) as live:
        return {(one.kind, one.owner, round((one.not_after - MOMENT) / SECONDS)) for one in endings(live)}


def tell(desk: ExpiryDesk) -> list[tuple[str, int]]:
    due = desk.due()
    asyncio.run(desk.tell(due))
    desk.remember_walk()
    return [(notice.ending.owner, notice.days) for notice in due]


def test_all_certificates_in_use_are_found(registry: Registry, desk: ExpiryDesk) -> None:
    root, link = make_ca("Root"), make_ca("Link")
    current, ime = user(AUTHORITY, NOW + 50 * DAY), user("dca@ime.acme.example", NOW + 20 * DAY)
    with registry.transaction(write=True) as live:
        live.domain_keys.put("acme.example", current.certificate, current.key_der, "current")
        live.put_ime_key("acme.example", ime.certificate, ime.key_der, older_open_until=MOMENT)
        live.put_partner_domain(
            PartnerDomain(name="p.example"),
            [user("d@p.example", NOW + 5 * DAY).certificate, user("d@p.example", NOW + 40 * DAY).certificate],
        )
        live.put_managed_domain(ACME, [user("shared@acme.example", NOW + 9 * DAY).certificate])
        live.put_root(root.certificate)
        live.put_certificate(link.certificate, (), None)
        live.put_additional_certificates([user("archive@acme.example", NOW + 3 * DAY).certificate])
    kinds = {(kind, owner) for kind, owner, _ in found(registry)}
    assert kinds == {
        ("domain-key", "acme.example"), ("ime-key", "acme.example"), ("partner", "p.example"),
        ("internal", "acme.example"), ("root", root.certificate.subject), ("ca", link.certificate.subject),
        ("archive", "CN=archive@acme.example"),
    }  # fmt: skip
    assert ("partner", "p.example", 40) in found(registry), "the one that lasts longest counts"


def test_a_key_whose_heir_waits_is_no_news(registry: Registry, desk: ExpiryDesk) -> None:
    current, heir, old = user(AUTHORITY, NOW + 5 * DAY), user(AUTHORITY, NOW + 300 * DAY), user(AUTHORITY, NOW + DAY)
    with registry.transaction(write=True) as live:
        live.domain_keys.put("acme.example", old.certificate, old.key_der, "older")
        live.domain_keys.put("acme.example", current.certificate, current.key_der, "current")
    assert found(registry) == {("domain-key", "acme.example", 5)}
    with registry.transaction(write=True) as live:
        live.domain_keys.put("acme.example", heir.certificate, heir.key_der, "next")
    assert found(registry) == {("domain-key", "acme.example", 300)}


def test_a_next_key_that_ends_first_replaces_nothing(registry: Registry, desk: ExpiryDesk) -> None:
    current, short = user(AUTHORITY, NOW + 50 * DAY), user(AUTHORITY, NOW + 9 * DAY)
    with registry.transaction(write=True) as live:
        live.domain_keys.put("acme.example", current.certificate, current.key_der, "current")
        live.domain_keys.put("acme.example", short.certificate, short.key_der, "next")
    assert found(registry) == {("domain-key", "acme.example", 50), ("domain-key", "acme.example", 9)}


def test_what_serves_no_more_is_no_news_and_our_own_ca_is_told_as_ours(registry: Registry, desk: ExpiryDesk) -> None:
    own, retired, partners = (make_ca(name, not_after=NOW + 8 * DAY) for name in ("Own", "Retired", "Partner's CA"))
    with registry.transaction(write=True) as live:
        for days in (3, 70):
            ime = user("dca@ime.acme.example", NOW + days * DAY)
            live.put_ime_key("acme.example", ime.certificate, ime.key_der, older_open_until=MOMENT + 90 * SECONDS)
        for ca in (own, retired):
            live.authorities.put(ca.certificate, "root", ca.key_der)
            live.put_root(ca.certificate)
        live.authorities.set_state(retired.certificate.thumbprint, "retired")
        live.put_partner_domain(PartnerDomain(name="p.example"), [partners.certificate])
    assert found(registry) == {
        ("ime-key", "acme.example", 70), ("own-ca", "CN=Own", 8), ("ca", "CN=Partner's CA", 8),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("left", "days"),
    [
        (61.0, None),
        (60.0, 60),
        (30.5, 60),
        (30.0, 30),
        (8.0, 30),
        (7.0, 7),
        (0.5, 7),
        (0.0, 0),
        (-29.0, 0),
        (-31.0, None),
    ],
)
def test_thresholds(left: float, days: int | None) -> None:
    ending = Ending("partner", "p.example", "sha256:aa", MOMENT + left * SECONDS)
    assert [one.days for one in notices([ending], (60, 30, 7), MOMENT)] == ([] if days is None else [days])
    own = replace(ending, kind="domain-key")
    assert bool(list(notices([own], (60, 30, 7), MOMENT))) is (left <= 60), "keys of ours are never old news"


def test_people_with_a_longer_certificate_are_no_news() -> None:
    ends = [
        CertificateEnd("a", "CN=a", ("a@x", "b@x"), 10.0),
        CertificateEnd("b", "CN=b", ("b@x",), 90.0),
        CertificateEnd("c", "CN=c", ("c@x",), 60.0),
        CertificateEnd("d", "CN=d", (), 1.0),
    ]
    assert [(one.owner, one.thumbprint) for one in people_endings(ends, 50.0)] == [("a@x", "a")]


def test_each_threshold_is_told_once(registry: Registry, desk: ExpiryDesk, outbox: Outbox, clock) -> None:
    key = user(AUTHORITY, NOW + 31 * DAY)
    with registry.transaction(write=True) as live:
        live.domain_keys.put("acme.example", key.certificate, key.key_der, "current")
    assert tell(desk) == [("acme.example", 60)]
    assert tell(desk) == []
    clock.moment += 2 * SECONDS
    assert tell(desk) == [("acme.example", 30)]
    clock.moment += 23 * SECONDS
    assert tell(desk) == [("acme.example", 7)]
    assert tell(desk) == []
    clock.moment += 7 * SECONDS
    assert tell(desk) == [("acme.example", 0)]
    clock.moment += 300 * SECONDS
    assert tell(desk) == [], "told, and not forgotten by housekeeping"
    assert len(outbox.mails) == 4
    assert len(desk.standing()) == 1


def test_the_mail_says_what_and_what_to_do(registry: Registry, desk: ExpiryDesk, outbox: Outbox) -> None:
    key = user(AUTHORITY, NOW + 5 * DAY)
    odd = user("x@p.example", NOW + 3 * DAY)
    with registry.transaction(write=True) as live:
        live.domain_keys.put("acme.example", key.certificate, key.key_der, "current")
        live.put_partner_domain(PartnerDomain(name="p.example"), [odd.certificate])
    tell(desk)
    (mail,) = outbox.mails
    assert str(mail.recipient) == "ada@acme.example", "nobody outside is told"
    assert mail.sender == "" and mail.protection == "none" and b"Auto-Submitted: auto-" in mail.head
    assert b"Subject: 2 certificates end soon or ended\r\n" in mail.head
    lines = mail.body.decode("ascii").split("\r\n")
    told = [line for line in lines if line.startswith("- ")]
    assert told[0].startswith("- the certificate of partner p.example (sha256:")
    assert told[1].endswith(
        "run: ime-gateway domain key rollover acme.example, then: ime-gateway domain announce acme.example"
    )
    assert b"\n" not in mail.body.replace(b"\r\n", b"")


def test_names_of_strangers_are_plain_text_on_one_line(registry: Registry, desk: ExpiryDesk, outbox: Outbox) -> None:
    root = make_ca("Wurst\u00e4mter\r\nBcc: eve@elsewhere.example\r\n\r\n", not_after=NOW + 5 * DAY)
    with registry.transaction(write=True) as live:
        live.put_root(root.certificate)
    tell(desk)
    (mail,) = outbox.mails
    assert b"\r\n\r\n" not in mail.head.removesuffix(b"\r\n\r\n") and b"Bcc" not in mail.head
    (line,) = [one for one in mail.body.decode("ascii").split("\r\n") if "Bcc" in one]
    assert line.startswith("- the root ") and "Wurst" in line


def test_what_ended_long_ago_is_told_once_a_day_and_not_every_hour(
    registry: Registry, desk: ExpiryDesk, outbox: Outbox, clock
) -> None:
    key = make_user(AUTHORITY, not_before=NOW - 900 * DAY, not_after=NOW - 500 * DAY)
    with registry.transaction(write=True) as live:
        live.domain_keys.put("acme.example", key.certificate, key.key_der, "current")
    for _ in range(20):
        tell(desk)
        clock.moment += 3600
    assert len(outbox.mails) == 1


def test_people_are_walked_through_once_a_day(registry: Registry, desk: ExpiryDesk, clock) -> None:
    root = make_ca()
    anna, bob = user("anna@x.example", NOW + 20 * DAY, root), user("bob@x.example", NOW + 400 * DAY, root)
    with registry.transaction(write=True) as live:
        for person in (anna, bob):
            live.put_certificate(person.certificate, person.certificate.addresses, None)
    assert tell(desk) == [("anna@x.example", 30)]
    carol = user("carol@x.example", NOW + 2 * DAY, root)
    with registry.transaction(write=True) as live:
        live.put_certificate(carol.certificate, carol.certificate.addresses, None)
    assert tell(desk) == []
    clock.moment += SECONDS
    assert tell(desk) == [("carol@x.example", 7)]


def test_however_many_they_are_each_is_found_and_the_mail_stays_short(
    registry: Registry, desk: ExpiryDesk, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expiry_desk, "_PAGE", 2)
    monkeypatch.setattr(expiry_desk, "_LISTED", 3)
    with registry.transaction(write=True) as live:
        for number in range(5):
            one = make_user(f"p{number}@x.example", None, kind="p256", not_after=NOW + (number + 1) * DAY)
            live.put_certificate(one.certificate, one.certificate.addresses, None)
    assert tell(desk) == [(f"p{number}@x.example", 7) for number in range(5)]
    lines = outbox.mails[0].body.decode("ascii").split("\r\n")
    told = [line for line in lines if line.startswith("- ")]
    assert len(told) == 4 and told[-1] == "- and 2 more; see: ime-gateway cert list"


def test_what_could_not_be_sent_is_told_later(registry: Registry, desk: ExpiryDesk, outbox: Outbox, clock) -> None:
    key = user(AUTHORITY, NOW + 5 * DAY)
    with registry.transaction(write=True) as live:
        live.domain_keys.put("acme.example", key.certificate, key.key_der, "current")
    outbox.broken = True
    with pytest.raises(StoreUnavailable):
        tell(desk)
    outbox.broken = False
    clock.moment += 3600
    assert tell(desk) == [("acme.example", 7)]
    assert len(outbox.mails) == 1


def test_without_administrators_nothing_is_forgotten(registry: Registry, desk: ExpiryDesk, outbox: Outbox) -> None:
    key = user(AUTHORITY, NOW + 5 * DAY)
    with registry.transaction(write=True) as live:
        live.domain_keys.put("acme.example", key.certificate, key.key_der, "current")
        live.put_policy(Policy())
    assert tell(desk) == [("acme.example", 7)] and outbox.mails == []
    with registry.transaction(write=True) as live:
        live.put_policy(Policy(administrators=("ada@acme.example",)))
    assert tell(desk) == [("acme.example", 7)] and len(outbox.mails) == 1
