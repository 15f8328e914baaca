"""An unchanged SITE.toml after `ime rotate`: the key it still names never becomes the current one again."""

import secrets
from datetime import timedelta

import pytest

from ime_gateway.admin.ime_desk import ImeDesk
from ime_gateway.base.errors import UserError
from ime_gateway.ports.registry import ImeKeyEntry, Registry
from tests.pki import NOW, Entity, make_user

ADDRESS = "dca@ime.acme.example"
SITE = f'[[managed_domain]]\nname = "acme.example"\ndeliver_to = "mx"\nime_address = "{ADDRESS}"\nime_key = "k.p12"\n'
SITE += 'ime_key_password = "swordfish"\n'
DAY = 86_400


@pytest.fixture(scope="session")
def first() -> Entity:
    return make_user(ADDRESS)


@pytest.fixture
def desk(site, registry: Registry, clock, first: Entity) -> ImeDesk:
    (site.folder / "k.p12").write_bytes(first.pkcs12("swordfish"))
    site.apply(SITE)
    clock.moment += DAY
    return ImeDesk(registry, clock, secrets.token_bytes)


def rotate(desk: ImeDesk, *, at_once: bool) -> ImeKeyEntry:
    row = desk.rotate("acme.example", days=100, overlap_days=14, at_once=at_once, actor="test")
    assert row.current is not None
    return row.current


def current(desk: ImeDesk) -> ImeKeyEntry | None:
    return desk.show("acme.example").current


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_stolen_key_stays_closed(site, desk: ImeDesk, dry_run: bool) -> None:
    new = rotate(desk, at_once=True)
    day = (NOW + timedelta(days=1)).strftime("%Y-%m-%d")
    sentence = rf"site.toml, line 5: .*ime_key: k.p12 is the key that was retired on {day}T.*; remove ime_key or name a"
    with pytest.raises(UserError, match=sentence):
        site.apply(SITE + '[policy]\ncontent_cipher = "aes-256-cbc"\n', dry_run=dry_run)
    assert current(desk) == new
    assert [key.has_private_key for key in desk.show("acme.example").older] == [False]
    assert not site.apply(SITE.partition("ime_key")[0]).changed, "without ime_key it is as it was"


def test_a_stolen_key_stays_closed_under_another_certificate(site, desk: ImeDesk, first: Entity) -> None:
    new = rotate(desk, at_once=True)
    renewed = make_user(ADDRESS, key=first.key)
    (site.folder / "k.p12").write_bytes(renewed.pkcs12("swordfish"))
    with pytest.raises(UserError, match="is the key that was retired on"):
        site.apply(SITE)
    assert current(desk) == new


def test_a_key_in_its_overlap_stays_the_older_one(site, desk: ImeDesk, clock) -> None:
    new = rotate(desk, at_once=False)
    before = desk.show("acme.example")
    report = site.apply(SITE)
    assert not report.changed
    assert any("k.p12 is an older key" in note and "take ime_key out" in note for note in report.notes)
    assert current(desk) == new and desk.show("acme.example") == before
    clock.moment += 15 * DAY
    with pytest.raises(UserError, match="was retired on"):
        site.apply(SITE)
    assert current(desk) == new


def test_a_renewed_certificate_of_a_key_that_goes_on_is_taken(site, desk: ImeDesk, first: Entity, clock) -> None:
    """Two changes of certificate, one key: the first certificate's overlap is over when the third comes."""
    for _ in range(2):
        renewed = make_user(ADDRESS, key=first.key)
        (site.folder / "k.p12").write_bytes(renewed.pkcs12("swordfish"))
        assert site.apply(SITE).changed
        found = current(desk)
        assert found is not None and found.certificate == renewed.certificate
        clock.moment += 15 * DAY


def test_a_new_file_is_taken_after_a_theft(site, desk: ImeDesk) -> None:
    rotate(desk, at_once=True)
    other = make_user(ADDRESS)
    (site.folder / "k.p12").write_bytes(other.pkcs12("swordfish"))
    assert site.apply(SITE).changed
    found = current(desk)
    assert found is not None and found.certificate == other.certificate
