"""The EWS double tells of what happens: pull, streams that end in three ways, and synchronisation."""

import http.client
import threading
import xml.etree.ElementTree as ET
from collections.abc import Iterator

import pytest

from tests.servers.ews import EwsServer
from tests.servers.ews import request_texts as say
from tests.servers.ews.soap_client import SoapClient, code_of
from tests.servers.ews.xml_names import children, full, local_name, need, text_of
from tests.unit.servers.conftest import ALICE, BOB

MAIL = b"From: bob@acme.example\r\nTo: alice@acme.example\r\nSubject: s\r\n\r\nt\r\n"


def subscribed(soap: SoapClient, kind: str, *folders: str, **more: str) -> tuple[str, str]:
    message = soap.message(say.subscribe(kind, *folders, **more))
    assert code_of(message) == "NoError"
    return text_of(message, "m:SubscriptionId"), text_of(message, "m:Watermark")


def events(message: ET.Element) -> list[str]:
    return [local_name(part) for part in message.iter() if local_name(part).endswith("Event")]


def envelopes(response: http.client.HTTPResponse) -> Iterator[ET.Element]:
    """The response messages of a stream, one per chunk, as they come."""
    data = b""
    while piece := response.read1():
        data += piece
        while (end := data.find(b"</s:Envelope>")) >= 0:
            end += len(b"</s:Envelope>")
            body = need(ET.fromstring(data[:end]), "s:Body")
            yield need(body[0], "m:ResponseMessages")[0]
            data = data[end:]


def test_pull_tells_once_and_then_that_nothing_is_new(ews: EwsServer, alice: SoapClient) -> None:
    name, watermark = subscribed(alice, "Pull", "inbox")
    ews.deliver(MAIL, [ALICE, BOB])
    told = alice.message(say.get_events(name, watermark))
    assert events(told) == ["CreatedEvent", "NewMailEvent"]
    (latest,) = [text_of(mark) for mark in told.iter(full("t:Watermark"))][-1:]
    assert events(alice.message(say.get_events(name, latest))) == ["StatusEvent"]
    assert events(alice.message(say.get_events(name, watermark))) == ["CreatedEvent", "NewMailEvent"]
    assert code_of(alice.message(say.get_events(name, "bad"))) == "ErrorInvalidWatermark"
    end = f"<m:Unsubscribe><m:SubscriptionId>{name}</m:SubscriptionId></m:Unsubscribe>"
    assert [code_of(alice.message(end)) for _ in range(2)] == ["NoError", "ErrorSubscriptionNotFound"]
    assert code_of(alice.message(say.get_events(name, latest))) == "ErrorSubscriptionNotFound"


def test_events_of_a_move_name_both_ids(ews: EwsServer, alice: SoapClient) -> None:
    ews.deliver(MAIL, [ALICE])
    name, watermark = subscribed(alice, "Pull", "inbox", "sentitems", events="MovedEvent DeletedEvent")
    old = ews.items(ALICE, "inbox")[0].id
    alice.ask(say.transfer("MoveItem", old, "sentitems"))
    new = ews.items(ALICE, "sentitems")[0].id
    alice.ask(say.delete_item(new))
    told = alice.message(say.get_events(name, watermark))
    moved = next(told.iter(full("t:MovedEvent")))
    assert need(moved, "t:OldItemId").get("Id") == old and need(moved, "t:ItemId").get("Id") == new
    assert events(told) == ["MovedEvent", "DeletedEvent"]


def test_a_stream_says_ok_news_and_closed(ews: EwsServer, alice: SoapClient) -> None:
    name, _ = subscribed(alice, "Streaming", "inbox")
    ews.deliver(MAIL, [ALICE])  # between Subscribe and the stream: not lost
    said = envelopes(alice.post(say.stream(name)))
    assert text_of(next(said), "m:ConnectionStatus") == "OK"
    assert events(next(said)) == ["CreatedEvent", "NewMailEvent"]
    ews.deliver(MAIL, [BOB])
    ews.deliver(MAIL, [ALICE])
    assert events(next(said)) == ["CreatedEvent", "NewMailEvent"]
    ews.close_streams()
    assert text_of(next(said), "m:ConnectionStatus") == "Closed"
    assert next(said, None) is None


