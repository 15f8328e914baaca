"""`explain` of mail from outside says with which key it would be opened for whom, and remembers nothing of it."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ime_gateway.app.explainer import Explainer
from tests.core import close, person
from tests.incoming_world import ANNA, BOB, CANARY, DOMAIN, KIM, Incoming, incoming
from tests.smime_mail import encrypted, mail, signed, text_entity


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Incoming]:
    made = incoming(tmp_path)
    yield made
    close(made.core)


def explained(world: Incoming, data: bytes, *to: str) -> Any:
    where = world.core.installation.settings.listener_named("internet")
    assert where is not None
    explainer = Explainer(world.core.installation)
    octets = bytearray(data.replace(b"\n", b"\r\n"))
    return world.core.run(explainer(octets, where, KIM, to, "127.0.0.1", time.time()))


def test_what_is_opened_for_whom(world: Incoming) -> None:
    data = mail(encrypted(signed(text_entity(CANARY), person(KIM)), person(ANNA)), KIM, [ANNA, BOB])
    told = explained(world, data, ANNA, BOB)
    assert (told["direction"], told["decision"], told["reply"]) == ("incoming", "deliver", None)
    anna, bob = told["recipients"]
    assert anna["reason"] == "decrypted" and anna["group"] != bob["group"]
    assert person(ANNA).certificate.thumbprint in anna["detail"] and "signed by" in anna["detail"]
    assert bob["reason"] == "not-required" and "goes on as it came" in bob["detail"]
    _, copies = world.arrive(data, ANNA, BOB)
    assert {who: copy.reason for who, copy in copies.items()} == {ANNA: "decrypted", BOB: "not-required"}


def test_explaining_opens_nothing_for_good(world: Incoming) -> None:
    data = mail(encrypted(text_entity(CANARY), person(DOMAIN)), KIM, BOB)
    assert explained(world, data, BOB)["recipients"][0]["reason"] == "decrypted"
    _, copies = world.arrive(data, ANNA)
    assert copies[ANNA].reason == "decrypted"
    assert explained(world, data, BOB)["recipients"][0]["reason"] == "ciphertext-reused"


def test_a_refusal_by_policy(world: Incoming) -> None:
    world.policy(desktop_encrypted="refuse")
    told = explained(world, mail(encrypted(text_entity(CANARY), person(BOB)), KIM, BOB), BOB)
    assert told["decision"] == "refuse" and "desktop-encrypted" in told["reply"]
