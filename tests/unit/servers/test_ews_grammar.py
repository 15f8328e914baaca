"""The EWS double is strict: order, number and attributes of elements, as Exchange's schema wants them."""

import xml.etree.ElementTree as ET
from collections.abc import Iterator

import pytest

from tests.servers.ews import request_texts as say
from tests.servers.ews.answer_grammar import ANSWERS
from tests.servers.ews.grammar import Grammar, read_table
from tests.servers.ews.request_grammar import REQUESTS
from tests.servers.ews.server import EwsServer
from tests.servers.ews.soap_client import SoapClient, SoapFault
from tests.servers.ews.xml_names import NAMESPACES

ALICE = "alice@acme.example"
SHAPE = "<m:ItemShape><t:BaseShape>IdOnly</t:BaseShape></m:ItemShape>"
INBOX = '<m:ParentFolderIds><t:DistinguishedFolderId Id="inbox"/></m:ParentFolderIds>'
TABLE = """
t:a [x! y=1|2] = t:b? (t:c|t:d)+
    t:e*
t:b = #bool
t:c = #int
t:d = #text
t:e = #empty
"""
PAGE = '<m:IndexedPageItemView MaxEntriesReturned="10" Offset="0" BasePoint="Beginning"/>'


def element(text: str) -> ET.Element:
    names = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in NAMESPACES.items())
    return ET.fromstring(f"<outer {names}>{text}</outer>")[0]


def wrong(text: str, grammar: Grammar = REQUESTS) -> list[str]:
    return list(grammar.violations(element(text)))


@pytest.fixture(scope="module")
def soap() -> Iterator[SoapClient]:
    with EwsServer([ALICE]) as ews, SoapClient(ews, ALICE) as client:
        yield client


def test_a_content_model_is_a_sequence() -> None:
    grammar = Grammar(
        read_table("t:a [x! y=1|2] = t:b? (t:c|t:d)+\n  t:e*\nt:b = #bool\nt:c = #int\nt:d = #text\nt:e = #empty")
    )
    assert wrong('<t:a x=""><t:b>true</t:b><t:c>-3</t:c><t:d>d</t:d><t:e/><t:e/></t:a>', grammar) == []
    assert wrong('<t:a x="" y="2"><t:c>1</t:c></t:a>', grammar) == []
    for bad in (
        "<t:a><t:c>1</t:c></t:a>",
        '<t:a x="" y="3"><t:c>1</t:c></t:a>',
        '<t:a x="" z=""><t:c>1</t:c></t:a>',
        '<t:a x=""><t:c>1</t:c><t:b>true</t:b></t:a>',
        '<t:a x=""/>',
        '<t:a x=""><t:c>one</t:c></t:a>',
        '<t:a x=""><t:c>1</t:c><t:e>x</t:e></t:a>',
        '<t:a x="">text<t:c>1</t:c></t:a>',
        '<t:a x=""><t:unknown/></t:a>',
    ):
        assert wrong(bad, grammar), bad


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (
            f'<m:FindItem Traversal="Shallow">{SHAPE}{INBOX}{PAGE}</m:FindItem>',
            "invalid child element 'm:IndexedPageItemView'",
        ),
        (f'<m:FindItem Traversal="Shallow">{SHAPE}{PAGE}</m:FindItem>', "incomplete content"),
        (f"<m:FindItem>{SHAPE}{INBOX}</m:FindItem>", "required attribute 'Traversal'"),
        (f'<m:FindItem Traversal="Sideways">{SHAPE}{INBOX}</m:FindItem>', "'Sideways'"),
        (f'<m:FindItem Traversal="Shallow" Colour="red">{SHAPE}{INBOX}</m:FindItem>', "'Colour' attribute"),
        (f'<m:FindItem Traversal="Shallow">{SHAPE}{INBOX}<m:Tune/></m:FindItem>', "'m:Tune'"),
        (say.create_message(say.to_recipients(ALICE) + "<t:Subject>s</t:Subject>"), "'t:Subject'"),
        (say.create_message("<t:MimeContent>?</t:MimeContent>"), "Base64"),
        ("<m:GetFolder><m:FolderIds/></m:GetFolder>", "GetFolder"),
        (say.get_item("x" * 64, paths=say.field("message:Tune")), "message:Tune"),
        ("<t:ItemId/>", "Body"),
    ],
)
def test_wrong_requests_are_schema_faults(soap: SoapClient, body: str, says: str) -> None:
    with pytest.raises(SoapFault) as caught:
        soap.ask(body)
    assert caught.value.status == 500
    assert caught.value.code in ("ErrorSchemaValidation", "ErrorInvalidRequest")
    assert says in caught.value.sentence or says == "Body"


