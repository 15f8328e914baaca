"""What a reader gets of opened mail: signatures inside the encryption whole, and no layer that only hides text."""

from collections.abc import Iterator

import pytest

from tests import openssl
from tests.core import close, person
from tests.incoming_world import BOB, DOMAIN, KIM, Incoming, incoming
from tests.smime_mail import compressed, encrypted, mail, signed, text_entity

TEXT = text_entity("orchid-7431")
LEGACY = text_entity(
    "Subject: Real\n\norchid-7431",
    "Subject: Real",
    f"From: {KIM}",
    "HP-Outer: Subject: [...]",
    content_type='text/plain; hp="cipher"; hp-legacy-display="1"',
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Incoming]:
    made = incoming(tmp_path_factory.mktemp("opened"))
    yield made
    close(made.core)


def delivered(world: Incoming, entity: bytes) -> bytes:
    _, copies = world.arrive(mail(entity, KIM, BOB))
    assert copies[BOB].reason == "decrypted" and "[signed OK]" in copies[BOB].unfolded
    return copies[BOB].wire


@pytest.mark.parametrize("content", [compressed(TEXT), LEGACY], ids=["compressed", "legacy display"])
def test_nothing_is_taken_out_of_a_signature(world: Incoming, content: bytes) -> None:
    """P7: whoever reads it can check it still."""
    wire = delivered(world, encrypted(signed(content, person(KIM)), person(DOMAIN)))
    assert openssl.verify(wire, person(KIM)) == content.replace(b"\n", b"\r\n")


def test_an_opaque_signature_is_opened_whatever_stands_around_the_encryption(world: Incoming) -> None:
    """The signature outside is gone with the encryption that it covers."""
    inner = signed(TEXT, person(KIM), opaque=True)
    wire = delivered(world, signed(encrypted(inner, person(DOMAIN)), person(KIM)))
    assert b"orchid-7431" in wire and b"Content-Type: multipart/signed" in wire
