"""The built-in CA over the real store: set up, renewed, its root key offline, its lists in time."""

import secrets

import pytest
from cryptography import x509

from ime_gateway.admin.authority_desk import AuthorityDesk, AuthorityRow, authority_json
from ime_gateway.admin.issue_desk import IssueDesk
from ime_gateway.admin.pki_places import PkiFiles
from ime_gateway.admin.revocation_lists import DAY_SECONDS, renew_due_lists
from ime_gateway.base.errors import UserError
from ime_gateway.ports.authorities import AuthorityEntry, IssuedEntry
from ime_gateway.settings.site import ManagedDomain
from ime_gateway.store.database import Store
from tests.pki import make_ca, make_user, new_key
from tests.unit.admin.conftest import FixedClock

PASSPHRASE = "correct horse battery"
PKI = "http://pki.acme.com"


def manage(store: Store, *names: str, ime: str = "") -> None:
    with store.registry.transaction(write=True) as live:
        for name in names:
            live.put_managed_domain(ManagedDomain(name=name, deliver_to="smtp://127.0.0.1:9", ime_address=ime), ())


@pytest.fixture
def desk(store: Store, clock: FixedClock) -> AuthorityDesk:
    manage(store, "acme.com")
    return AuthorityDesk(store.registry, clock, secrets.token_bytes, PKI)


@pytest.fixture
def issuing(store: Store, clock: FixedClock) -> IssueDesk:
    return IssueDesk(store.registry, clock, secrets.token_bytes, PKI)


def init(desk: AuthorityDesk, **changes: object) -> list[AuthorityRow]:
    options = {"open_root": False, "replace": False, "actor": "test"} | changes
    return desk.init("Acme GmbH", "DE", "p-256", **options)  # type: ignore[arg-type]


def active(desk: AuthorityDesk, role: str) -> AuthorityRow:
    return next(row for row in desk.rows() if row.entry.role == role and row.entry.state == "active")


def test_init_makes_two_authorities_and_trusts_the_root(desk: AuthorityDesk, store: Store) -> None:
    root, issuing = init(desk)
    assert (root.entry.role, issuing.entry.role) == ("root", "issuing")
    assert root.entry.certificate.subject == "CN=Acme GmbH S/MIME Root CA G1,O=Acme GmbH,C=DE"
    assert issuing.entry.certificate.issuer == root.entry.certificate.subject
    assert root.notes == issuing.notes == ()
    with store.registry.transaction(write=False) as live:
        view = live.view()
        assert [one.thumbprint for one in view.roots] == [root.entry.certificate.thumbprint]
        assert [one.thumbprint for one in view.intermediates] == [issuing.entry.certificate.thumbprint]
        [issued] = live.authorities.issued()
        assert (issued.purpose, issued.authority) == ("authority", root.entry.certificate.thumbprint)
        assert [line.action for line in live.audit_lines()] == ["ca-init"]


def test_its_address_stands_in_what_it_signs(desk: AuthorityDesk) -> None:
    root, issuing = init(desk)
    points = issuing.entry.certificate.x509.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    assert points[0].full_name and points[0].full_name[0].value == f"{PKI}/pki/{root.entry.name}.crl" == root.crl_url


def test_what_is_served_is_the_newest_list_and_the_certificate(desk: AuthorityDesk, store: Store) -> None:
    root, issuing = init(desk)
    files = PkiFiles(store.registry)
    for row in (root, issuing):
        assert files.certificate(row.entry.name) == row.entry.certificate.der
        assert files.crl(row.entry.name) == row.entry.crl
    desk.sign_lists("test")
    assert files.crl(root.entry.name) not in (None, root.entry.crl)
    assert files.crl("issuing-0000000000000000") is None and files.certificate("") is None


def test_without_an_address_there_is_no_authority(store: Store, clock: FixedClock) -> None:
    manage(store, "acme.com")
    desk = AuthorityDesk(store.registry, clock, secrets.token_bytes, "")
    with pytest.raises(UserError, match=r"set \[web\] pki_url"):
        init(desk)
    assert desk.rows() == []


def test_without_a_managed_domain_there_is_no_authority(store: Store, clock: FixedClock) -> None:
    with pytest.raises(UserError, match="no managed domain"):
        init(AuthorityDesk(store.registry, clock, secrets.token_bytes, PKI))


