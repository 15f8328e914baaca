"""Decisions about a contacts folder: what is changed, what is refused, and what people are shown of it."""

import pytest

from addin_sim.address_list.errors import AddressListError
from addin_sim.address_list.ews_plan import Folder, Stored, holds, plan_publication, plan_withdrawal, state_after
from addin_sim.address_list.publisher import Action, Contact
from tests.ime_contact import ADDRESS, DISPLAY_NAME, contact_of

FOLDER = "contacts of alice@acme.example/IME certificates"


@pytest.fixture(scope="module")
def contact() -> Contact:
    return contact_of()


def stored(contact: Contact, **changes: object) -> Stored:
    held: dict[str, object] = {
        "key": "id change",
        "display_name": DISPLAY_NAME,
        "file_as": DISPLAY_NAME,
        "addresses": (ADDRESS,),
        "values": (contact.smime_value,),
    }
    return Stored(**{**held, **changes})  # type: ignore[arg-type]


def folder(*holders: Stored, exists: bool = True) -> Folder:
    return Folder(FOLDER, exists, holders)


def test_an_absent_folder_is_made_and_shown_as_no_address_list(contact: Contact) -> None:
    plan = plan_publication(contact, folder(exists=False))
    assert plan.action is Action.ADD
    assert plan.diff[0] == f"folder: (nothing) -> {FOLDER}"
    assert plan.diff[-1].startswith("UserX509Certificate: (nothing) -> signed value of certificate sha256:")
    assert "not the address list" in plan.remarks[0]


def test_an_existing_folder_is_used(contact: Contact) -> None:
    plan = plan_publication(contact, folder())
    assert plan.action is Action.ADD
    assert [change.attribute for change in plan.changes] == [
        "DisplayName",
        "FileAs",
        "EmailAddress1",
        "UserX509Certificate",
    ]


def test_what_is_as_wanted_is_left_alone(contact: Contact) -> None:
    plan = plan_publication(contact, folder(stored(contact, addresses=(ADDRESS.upper(),))))
    assert plan.action is Action.NOTHING
    assert plan.changes == ()


def test_a_rollover_replaces_every_value(contact: Contact) -> None:
    new = contact_of()
    old = stored(contact, values=(contact.smime_value, contact.certificate))
    plan = plan_publication(new, folder(old))
    assert plan.action is Action.CHANGE
    assert plan.key == "id change"
    (change,) = plan.changes
    assert change.new == (new.smime_value,)
    assert contact.thumbprint in plan.diff[0]
    assert new.thumbprint in plan.diff[0]


@pytest.mark.parametrize("addresses", [(ADDRESS, "bob@elsewhere.example"), ("bob@elsewhere.example", ADDRESS)])
def test_a_contact_with_other_addresses_is_somebody_elses(contact: Contact, addresses: tuple[str, ...]) -> None:
    foreign = folder(stored(contact, addresses=addresses))
    for decide in (plan_publication, plan_withdrawal):
        with pytest.raises(AddressListError, match=r"somebody else's\. Nothing was changed"):
            decide(contact, foreign)


def test_twice_is_refused_by_both_names(contact: Contact) -> None:
    twice = folder(stored(contact), stored(contact, display_name="_IME old"))
    for decide in (plan_publication, plan_withdrawal):
        with pytest.raises(AddressListError, match=r"2 times.*domain-confidentiality.*_IME old.*Nothing was changed"):
            decide(contact, twice)


def test_removal_takes_our_contact_whatever_its_certificate(contact: Contact) -> None:
    plan = plan_withdrawal(contact_of(), folder(stored(contact)))
    assert plan.action is Action.REMOVE
    assert all(change.new == () for change in plan.changes)
    assert plan_withdrawal(contact, folder()).action is Action.NOTHING
    assert plan_withdrawal(contact, folder(exists=False)).action is Action.NOTHING


def test_what_was_read_again_is_compared_with_the_plan(contact: Contact) -> None:
    plan = plan_publication(contact, folder())
    assert holds(folder(stored(contact)), plan)
    assert not holds(folder(), plan)
    assert not holds(folder(stored(contact, values=())), plan)
    assert not holds(folder(stored(contact), stored(contact)), plan)
    removal = plan_withdrawal(contact, folder(stored(contact)))
    assert holds(folder(), removal)
    assert not holds(folder(stored(contact)), removal)


def test_the_state_after_a_failure_is_told_apart(contact: Contact) -> None:
    new = contact_of()
    before = folder(stored(contact))
    change = plan_publication(new, before)
    assert "the change is there" in state_after(folder(stored(new)), change)
    assert "as it was before" in state_after(before, change)
    assert "not as wanted" in state_after(folder(stored(contact, values=(b"x",))), change)
    assert "no such contact" in state_after(folder(), change)
    assert "2 contacts in it have the address" in state_after(folder(stored(new), stored(new)), change)
    assert "as it was before" in state_after(before, plan_withdrawal(contact, before))