def test_a_stream_ends_by_itself_and_lives_by_heartbeats(ews: EwsServer, alice: SoapClient) -> None:
    ews.quirks.stream_seconds, ews.quirks.stream_heartbeat_seconds = 0.2, 0.02
    name, _ = subscribed(alice, "Streaming", "inbox")
    states = [text_of(message, "m:ConnectionStatus") for message in envelopes(alice.post(say.stream(name)))]
    assert states[-1] == "Closed" and set(states[:-1]) == {"OK"} and len(states) > 2


def test_a_stream_that_is_cut_says_nothing_more(ews: EwsServer, alice: SoapClient) -> None:
    ews.quirks.stream_seconds, ews.quirks.stream_cut = 0.05, True
    name, _ = subscribed(alice, "Streaming", "inbox")
    states = []
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        for message in envelopes(alice.post(say.stream(name))):
            states.append(text_of(message, "m:ConnectionStatus"))
        raise ConnectionError("the end came without its last chunk")
    assert states == ["OK"]


def test_forgotten_subscriptions_are_unknown(ews: EwsServer, alice: SoapClient) -> None:
    name, _ = subscribed(alice, "Streaming")
    ews.forget_subscriptions()
    (message,) = envelopes(alice.post(say.stream(name)))
    assert code_of(message) == "ErrorSubscriptionNotFound"
    assert [text_of(one) for one in children(need(message, "m:ErrorSubscriptionIds"), "t:SubscriptionId")] == [name]


def test_a_stream_and_other_calls_go_at_the_same_time(ews: EwsServer, alice: SoapClient) -> None:
    name, _ = subscribed(alice, "Streaming", "inbox")
    heard = threading.Semaphore(0)

    def listen() -> None:
        with SoapClient(ews, ALICE) as other:
            for message in envelopes(other.post(say.stream(name))):
                for event in events(message):
                    if event == "NewMailEvent":
                        heard.release()

    thread = threading.Thread(target=listen)
    thread.start()
    for _ in range(100):
        ews.deliver(MAIL, [ALICE])
    assert code_of(alice.message(say.find_item())) == "NoError"
    assert all(heard.acquire(timeout=20) for _ in range(100))
    ews.close_streams()
    thread.join(20)
    assert not thread.is_alive()


def changes(message: ET.Element) -> list[str]:
    return [local_name(change) for change in need(message, "m:Changes")]


def test_sync_tells_what_is_new_changed_and_gone(ews: EwsServer, alice: SoapClient) -> None:
    ews.deliver(MAIL, [ALICE])
    ews.deliver(MAIL, [ALICE])
    first = alice.message(say.sync())
    assert changes(first) == ["Create", "Create"] and text_of(first, "m:IncludesLastItemInRange") == "true"
    one, other = ews.items(ALICE, "inbox")
    read = say.set_field(say.field("message:IsRead"), "<t:IsRead>true</t:IsRead>")
    alice.ask(say.update_item(one.id, read))
    alice.ask(say.transfer("MoveItem", other.id, "sentitems"))
    ews.deliver(MAIL, [ALICE])
    alice.ask(say.delete_item(ews.items(ALICE, "inbox")[-1].id))
    second = alice.message(say.sync(text_of(first, "m:SyncState")))
    assert changes(second) == ["ReadFlagChange", "Delete"]
    assert changes(alice.message(say.sync(text_of(second, "m:SyncState")))) == []
    assert changes(alice.message(say.sync(folder="sentitems"))) == ["Create"]


def test_sync_goes_on_where_it_stopped(ews: EwsServer, alice: SoapClient) -> None:
    for _ in range(5):
        ews.deliver(MAIL, [ALICE])
    state, seen = "", []
    while True:
        message = alice.message(say.sync(state, most=2))
        seen += [item.get("Id") for item in message.iter(full("t:ItemId"))]
        state = text_of(message, "m:SyncState")
        if text_of(message, "m:IncludesLastItemInRange") == "true":
            break
    assert seen == [item.id for item in ews.items(ALICE, "inbox")]


def test_an_expired_sync_state(ews: EwsServer, alice: SoapClient) -> None:
    state = text_of(alice.message(say.sync()), "m:SyncState")
    ews.quirks.expired_sync_states = True
    assert code_of(alice.message(say.sync(state))) == "ErrorInvalidSyncStateData"
    assert code_of(alice.message(say.sync())) == "NoError"
    ews.quirks.expired_sync_states = False
    assert code_of(alice.message(say.sync(state, folder="drafts"))) == "ErrorInvalidSyncStateData"
