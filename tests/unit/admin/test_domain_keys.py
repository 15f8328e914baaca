"""The key of a whole domain: made, brought, changed with an overlap, retired for good."""

import secrets
import subprocess
from pathlib import Path

import pytest

from ime_gateway.admin.domain_key_desk import DomainKeyDesk
from ime_gateway.base.errors import UserError
from ime_gateway.ports.registry import Registry
from ime_gateway.settings.site import ManagedDomain, Policy
from tests.pki import DAY, NOW, Entity, make_ca, make_user

SECONDS = 86_400.0
AUTHORITY = "domain-confidentiality-authority@acme.example"


@pytest.fixture(scope="module")
def key() -> Entity:
    return make_user(AUTHORITY)


@pytest.fixture
def desk(registry: Registry, clock) -> DomainKeyDesk:
    with registry.transaction(write=True) as live:
        live.put_managed_domain(ManagedDomain(name="acme.example", deliver_to="mx"), ())
    return DomainKeyDesk(registry, clock, secrets.token_bytes)


def take(desk: DomainKeyDesk, key: Entity, state: str | None = None) -> list[str]:
    row = desk.take("acme.example", key.pkcs12("swordfish"), password="swordfish", state=state, actor="me")  # type: ignore[arg-type]
    return [one.state for one in row.keys]


def test_the_first_key_is_in_force_at_once(desk: DomainKeyDesk, registry: Registry, clock) -> None:
    row = desk.generate("ACME.example", days=100, actor="me")
    assert row.current is not None and row.following is None
    certificate = row.current.certificate
    assert AUTHORITY in certificate.addresses and certificate.key_bits == 3072
    assert certificate.not_after == pytest.approx(clock.now() + 100 * SECONDS, abs=1)
    with pytest.raises(UserError, match="has a domain key already; to change it: ime-gateway domain key rollover"):
        desk.generate("acme.example", days=100, actor="me")
    with pytest.raises(UserError, match="no managed domain"):
        desk.generate("other.example", days=100, actor="me")
    with registry.transaction(write=False) as live:
        assert live.audit_lines()[0].action == "domain-key-generate"


def test_a_second_key_waits_and_takes_over_after_the_overlap(
    desk: DomainKeyDesk, registry: Registry, clock, key: Entity
) -> None:
    assert take(desk, key) == ["current"]
    row = desk.rollover("acme.example", now=False, days=100, actor="me")
    assert [one.state for one in row.keys] == ["current", "next"]
    assert row.current is not None and row.current.certificate == key.certificate
    assert row.takes_over_at == clock.now() + 30 * SECONDS
    with pytest.raises(UserError, match="waits already"):
        desk.rollover("acme.example", now=False, days=100, actor="me")
    assert desk.promote_due("housekeeping") == []
    clock.moment += 30 * SECONDS - 1
    assert desk.promote_due("housekeeping") == []
    clock.moment += 1
    (promoted,) = desk.promote_due("housekeeping")
    row = desk.show("acme.example")
    assert [one.state for one in row.keys] == ["current", "older"]
    assert row.current is not None and row.current.certificate == promoted.certificate
    assert desk.promote_due("housekeeping") == []


def test_the_overlap_begins_with_the_announcement(desk: DomainKeyDesk, registry: Registry, clock, key: Entity) -> None:
    take(desk, key)
    row = desk.rollover("acme.example", now=False, days=100, actor="me")
    assert row.following is not None
    with registry.transaction(write=True) as live:
        live.put_policy(Policy(overlap_days=5))
        told = clock.now() + 3 * SECONDS
        live.domain_keys.set_announced("acme.example", row.following.certificate.thumbprint, told)
    assert desk.show("acme.example").takes_over_at == told + 5 * SECONDS


def test_the_next_key_does_not_wait_for_a_dead_one(desk: DomainKeyDesk, clock) -> None:
    take(desk, make_user(AUTHORITY, not_after=NOW + 3 * DAY))
    row = desk.rollover("acme.example", now=False, days=100, actor="me")
    assert row.takes_over_at == pytest.approx(clock.now() + 3 * SECONDS, abs=1)


def test_now_means_now(desk: DomainKeyDesk, key: Entity) -> None:
    with pytest.raises(UserError, match="has no domain key yet"):
        desk.rollover("acme.example", now=True, days=100, actor="me")
    take(desk, key)
    first = desk.rollover("acme.example", now=True, days=100, actor="me")
    assert [one.state for one in first.keys] == ["current", "older"]
    waiting = desk.rollover("acme.example", now=False, days=100, actor="me").following
    assert waiting is not None
    row = desk.rollover("acme.example", now=True, days=100, actor="me")
    assert row.current is not None and row.current.certificate == waiting.certificate
    assert [one.state for one in row.keys] == ["current", "older", "older"]


