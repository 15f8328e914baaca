"""`publish --backend ews` and `verify` over HTTPS against the EWS server: publish, again, roll over, remove, fail."""

import base64
import time
from collections.abc import Iterator

import pytest

from addin_sim.address_list.errors import AddressListError
from addin_sim.address_list.ews_contacts import EwsContactsPublisher
from addin_sim.address_list.ews_verify import verify
from addin_sim.address_list.publisher import Action, Contact, Outcome
from addin_sim.address_list.settings import EwsSettings
from tests.ime_contact import ADDRESS, DISPLAY_NAME, contact_of
from tests.servers.ews import PASSWORD, Entry, EwsServer
from tests.servers.ews.store import PUBLIC, StoredItem

ADMIN = "admin@acme.example"
ALICE = "alice@acme.example"
FOLDER = "IME certificates"
CERTIFICATES = ("tag", str(0x3A70), "BinaryArray")
NAMES = [
    "_IME M\u00fcller & S\u00f6hne <\u5185\u90e8>",
    "_IME ,+\"\\<>;=#*()'",
    "_IME ]]> &amp; {0} ${x}",
    "_IME two  spaces",
]


@pytest.fixture(scope="module")
def contact() -> Contact:
    return contact_of()


@pytest.fixture
def exchange() -> Iterator[EwsServer]:
    with EwsServer([ADMIN, ALICE]) as server:
        yield server


def settings(server: EwsServer, **changes: object) -> EwsSettings:
    table: dict[str, object] = {"url": server.url, "user": ADMIN, "password": PASSWORD, "ca_file": server.ca_file}
    return EwsSettings.model_validate({**table, **changes})


def publisher(server: EwsServer, **changes: object) -> EwsContactsPublisher:
    return EwsContactsPublisher(settings(server, **changes), ADMIN, lambda _: None)


def published(server: EwsServer, contact: Contact, **changes: object) -> Outcome:
    one = publisher(server, **changes)
    outcome = one.carry_out(one.plan(contact))
    one.close()
    return outcome


def contacts(server: EwsServer, owner: str = ADMIN) -> list[StoredItem]:
    return server.items(owner, FOLDER)


def values(item: StoredItem) -> list[bytes]:
    return [base64.b64decode(value) for value in item.extended[CERTIFICATES]]


def text(item: StoredItem, field: str) -> str:
    return item.fields[field].text or ""


def test_published_in_a_new_folder_with_the_signed_value(exchange: EwsServer, contact: Contact) -> None:
    outcome = published(exchange, contact)
    assert outcome.action is Action.ADD
    (item,) = contacts(exchange)
    assert values(item) == [contact.smime_value]
    assert text(item, "DisplayName") == text(item, "FileAs") == DISPLAY_NAME
    assert item.fields["EmailAddresses"][0].text == ADDRESS
    assert exchange.folder(ADMIN, FOLDER).folder_class == "IPF.Contact"
    assert exchange.items(ADMIN, "contacts") == []


def test_a_dry_run_writes_nothing(exchange: EwsServer, contact: Contact) -> None:
    plan = publisher(exchange).plan(contact)
    assert plan.action is Action.ADD
    assert plan.diff[0].startswith("folder: (nothing) ->")
    assert not {"CreateFolder", "CreateItem", "UpdateItem", "DeleteItem"} & set(exchange.operations())


def test_twice_is_once(exchange: EwsServer, contact: Contact) -> None:
    published(exchange, contact)
    outcome = published(exchange, contact)
    assert outcome.action is Action.NOTHING
    assert "nothing was changed" in outcome.sentence
    assert exchange.operations().count("CreateItem") == 1
    assert "UpdateItem" not in exchange.operations()


def test_a_rollover_leaves_one_value(exchange: EwsServer, contact: Contact) -> None:
    published(exchange, contact)
    new = contact_of(ADDRESS, "_IME new name")
    assert published(exchange, new).action is Action.CHANGE
    (item,) = contacts(exchange)
    assert values(item) == [new.smime_value]
    assert text(item, "DisplayName") == "_IME new name"
    assert exchange.operations().count("UpdateItem") == 1


def test_removed_to_deleted_items_and_nothing_else(exchange: EwsServer, contact: Contact) -> None:
    published(exchange, contact)
    published(exchange, contact_of("dca@ime.other.example", "_IME other"))
    assert publisher(exchange).remove(contact).action is Action.REMOVE
    assert [text(item, "DisplayName") for item in contacts(exchange)] == ["_IME other"]
    assert len(exchange.items(ADMIN, "deleteditems")) == 1
    assert publisher(exchange).remove(contact).action is Action.NOTHING