def test_the_second_init_must_say_replace(desk: AuthorityDesk) -> None:
    first, _ = init(desk)
    with pytest.raises(UserError, match=f"there is a CA already .{first.entry.name}."):
        init(desk)
    rows = init(desk, replace=True)
    assert [(row.entry.role, row.entry.state) for row in rows] == [
        ("root", "active"), ("root", "retired"), ("issuing", "active"), ("issuing", "retired"),
    ]  # fmt: skip
    assert len({row.entry.certificate.subject for row in rows}) == 4, "no two authorities share a name"


def test_the_ime_domain_elsewhere_is_permitted(store: Store, clock: FixedClock) -> None:
    manage(store, "acme.com", ime="domain-confidentiality-authority@ime.other.com")
    desk = AuthorityDesk(store.registry, clock, secrets.token_bytes, PKI)
    root, _ = init(desk)
    limits = root.entry.certificate.x509.extensions.get_extension_for_class(x509.NameConstraints).value
    assert [name.value for name in limits.permitted_subtrees or ()] == [
        "acme.com", ".acme.com", "ime.other.com", ".ime.other.com",
    ]  # fmt: skip


def test_a_domain_that_came_later_needs_a_new_root_unless_it_is_open(desk: AuthorityDesk, store: Store) -> None:
    init(desk)
    manage(store, "bolt.com")
    for role, command in (("root", "ca init --replace"), ("issuing", "ca renew")):
        assert f"may not certify bolt.com; run: ime-gateway {command}" in active(desk, role).notes[0]
    with pytest.raises(UserError, match=r"may not certify bolt\.com.*ca init --replace"):
        desk.renew("p-256", "test")
    init(desk, replace=True, open_root=True)
    manage(store, "cog.com")
    assert active(desk, "root").notes == ()
    renewed = desk.renew("p-256", "test")
    assert renewed.notes == () and active(desk, "issuing") == renewed
    assert "G3" in renewed.entry.certificate.subject and "O=Acme GmbH,C=DE" in renewed.entry.certificate.subject


def test_the_root_key_goes_offline_and_comes_back(desk: AuthorityDesk, issuing: IssueDesk) -> None:
    root, _ = init(desk)
    kept: list[bytes] = []
    row = desk.take_offline(PASSPHRASE, lambda _entry, data: kept.append(data), "test")
    assert not row.entry.has_private_key and row.entry.crl_number == root.entry.crl_number + 1
    assert active(desk, "issuing").entry.has_private_key
    issuing.issue("anna@acme.com", kind="p-256", self_signed=False, again=False, actor="test")
    for act in (
        lambda: desk.renew("p-256", "test"),
        lambda: desk.take_offline(PASSPHRASE, lambda *_: None, "test"),
        lambda: issuing.revoke(active(desk, "issuing").entry.certificate.thumbprint, "superseded", "test"),
    ):
        with pytest.raises(UserError, match="is offline"):
            act()
    with pytest.raises(UserError, match="password"):
        desk.bring_back(kept[0], "wrong password", "test")
    assert desk.bring_back(kept[0], PASSPHRASE, "test").entry.has_private_key
    with pytest.raises(UserError, match="is here already"):
        desk.bring_back(kept[0], PASSPHRASE, "test")
    desk.renew("p-256", "test")


def test_a_key_that_could_not_be_written_stays(desk: AuthorityDesk) -> None:
    init(desk)

    def fails(_entry: AuthorityEntry, _data: bytes) -> None:
        raise UserError("the disk is full")

    with pytest.raises(UserError, match="disk is full"):
        desk.take_offline(PASSPHRASE, fails, "test")
    with pytest.raises(UserError, match="at least"):
        desk.take_offline("short", lambda *_: None, "test")
    assert active(desk, "root").entry.has_private_key


def test_a_key_of_somebody_else_is_refused(desk: AuthorityDesk, store: Store, clock: FixedClock) -> None:
    init(desk)
    stranger = make_ca("Stranger").pkcs12(PASSPHRASE)
    with pytest.raises(UserError, match="CN=Stranger is no CA of this gateway"):
        desk.bring_back(stranger, PASSPHRASE, "test")
    with pytest.raises(UserError, match="neither PEM nor DER"):
        desk.bring_back(b"hello", PASSPHRASE, "test")


