"""From the bytes of a request to the bytes of its answer: grammar, who speaks for whom, operation, grammar again."""

import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.servers.ews.answer_grammar import ANSWERS
from tests.servers.ews.operations import (
    folders,
    item_moving,
    item_reading,
    item_sending,
    item_updating,
    names,
    notifications,
)
from tests.servers.ews.operations.call import Call
from tests.servers.ews.refusals import EwsFault
from tests.servers.ews.request_grammar import REQUESTS
from tests.servers.ews.xml_names import child, local_name, make, need, short, text_of, written

Operation = Callable[[Call, ET.Element], list[ET.Element]]

OPERATIONS: dict[str, Operation] = {
    "ConvertId": names.convert_id,
    "GetFolder": folders.get_folder,
    "FindFolder": folders.find_folder,
    "CreateFolder": folders.create_folder,
    "DeleteFolder": folders.delete_folder,
    "CreateItem": item_sending.create_item,
    "GetItem": item_reading.get_item,
    "FindItem": item_reading.find_item,
    "UpdateItem": item_updating.update_item,
    "MoveItem": item_moving.move_item,
    "CopyItem": item_moving.copy_item,
    "DeleteItem": item_moving.delete_item,
    "SendItem": item_sending.send_item,
    "ResolveNames": names.resolve_names,
    "ExpandDL": names.expand_dl,
    "SyncFolderItems": notifications.sync_folder_items,
    "Subscribe": notifications.subscribe,
    "Unsubscribe": notifications.unsubscribe,
    "GetEvents": notifications.get_events,
}
"""All but GetStreamingEvents, whose answer does not end with the first envelope."""

_BUILD = {
    "MajorVersion": "15",
    "MinorVersion": "2",
    "MajorBuildNumber": "2562",
    "MinorBuildNumber": "17",
    "Version": "Exchange2016",
}
"""Exchange Server SE RTM; its schema version is called Exchange2016 (MS-OXWSCDATA section 2.2.5)."""


class OwnAnswerWrong(AssertionError):
    """This double was about to send an answer that the schema forbids: a mistake of the double."""


@dataclass(frozen=True)
class Dialogue:
    """One request with its answer, for whoever wants to check them against the public schema."""

    operation: str
    user: str
    request: bytes
    answer: bytes = field(repr=False, default=b"")


def read_request(data: bytes) -> tuple[ET.Element, ET.Element]:
    """Envelope and operation of a valid request; raises an EwsFault that says what is wrong with it."""
    try:
        envelope = ET.fromstring(data)
    except ET.ParseError as error:
        raise EwsFault("ErrorInvalidRequest", f"The request is not well-formed XML: {error}.") from None
    if short(envelope) != "s:Envelope" or child(envelope, "s:Body") is None:
        raise EwsFault("ErrorInvalidRequest", "The request is not a SOAP envelope.")
    body = need(envelope, "s:Body")
    if len(body) == 1 and local_name(body[0]) not in {*OPERATIONS, "GetStreamingEvents"}:
        name = local_name(body[0])
        raise EwsFault("ErrorInvalidRequest", f"This double of Exchange has no operation {name}.")
    wrong = next(REQUESTS.violations(envelope), None)
    if wrong is not None:
        raise EwsFault("ErrorSchemaValidation", f"The request failed schema validation: {wrong}", {"Violation": wrong})
    return envelope, body[0]


def impersonated(envelope: ET.Element) -> str:
    """The address in the header ExchangeImpersonation, empty when there is none."""
    header = child(envelope, "s:Header")
    asked = child(header, "t:ExchangeImpersonation") if header is not None else None
    return text_of(need(asked, "t:ConnectingSID")[0]).lower() if asked is not None else ""


def answer(call: Call, request: ET.Element) -> bytes:
    """Carry out the operation and word its answer."""
    name = local_name(request)
    with call.world.lock:
        messages = OPERATIONS[name](call, request)
        return envelope_of(name, messages)


def envelope_of(operation: str, messages: list[ET.Element]) -> bytes:
    """A whole answer; raises OwnAnswerWrong when it breaks the grammar."""
    response = make(f"m:{operation}Response", [make("m:ResponseMessages", messages)])
    header = make("s:Header", [make("t:ServerVersionInfo", "", **_BUILD)])
    envelope = make("s:Envelope", [header, make("s:Body", [response])])
    wrong = next(ANSWERS.violations(envelope), None)
    if wrong is not None:
        raise OwnAnswerWrong(f"{operation}: {wrong}")
    return written(envelope)


def fault(error: EwsFault) -> bytes:
    """A SOAP fault as Exchange writes it (`MessageXml` is in the namespace of the types here)."""
    detail = [make("e:ResponseCode", error.code), make("e:Message", error.sentence)]
    if error.values:
        detail.append(make("t:MessageXml", [make("t:Value", text, Name=name) for name, text in error.values.items()]))
    code = make("faultcode", f"a:{error.code}")
    code.set("xmlns:a", "http://schemas.microsoft.com/exchange/services/2006/types")
    text = make("faultstring", error.sentence)
    return written(make("s:Envelope", [make("s:Body", [make("s:Fault", [code, text, make("detail", detail)])])]))