CONTACT = "<m:CreateItem{how}><m:Items><t:Contact>{fields}</t:Contact></m:Items></m:CreateItem>"
ENTRY = '<t:EmailAddresses><t:Entry Key="{key}"{more}>a@acme.example</t:Entry></t:EmailAddresses>'
NAMES = "<t:FileAs>a</t:FileAs><t:DisplayName>a</t:DisplayName><t:GivenName>a</t:GivenName>"


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (NAMES, "<t:DisplayName>a</t:DisplayName><t:FileAs>a</t:FileAs>"),
        (NAMES, "<t:FileAs>a</t:FileAs><t:GivenName>a</t:GivenName><t:DisplayName>a</t:DisplayName>"),
        (ENTRY.format(key="EmailAddress3", more=""), ENTRY.format(key="EmailAddress4", more="")),
        (
            ENTRY.format(key="EmailAddress1", more=' RoutingType="SMTP" MailboxType="OneOff"'),
            ENTRY.format(key="EmailAddress1", more=' MailboxType="Somebody"'),
        ),
        (
            '<t:PhoneNumbers><t:Entry Key="MobilePhone">1</t:Entry></t:PhoneNumbers>',
            '<t:PhoneNumbers><t:Entry Key="MobilePhone" RoutingType="SMTP">1</t:Entry></t:PhoneNumbers>',
        ),
        ("<t:FileAsMapping>DisplayName</t:FileAsMapping>", "<t:FileAsMapping>Nickname</t:FileAsMapping>"),
    ],
    ids=["display name first", "display name last", "key of an address", "kind of mailbox", "phone", "file as"],
)
def test_a_contact_is_held_to_the_schema(good: str, bad: str) -> None:
    assert wrong(CONTACT.format(how="", fields=good)) == []
    assert wrong(CONTACT.format(how="", fields=bad))


def test_a_new_item_has_no_earlier_guests() -> None:
    """Two enumerations of the schema that look alike: who is told of a new meeting, and who of a changed one."""
    for how, right in (("SendToNone", True), ("SendOnlyToChanged", False)):
        assert (wrong(CONTACT.format(how=f' SendMeetingInvitations="{how}"', fields="")) == []) is right


def test_the_connection_lives_on_after_a_fault(soap: SoapClient) -> None:
    with pytest.raises(SoapFault):
        soap.ask("<m:FindItem/>")
    assert (
        soap.message(f'<m:FindItem Traversal="Shallow">{SHAPE}{PAGE}{INBOX}</m:FindItem>').get("ResponseClass")
        == "Success"
    )


def test_an_operation_that_the_double_lacks_says_so(soap: SoapClient) -> None:
    with pytest.raises(SoapFault, match="no operation GetRooms"):
        soap.ask("<m:GetRooms/>")


def test_what_is_no_xml_is_refused(soap: SoapClient) -> None:
    with pytest.raises(SoapFault, match="not well-formed"):
        soap.ask("<m:FindItem>")


def test_answers_are_held_to_their_own_table() -> None:
    good = (
        '<m:GetItemResponseMessage ResponseClass="Success"><m:ResponseCode>NoError</m:ResponseCode><m:Items/>'
        "</m:GetItemResponseMessage>"
    )
    assert wrong(good, ANSWERS) == []
    assert wrong(good.replace("<m:Items/>", ""), ANSWERS)
    assert wrong(good.replace("<m:ResponseCode>", "<m:Items/><m:ResponseCode>"), ANSWERS)
    assert (
        wrong(
            "<m:Notifications><m:Notification><t:SubscriptionId>a</t:SubscriptionId><t:StatusEvent/></m:Notification></m:Notifications>",
            ANSWERS,
        )
        == []
    )