def test_an_expired_next_key_is_never_put_in_force(desk: DomainKeyDesk, clock, key: Entity) -> None:
    take(desk, key)
    desk.rollover("acme.example", now=False, days=10, actor="me")
    clock.moment += 40 * SECONDS
    assert desk.promote_due("housekeeping") == []
    with pytest.raises(UserError, match="expired"):
        desk.rollover("acme.example", now=True, days=10, actor="me")


def test_a_retired_key_never_comes_back(desk: DomainKeyDesk, registry: Registry, key: Entity) -> None:
    take(desk, key)
    thumbprint = key.certificate.thumbprint
    with pytest.raises(UserError, match="is the key that partners of"):
        desk.retire("acme.example", thumbprint, actor="me")
    desk.rollover("acme.example", now=True, days=100, actor="me")
    assert desk.retire("acme.example", thumbprint[7:20].upper(), actor="me").certificate == key.certificate
    assert [one.state for one in desk.show("acme.example").keys] == ["current"]
    with registry.transaction(write=False) as live:
        assert live.domain_keys.private_key("acme.example", thumbprint) is None
        assert live.view().trust[thumbprint].verdict == "deny"
    with pytest.raises(UserError, match=r"denied by the trust list \(domain key of acme.example, retired"):
        take(desk, key)
    with pytest.raises(UserError, match="no keys of"):
        desk.retire("acme.example", thumbprint, actor="me")


def test_a_key_that_is_brought_must_be_of_use(desk: DomainKeyDesk, registry: Registry, key: Entity) -> None:
    def bring(data: bytes, password: str | None = None) -> str:
        with pytest.raises(UserError) as caught:
            desk.take("acme.example", data, password=password, state=None, actor="me")
        return str(caught.value)

    assert "swordfish" not in bring(key.pkcs12("swordfish"), "wrong")
    assert "it holds no private key; a domain key is a PKCS#12" in bring(key.pem)
    assert "not for acme.example" in bring(make_user("dca@other.example").pkcs12("x"), "x")
    assert "a CA issues certificates" in bring(make_ca().pkcs12("x"), "x")
    assert "expired" in bring(make_user(AUTHORITY, expired=True).pkcs12("x"), "x")
    assert "bits" in bring(make_user(AUTHORITY, key_bits=1024).pkcs12("x"), "x")
    bring(b"not a key at all")
    assert desk.show("acme.example").keys == ()
    with registry.transaction(write=False) as live:
        assert live.audit_lines() == []
    take(desk, key)
    assert "is here already: it is the current one" in bring(key.pkcs12("x"), "x")


def test_an_old_key_can_come_along_to_open_mail(desk: DomainKeyDesk, key: Entity) -> None:
    assert take(desk, make_user(AUTHORITY, expired=True), "older") == ["older"]
    assert take(desk, key) == ["current", "older"]


def test_exports_are_read_by_others(desk: DomainKeyDesk, registry: Registry, tmp_path: Path, key: Entity) -> None:
    take(desk, key)
    entry, file = desk.certificate("acme.example")
    assert entry.certificate == key.certificate and file.count(b"-----BEGIN") == 1 and b"PRIVATE" not in file
    _, sealed = desk.sealed("acme.example", "", "correct horse", "me")
    (tmp_path / "k.p12").write_bytes(sealed)
    shown = subprocess.run(
        ["openssl", "pkcs12", "-in", tmp_path / "k.p12", "-passin", "pass:correct horse", "-nodes"],
        capture_output=True, check=True,
    )  # fmt: skip
    assert b"BEGIN PRIVATE KEY" in shown.stdout
    with registry.transaction(write=False) as live:
        assert live.audit_lines()[0].action == "domain-key-export"
    with pytest.raises(UserError, match="has no next domain key"):
        desk.certificate("acme.example", "next")
    following = desk.rollover("acme.example", now=False, days=100, actor="me").following
    assert following is not None and desk.certificate("acme.example", "next")[0].certificate == following.certificate


def test_notes_say_what_to_do(desk: DomainKeyDesk, clock) -> None:
    assert desk.show("acme.example").notes == ()
    desk.generate("acme.example", days=100, actor="me")
    assert desk.show("acme.example").notes == ()
    clock.moment += 75 * SECONDS
    (note,) = desk.show("acme.example").notes
    assert "expires at" in note and note.endswith("ime-gateway domain key rollover acme.example")
    clock.moment += 30 * SECONDS
    assert "expired at" in desk.show("acme.example").notes[0]
    desk.rollover("acme.example", now=False, days=100, actor="me")
    assert "was not announced yet: ime-gateway domain announce acme.example" in desk.show("acme.example").notes[0]
