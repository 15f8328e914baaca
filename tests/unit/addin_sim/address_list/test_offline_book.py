"""The offline address book: what is left out of it, and that its file is never half there."""

import json
from pathlib import Path

import pytest

from addin_sim.address_list.errors import AddressListError
from addin_sim.address_list.ldap_list import CertificateValues
from addin_sim.address_list.offline_book import BOOK_FILE, BookEntry, as_in_book, keep_book, load_book
from tests.full_disk import FullDisk
from tests.ime_contact import contact_of
from tests.pki import NOW, make_user

DCA, LIST, MOMENT = "dca@ime.acme.example", "ldaps://dc1 DC=acme", NOW.timestamp()


def book(smime: list[bytes], plain: list[bytes]) -> BookEntry:
    values = CertificateValues(tuple(smime), tuple(plain))
    return as_in_book(DCA, LIST, "CN=_IME,DC=acme", "_IME", values, MOMENT)


def test_expired_and_unreadable_values_are_left_out() -> None:
    fit, expired = make_user(DCA), make_user(DCA, expired=True)
    entry = book([contact_of(DCA, owner=expired).smime_value, b"junk"], [expired.der, fit.der])
    assert entry.values == CertificateValues((), (fit.der,))
    assert len(entry.left_out) == 3 and not entry.ask_server


def test_values_that_are_too_large_are_dropped_and_asked_for_online() -> None:
    fit = make_user(DCA)
    entry = book([b"\x30" + bytes(32768)], [fit.der])
    assert entry.values == CertificateValues((), (fit.der,))
    assert entry.ask_server == ("userSMIMECertificate",)


def test_values_that_are_too_large_together() -> None:
    fit = make_user(DCA)
    many = [fit.der] * (65536 // len(fit.der) + 2)
    entry = book([], many)
    assert len(entry.values.plain) == 65536 // len(fit.der)
    assert "userCertificate" in entry.ask_server


def test_it_is_kept_whole_and_read_again(tmp_path: Path) -> None:
    entry = book([], [make_user(DCA).der])
    profile = tmp_path / "alice.profile"
    keep_book(profile, entry)
    assert load_book(profile, DCA, LIST) == entry
    assert [file.name for file in profile.iterdir()] == [BOOK_FILE]
    assert entry.age_hours(MOMENT + 5400) == 1.5


@pytest.mark.parametrize("other", [("x@ime.acme.example", LIST), (DCA, "ldaps://dc2 DC=acme")])
def test_the_book_of_another_list_or_address_is_none(tmp_path: Path, other: tuple[str, str]) -> None:
    keep_book(tmp_path, book([], [make_user(DCA).der]))
    assert load_book(tmp_path, *other) is None


@pytest.mark.parametrize("damage", ["", "{", "[]", "{}", '{"version": 2}', "null", '"x"', "\x00"])
def test_a_damaged_file_is_no_book(tmp_path: Path, damage: str) -> None:
    (tmp_path / BOOK_FILE).write_text(damage)
    assert load_book(tmp_path, DCA, LIST) is None


@pytest.mark.parametrize("key", ["fetched", "dn", "name", "smime", "plain", "left_out", "ask_server"])
@pytest.mark.parametrize("value", [None, 7, "%", [7], ["%"]])
def test_a_field_of_another_kind_is_read_or_refused(tmp_path: Path, key: str, value: object) -> None:
    keep_book(tmp_path, book([], [make_user(DCA).der]))
    content = json.loads((tmp_path / BOOK_FILE).read_text())
    (tmp_path / BOOK_FILE).write_text(json.dumps(content | {key: value}))
    load_book(tmp_path, DCA, LIST)  # raises nothing


def test_a_folder_that_cannot_be_written_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AddressListError, match="the offline address book cannot be written"):
        keep_book(tmp_path / "file", book([], []))


def test_a_full_disk_leaves_the_book_of_before(tmp_path: Path) -> None:
    old = book([], [make_user(DCA).der])
    keep_book(tmp_path, old)
    with FullDisk() as disk:
        disk.fill()
        with pytest.raises(
            AddressListError, match=r"File too large\. The address list could be read, and an older book"
        ):
            keep_book(tmp_path, book([], []))
    assert load_book(tmp_path, DCA, LIST) == old
    assert [path.name for path in tmp_path.iterdir()] == [BOOK_FILE]