@pytest.mark.parametrize("name", NAMES)
def test_names_arrive_as_they_are(exchange: EwsServer, contact: Contact, name: str) -> None:
    named = contact_of(ADDRESS, name)
    published(exchange, named, folder=name)
    (item,) = exchange.items(ADMIN, name)
    assert text(item, "DisplayName") == name
    assert published(exchange, named, folder=name).action is Action.NOTHING


def test_addresses_are_no_search_terms(exchange: EwsServer, contact: Contact) -> None:
    published(exchange, contact)
    strange = contact_of("o'brien&<x>\"*@ime.acme.example", "_IME strange")
    assert published(exchange, strange).action is Action.ADD
    assert published(exchange, strange).action is Action.NOTHING
    assert len(contacts(exchange)) == 2


def test_capital_letters_are_the_same_address(exchange: EwsServer, contact: Contact) -> None:
    published(exchange, contact)
    again = contact_of(ADDRESS.upper(), DISPLAY_NAME)
    assert published(exchange, again).action is Action.CHANGE
    assert len(contacts(exchange)) == 1


def test_a_public_folder(exchange: EwsServer, contact: Contact) -> None:
    assert published(exchange, contact, public=True).action is Action.ADD
    (item,) = exchange.items(PUBLIC, FOLDER)
    assert values(item) == [contact.smime_value]
    assert published(exchange, contact, public=True).action is Action.NOTHING
    assert publisher(exchange, public=True).remove(contact).action is Action.REMOVE
    assert exchange.items(PUBLIC, FOLDER) == []


def test_another_mailbox_needs_a_right(exchange: EwsServer, contact: Contact) -> None:
    with pytest.raises(AddressListError, match=r"no right to do this in.*Nothing was changed\. Let the owner"):
        published(exchange, contact, mailbox=ALICE)
    exchange.grants.add((ADMIN, ALICE))
    assert published(exchange, contact, mailbox=ALICE).action is Action.ADD
    assert len(contacts(exchange, ALICE)) == 1


def test_two_entries_are_refused_by_name(exchange: EwsServer, contact: Contact) -> None:
    first, second = publisher(exchange), publisher(exchange)
    plans = [first.plan(contact), second.plan(contact_of(ADDRESS, "_IME second"))]
    first.carry_out(plans[0])
    with pytest.raises(AddressListError):
        second.carry_out(plans[1])
    assert len(contacts(exchange)) == 1


def test_a_change_by_somebody_else_in_between(exchange: EwsServer, contact: Contact) -> None:
    published(exchange, contact)
    slow = publisher(exchange)
    plan = slow.plan(contact_of())
    published(exchange, contact_of(ADDRESS, "_IME theirs"))
    with pytest.raises(AddressListError, match=r"in the meantime\. Nothing was changed\. Run the command again"):
        slow.carry_out(plan)
    assert text(contacts(exchange)[0], "DisplayName") == "_IME theirs"
    removal = publisher(exchange)
    gone = removal.plan_removal(contact)
    publisher(exchange).remove(contact)
    with pytest.raises(AddressListError, match="in the meantime"):
        removal.carry_out(gone)


def test_a_wrong_password(exchange: EwsServer, contact: Contact) -> None:
    with pytest.raises(AddressListError, match=r"refused the login.*Nothing was changed\. Correct user, password"):
        published(exchange, contact, password="wrong")


def test_ntlm_that_the_server_refuses(exchange: EwsServer, contact: Contact) -> None:
    exchange.quirks.schemes = ("NTLM",)
    with pytest.raises(AddressListError, match=r"takes NTLM.*Nothing was changed"):
        published(exchange, contact)


def test_an_unknown_authority(exchange: EwsServer, contact: Contact) -> None:
    with pytest.raises(AddressListError, match=r"not trusted.*Nothing was changed\. Name the certificate of its CA"):
        published(exchange, contact, ca_file=None)


def test_a_server_that_is_not_there(contact: Contact, free_port: int) -> None:
    nowhere = EwsSettings(url=f"https://127.0.0.1:{free_port}/EWS/Exchange.asmx", user=ADMIN, password="x")
    with pytest.raises(AddressListError, match=r"refused.*Nothing was changed\. See that the server"):
        EwsContactsPublisher(nowhere, ADMIN, print).plan(contact)


