"""What publishing comes to, decided without a directory: every virtue and fault an address list can have."""

from dataclasses import replace

import pytest
from cryptography import x509
from hypothesis import example, given
from hypothesis import strategies as st

from addin_sim.address_list.errors import AddressListError
from addin_sim.address_list.ldap_directory import Entry
from addin_sim.address_list.ldap_schema import DirectorySchema
from addin_sim.address_list.plan import ATTRIBUTES, dn_in, holds, names_for, plan_publication, plan_withdrawal
from addin_sim.address_list.publish_remarks import Found
from addin_sim.address_list.publisher import Action, Contact, Plan
from tests.ime_contact import ADDRESS, contact_of

PLACE = "OU=IME,DC=acme,DC=example"
DN = f"CN=_IME domain-confidentiality-authority,{PLACE}"
LISTS = ("CN=Default Global Address List,CN=All Global Address Lists,DC=x",)
CLASSES = {"contact": ("organizationalPerson",), "organizationalperson": ("person",), "person": ("top",), "top": ()}
EXCHANGE = DirectorySchema(frozenset(name.lower() for name in ATTRIBUTES), CLASSES)
WITHOUT = frozenset(n.lower() for n in ATTRIBUTES if n.startswith(("msExch", "mailN", "target", "internetE", "mAPI")))
AD_ONLY = replace(EXCHANGE, attributes=EXCHANGE.attributes - WITHOUT)


@pytest.fixture(scope="module")
def contact() -> Contact:
    return contact_of()


def found(*holders: Entry, schema: DirectorySchema = EXCHANGE, outside: bool = False, **more: object) -> Found:
    inside = frozenset() if outside else frozenset(entry.dn for entry in holders)
    made = Found(schema, PLACE, holders, inside, frozenset(), address_lists=LISTS)
    return replace(made, **more)  # type: ignore[arg-type]


def entry_after(plan: Plan, entry: Entry | None = None) -> Entry:
    """The entry as a directory has it when the plan is carried out."""
    attributes = dict(entry.attributes) if entry else {}
    for change in plan.changes:
        attributes[change.attribute.lower()] = tuple(v if isinstance(v, bytes) else v.encode() for v in change.new)
    return Entry(plan.place, attributes)


def published(contact: Contact, schema: DirectorySchema = EXCHANGE) -> Entry:
    return entry_after(plan_publication(contact, found(schema=schema)))


def with_values(entry: Entry, **values: tuple[str, ...]) -> Entry:
    changed = {name.lower(): tuple(one.encode() for one in value) for name, value in values.items()}
    return Entry(entry.dn, {**entry.attributes, **changed})


def values_of(plan: Plan) -> dict[str, tuple[object, ...]]:
    return {change.attribute: change.new for change in plan.changes}


def test_a_new_contact_has_everything_that_exchange_wants(contact: Contact) -> None:
    plan = plan_publication(contact, found())
    assert (plan.action, plan.place, plan.key, plan.remarks) == (Action.ADD, DN, "", ())
    assert values_of(plan) == {
        "objectClass": ("top", "person", "organizationalPerson", "contact"),
        "cn": ("_IME domain-confidentiality-authority",),
        "displayName": ("_IME domain-confidentiality-authority",),
        "mail": (ADDRESS,),
        "mailNickname": ("domain-confidentiality-authority-ime-acme-example",),
        "targetAddress": (f"SMTP:{ADDRESS}",),
        "proxyAddresses": (f"SMTP:{ADDRESS}",),
        "internetEncoding": ("1310720",),
        "mAPIRecipient": ("FALSE",),
        "msExchRecipientDisplayType": ("6",),
        "msExchRecipientTypeDetails": ("64",),
        "showInAddressBook": LISTS,
        "userCertificate": (contact.certificate,),
        "userSMIMECertificate": (contact.smime_value,),
    }
    assert all(change.old == () for change in plan.changes)


def test_without_exchange_only_what_active_directory_has_is_written(contact: Contact) -> None:
    plan = plan_publication(contact, found(schema=AD_ONLY))
    assert set(values_of(plan)).isdisjoint({"mailNickname", "targetAddress", "internetEncoding", "mAPIRecipient"})
    assert "userSMIMECertificate" in values_of(plan)
    assert "no Exchange schema" in " ".join(plan.remarks)


@pytest.mark.parametrize("schema", [EXCHANGE, AD_ONLY], ids=["exchange", "ad-only"])
def test_publishing_twice_changes_nothing(contact: Contact, schema: DirectorySchema) -> None:
    plan = plan_publication(contact, found(published(contact, schema), schema=schema))
    assert (plan.action, plan.changes, plan.remarks, plan.key) == (Action.NOTHING, (), (), DN)