def test_lists_are_renewed_when_half_of_their_time_is_over(
    desk: AuthorityDesk, store: Store, clock: FixedClock
) -> None:
    root, issuing = init(desk)
    clock.moment += 3.4 * DAY_SECONDS
    assert renew_due_lists(store.registry, clock.now()).renewed == ()
    clock.moment += 0.2 * DAY_SECONDS
    assert renew_due_lists(store.registry, clock.now()).renewed == (issuing.entry.name,)
    assert renew_due_lists(store.registry, clock.now()).renewed == ()
    after = active(desk, "issuing").entry
    assert after.crl_number == issuing.entry.crl_number + 1
    assert after.crl_next_update == clock.now() + 7 * DAY_SECONDS
    clock.moment += 180 * DAY_SECONDS
    assert set(renew_due_lists(store.registry, clock.now()).renewed) == {root.entry.name, issuing.entry.name}


def test_a_retired_authority_goes_on_signing_its_list(desk: AuthorityDesk, store: Store, clock: FixedClock) -> None:
    """Certificates of its time live on, and whoever finds only an old list refuses them, or trusts revoked ones."""
    first = active(desk, "issuing").entry if init(desk) else None
    assert first is not None
    desk.renew("p-256", "test")
    clock.moment += 3.6 * DAY_SECONDS
    renewed = renew_due_lists(store.registry, clock.now()).renewed
    assert set(renewed) == {first.name, active(desk, "issuing").entry.name}
    assert desk.row(first.name).entry.state == "retired"
    assert desk.row(first.name).entry.crl_next_update == clock.now() + 7 * DAY_SECONDS


def test_a_list_names_everybody_who_was_revoked_however_long_ago(
    desk: AuthorityDesk, store: Store, clock: FixedClock
) -> None:
    _, issuing = init(desk)
    authority, key = issuing.entry.certificate.thumbprint, new_key("ed25519")
    people = [make_user(f"x{number}@acme.com", None, key=key).certificate for number in range(1001)]
    with store.registry.transaction(write=True) as live:
        for number, one in enumerate(people):
            made = clock.now() - number
            live.authorities.put_issued(IssuedEntry(authority, one, one.addresses[0], "user", made, made, "superseded"))
    clock.moment += 3 * 365 * DAY_SECONDS
    desk.sign_lists("test")
    crl = x509.load_der_x509_crl(active(desk, "issuing").entry.crl or b"")
    assert {line.serial_number for line in crl} == {one.serial for one in people}


def test_an_offline_root_asks_for_its_key_in_time(desk: AuthorityDesk, store: Store, clock: FixedClock) -> None:
    init(desk)
    desk.take_offline(PASSPHRASE, lambda *_: None, "test")
    clock.moment += 299 * DAY_SECONDS
    assert renew_due_lists(store.registry, clock.now()).notes == ()
    clock.moment += 2 * DAY_SECONDS
    [note] = renew_due_lists(store.registry, clock.now()).notes
    assert "its key is offline" in note and "ca bring-back" in note
    assert note in active(desk, "root").notes


def test_signing_lists_by_hand_names_those_that_cannot(desk: AuthorityDesk) -> None:
    with pytest.raises(UserError, match="no built-in CA yet"):
        desk.sign_lists("test")
    root, _ = init(desk)
    desk.take_offline(PASSPHRASE, lambda *_: None, "test")
    rows, offline = desk.sign_lists("test")
    assert offline == [root.entry.name] and len(rows) == 2


def test_an_authority_that_ends_says_so(desk: AuthorityDesk, clock: FixedClock) -> None:
    init(desk)
    clock.moment += (5 * 365 - 399) * DAY_SECONDS
    assert "ends at" in active(desk, "issuing").notes[0] and "ca renew" in active(desk, "issuing").notes[0]
    clock.moment += 400 * DAY_SECONDS
    assert "expired at" in active(desk, "issuing").notes[0]


@pytest.mark.parametrize("name", ["", "xyz", "sha256:", "root-"])
def test_a_name_that_is_none(desk: AuthorityDesk, name: str) -> None:
    init(desk, replace=True)
    init(desk, replace=True)
    with pytest.raises(UserError, match="is called"):
        desk.row(name)


def test_an_authority_is_found_by_name_and_thumbprint(desk: AuthorityDesk) -> None:
    root, _ = init(desk)
    thumbprint = root.entry.certificate.thumbprint
    for name in (root.entry.name, thumbprint, thumbprint[7:15], root.entry.name[:12]):
        assert desk.row(name).entry == root.entry
    shown = authority_json(root)
    assert shown["name"] == root.entry.name and shown["private_key"] is True and shown["notes"] == []


def test_no_private_key_is_shown(desk: AuthorityDesk) -> None:
    rows = init(desk)
    assert not any("PRIVATE" in repr(row) for row in rows)