def test_a_token_that_has_run_out(exchange: EwsServer, contact: Contact) -> None:
    token = exchange.sign_in.issue(ADMIN).text
    assert published(exchange, contact, auth="bearer", password=token).action is Action.ADD
    exchange.sign_in.expire_tokens()
    with pytest.raises(AddressListError, match=r"access token.*Nothing was changed"):
        published(exchange, contact, auth="bearer", password=token)


def test_a_busy_server_is_waited_for(exchange: EwsServer, contact: Contact) -> None:
    exchange.quirks.back_off_milliseconds = 20
    exchange.quirks.busy = 3
    assert published(exchange, contact).action is Action.ADD
    assert len(contacts(exchange)) == 1


def test_cut_after_the_contact_was_made_tells_that_it_is_there(exchange: EwsServer, contact: Contact) -> None:
    published(exchange, contact_of("dca@ime.other.example"))
    one = publisher(exchange)
    plan = one.plan(contact)
    exchange.quirks.cut_connections = 1
    with pytest.raises(AddressListError, match=r"read again: the change is there, complete"):
        one.carry_out(plan)
    assert len(contacts(exchange)) == 2
    assert published(exchange, contact).action is Action.NOTHING


def test_gone_in_the_middle_tells_that_nobody_knows(exchange: EwsServer, contact: Contact) -> None:
    published(exchange, contact)
    one = publisher(exchange)
    plan = one.plan(contact_of())
    exchange.quirks.cut_connections = 50
    with pytest.raises(AddressListError, match=r"What the folder holds now is not known\. See that the server"):
        one.carry_out(plan)


def test_refused_while_writing_tells_what_is_there_by_then(exchange: EwsServer, contact: Contact) -> None:
    exchange.quirks.fail_operations["CreateItem"] = ("ErrorAccessDenied", "Access is denied.")
    with pytest.raises(AddressListError, match=r"no right to do this in.*The new folder .* is there, empty"):
        published(exchange, contact)
    assert contacts(exchange) == []
    with pytest.raises(AddressListError, match=r"no right to do this in.*Nothing was changed"):
        published(exchange, contact)


def test_a_change_that_is_confirmed_and_not_there_is_no_success(exchange: EwsServer, contact: Contact) -> None:
    published(exchange, contact)

    def undo(sentence: str) -> None:
        if sentence.startswith("Reading") and "UpdateItem" in exchange.operations():
            contacts(exchange)[0].extended[CERTIFICATES] = (base64.b64encode(contact.smime_value).decode(),)

    one = EwsContactsPublisher(settings(exchange), ADMIN, undo)
    with pytest.raises(AddressListError, match=r"does not show it\. The folder .* the contact is as it was"):
        one.carry_out(one.plan(contact_of()))


def test_verify_asks_the_address_list_alone_and_for_certificates(exchange: EwsServer, contact: Contact) -> None:
    verify(settings(exchange), ADMIN, contact, time.time(), lambda _: None)
    (asked,) = [one.request for one in exchange.dialogues if one.operation == "ResolveNames"]
    assert b'SearchScope="ActiveDirectory"' in asked
    assert b'ContactDataShape="AllProperties"' in asked


def test_verify_sees_what_the_address_list_shows(exchange: EwsServer, contact: Contact) -> None:
    def verdict() -> tuple[bool, str]:
        found = verify(settings(exchange), ADMIN, contact, time.time(), lambda _: None)
        return found.good, found.sentence

    published(exchange, contact)
    good, sentence = verdict()
    assert not good
    assert "does not show" in sentence, "a contacts folder is no address list"
    entry = exchange.directory.add(Entry(ADDRESS, DISPLAY_NAME, kind="Contact"))
    assert "without a certificate" in verdict()[1]
    old = contact_of()
    entry.user_certificates, entry.user_smime_certificates = [contact.certificate], [old.smime_value]
    good, sentence = verdict()
    assert not good
    assert "another certificate" in sentence
    entry.user_smime_certificates = [contact.smime_value]
    assert verdict()[0]


@pytest.mark.parametrize(
    ("change", "advice"),
    [
        ({"password": "wrong"}, "Correct user, password "),
        ({"ca_file": None}, "Name the certificate of its CA as ca_file"),
        ({"auth": "bearer"}, "Correct user, password "),
    ],
)
def test_verify_says_why_it_cannot_ask(
    exchange: EwsServer, contact: Contact, change: dict[str, object], advice: str
) -> None:
    with pytest.raises(AddressListError, match=rf"Nothing was verified and nothing was changed\. {advice}"):
        verify(settings(exchange, **change), ADMIN, contact, 0.0, print)