def test_a_new_key_replaces_both_certificates_and_nothing_else(contact: Contact) -> None:
    newer = contact_of()
    plan = plan_publication(newer, found(published(contact)))
    assert plan.action is Action.CHANGE
    assert values_of(plan) == {
        "userCertificate": (newer.certificate,),
        "userSMIMECertificate": (newer.smime_value,),
    }
    assert contact.thumbprint in plan.diff[0] and newer.thumbprint in plan.diff[0]
    assert "offline address book" in " ".join(plan.remarks)


def test_a_value_signed_anew_replaces_both(contact: Contact) -> None:
    stale = contact_of().smime_value
    entry = published(contact)
    entry = Entry(entry.dn, {**entry.attributes, "usersmimecertificate": (stale,)})
    assert set(values_of(plan_publication(contact, found(entry)))) == {"userCertificate", "userSMIMECertificate"}


def test_several_old_certificates_are_all_replaced(contact: Contact) -> None:
    entry = published(contact)
    many = (contact_of().certificate, contact.certificate)
    entry = Entry(entry.dn, {**entry.attributes, "usercertificate": many})
    plan = plan_publication(contact, found(entry))
    assert values_of(plan)["userCertificate"] == (contact.certificate,)


def test_what_others_have_added_stays(contact: Contact) -> None:
    entry = with_values(
        published(contact),
        proxyAddresses=("smtp:dca@acme.example", f"smtp:{ADDRESS.upper()}", "X500:/o=Acme/cn=dca"),
        mailNickname=("ime-authority",),
        showInAddressBook=("CN=Ours,DC=x",),
        msExchRecipientTypeDetails=("128",),
        cn=("IME of old",),
    )
    changes = values_of(plan_publication(contact, found(entry)))
    assert changes == {
        "proxyAddresses": (f"SMTP:{ADDRESS}", "smtp:dca@acme.example", "X500:/o=Acme/cn=dca"),
        "showInAddressBook": ("CN=Ours,DC=x", *LISTS),
    }


def test_a_hidden_contact_is_shown_again_and_tnef_stays_off(contact: Contact) -> None:
    entry = with_values(published(contact), msExchHideFromAddressLists=("TRUE",), mAPIRecipient=("TRUE",))
    changes = values_of(plan_publication(contact, found(entry)))
    assert changes == {"mAPIRecipient": ("FALSE",), "msExchHideFromAddressLists": ("FALSE",)}


def test_the_case_of_an_address_is_no_difference(contact: Contact) -> None:
    entry = with_values(published(contact), mail=(ADDRESS.upper(),), targetAddress=(f"smtp:{ADDRESS.upper()}",))
    assert plan_publication(contact, found(entry)).action is Action.NOTHING


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"objectClass": ("top", "person", "user")}, "no contact but a user"),
        ({"objectClass": ("top", "group")}, "no contact but a group"),
        ({"mail": ("boss@acme.example",)}, "its mail is boss@acme.example"),
        ({"targetAddress": ("SMTP:boss@acme.example",)}, "its target address is SMTP:boss"),
        ({"proxyAddresses": ("SMTP:boss@acme.example", f"smtp:{ADDRESS}")}, "its first proxy address is SMTP:boss"),
    ],
)
def test_what_is_not_our_contact_is_refused(contact: Contact, change: dict[str, tuple[str, ...]], words: str) -> None:
    entry = with_values(published(contact), **change)
    for decide in (plan_publication, plan_withdrawal):
        with pytest.raises(AddressListError, match="Nothing was changed") as refusal:
            decide(contact, found(entry))
        assert words in str(refusal.value) and DN in str(refusal.value)
        assert "Take the address away from it" in str(refusal.value) and "place in" not in str(refusal.value)


def test_a_contact_outside_the_place_is_refused(contact: Contact) -> None:
    for decide in (plan_publication, plan_withdrawal):
        with pytest.raises(
            AddressListError, match=rf"lies outside {PLACE}\. .* Correct place in \[address_list.ldap\]"
        ):
            decide(contact, found(published(contact), outside=True))


def test_an_address_that_exists_twice_is_refused_with_both_names(contact: Contact) -> None:
    other = Entry("CN=Boss,DC=acme,DC=example", {"objectclass": (b"user",)})
    for decide in (plan_publication, plan_withdrawal):
        with pytest.raises(AddressListError, match="2 times") as refusal:
            decide(contact, found(published(contact), other))
        assert DN in str(refusal.value) and "CN=Boss" in str(refusal.value)
    with pytest.raises(AddressListError, match="2 times or more"):
        plan_publication(contact, found(published(contact), other, cut_off=True))


def test_a_taken_name_is_told_apart_by_the_domain(contact: Contact) -> None:
    plain, longer = names_for(contact)
    plan = plan_publication(contact, found(taken=frozenset({plain})))
    assert plan.place == dn_in(PLACE, longer) and "ime.acme.example" in longer
    assert values_of(plan)["cn"] == (longer,)
    with pytest.raises(AddressListError, match="exists already"):
        plan_publication(contact, found(taken=frozenset({plain, longer})))


def test_a_directory_without_contacts_is_no_active_directory(contact: Contact) -> None:
    with pytest.raises(AddressListError, match="no object class contact"):
        plan_publication(contact, found(schema=replace(EXCHANGE, superiors={})))


def test_a_name_without_underscore_is_remarked(contact: Contact) -> None:
    plan = plan_publication(replace(contact, display_name="IME"), found())
    assert "does not begin with _" in plan.remarks[0]


def test_lists_that_cannot_be_seen_ask_for_a_cmdlet_with_a_quoted_name() -> None:
    odd = contact_of("o'brien@ime.acme.example")
    plan = plan_publication(odd, found(address_lists=()))
    assert "-Identity 'o''brien@ime.acme.example'" in plan.remarks[0]
    entry = with_values(published(odd), displayName=("x",))
    assert plan_publication(odd, found(entry, address_lists=())).remarks == ()


def test_an_older_export_is_remarked(contact: Contact) -> None:
    from tests.pki import DAY, NOW, make_user

    newer = contact_of(owner=make_user(ADDRESS, not_before=NOW))
    older = contact_of(owner=make_user(ADDRESS, not_before=NOW - 30 * DAY))
    assert "is newer than this one" in plan_publication(older, found(published(newer))).remarks[0]
    assert "is newer than this one" not in " ".join(plan_publication(newer, found(published(older))).remarks)


def test_rights_that_the_directory_says_are_missing_are_remarked(contact: Contact) -> None:
    assert "may not create contacts in OU=IME" in plan_publication(contact, found(may_create=False)).remarks[-1]
    assert plan_publication(contact, found(may_create=True)).remarks == ()
    entry = with_values(published(contact), displayName=("x",), mail=(), allowedAttributesEffective=("mail", "info"))
    assert "may not change displayName of" in plan_publication(contact, found(entry)).remarks[-1]
    entry = with_values(entry, allowedAttributesEffective=("mail", "displayName"))
    assert plan_publication(contact, found(entry)).remarks == ()


def test_removal_takes_the_contact_whatever_its_certificate_is(contact: Contact) -> None:
    plan = plan_withdrawal(contact_of(), found(published(contact)))
    assert (plan.action, plan.key) == (Action.REMOVE, DN)
    assert all(change.new == () for change in plan.changes)
    assert plan_withdrawal(contact, found()).action is Action.NOTHING


def test_what_was_asked_for_is_recognised(contact: Contact) -> None:
    adding = plan_publication(contact, found())
    assert holds(entry_after(adding), adding)
    assert not holds(None, adding)
    changing = plan_publication(contact_of(), found(published(contact)))
    assert not holds(published(contact), changing)
    assert holds(entry_after(changing, published(contact)), changing)
    removing = plan_withdrawal(contact, found(published(contact)))
    assert holds(None, removing) and not holds(published(contact), removing)


@pytest.mark.parametrize(
    ("name", "escaped"),
    [
        ("Acme, Inc.", "Acme\\, Inc."),
        ("a+b", "a\\+b"),
        ('the "one"', 'the \\"one\\"'),
        ("back\\slash", "back\\\\slash"),
        ("<a>;b=c", "\\<a\\>\\;b\\=c"),
        ("#1", "\\#1"),
        ("Müller ÄÖÜ", "Müller ÄÖÜ"),
        ("x,OU=Admins", "x\\,OU\\=Admins"),
    ],
)
def test_names_cannot_leave_the_place(name: str, escaped: str) -> None:
    assert dn_in(PLACE, name) == f"CN={escaped},{PLACE}"


_LETTERS = st.sampled_from(' ,+"\\<>;=#*()\x00\n\ta0äü\U0001f511') | st.characters(exclude_categories=("Cs",))


@given(st.text(_LETTERS, min_size=1, max_size=20))
@example(" ")
@example("  ")
@example("# ")
@example("\\\x00")
@example('_Ümläut, "Q" \\ <a+b;c=d> #*()(cn=*),OU=x ')
def test_every_name_is_one_value_to_another_reader_of_names(name: str) -> None:
    read = x509.Name.from_rfc4514_string(dn_in("OU=IME,DC=acme", name))
    assert [part.value for part in read] == ["acme", "IME", name]
