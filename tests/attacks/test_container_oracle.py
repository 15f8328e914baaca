"""No reply tells an attacker anything about what decryption gave (RFC 3218, Vaudenay, EFAIL; threats, A).

The attacker has a container that is not theirs, submits changed ones through the mail server as any insider may, and
compares replies. Only CBC lets them change content at all; GCM is here to show that nothing sounds different.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ime_gateway.base.outcome import Accepted, Refused
from ime_gateway.smtp.replies import reply_for
from tests import container_mail as make
from tests.cbc_envelope import CbcEnvelope, flipped
from tests.container_mail import ANNA, IME, carrier, container, original, signer_of
from tests.core import Core, close, make_core

BLOCK = 16


@pytest.fixture
def core(tmp_path: Path) -> Iterator[Core]:
    made = make_core(tmp_path)
    make.setup(made)
    make.pin(made, ANNA)
    at_once = replace(made.receiver.containers, even_seconds=0)  # hundreds of refusals
    made.receiver = replace(made.receiver, containers=at_once)
    yield made
    close(made)


def reply(core: Core, encrypted: bytes) -> str:
    """What the attacker hears, without the tracking id. What is accepted goes to whom Anna wrote, to nobody else."""
    outcome, copies = core.send(carrier(encrypted), ANNA, [IME])
    assert {copy.recipient for copy in copies} <= {"carol@acme.example", ANNA}
    if isinstance(outcome, Accepted):
        return "accepted"
    assert copies == []
    return reply_for(outcome).replace(outcome.message_id, "")


def stolen(**changes: Any) -> bytes:
    return container(original("carol@acme.example"), signer=signer_of(ANNA), **changes).encrypted


def binary_stolen() -> bytes:
    """With the signed layer as octets, as Outlook writes it: noise in it cannot be told from content."""
    return make.encrypt_binary(
        make.sign_binary(make.wrap(original("carol@acme.example")), signer_of(ANNA)), make.ime_key()
    )


def test_the_pieces_fit(core: Core) -> None:
    """Rebuilt without a change, the container works: what follows is refused for its changes."""
    outcome, copies = core.send(carrier(CbcEnvelope(stolen()).rebuilt()), ANNA, [IME])
    assert isinstance(outcome, Accepted) and copies


def closed(core: Core) -> str:
    """What is said of a container that is for somebody else."""
    return reply(core, make.encrypt(b"x", make.ime_key("x@ime.nowhere.example"), form="DER"))


def told(heard: Iterable[str], core: Core) -> int:
    """How many answers say anything."""
    nothing = closed(core)
    return sum(said != nothing for said in heard)


@pytest.mark.parametrize("genuine_first", [False, True])
@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("detached", [False, True])
def test_bits_of_the_ciphertext(core: Core, detached: bool, binary: bool, genuine_first: bool) -> None:
    der = binary_stolen() if binary else stolen(detached=detached)
    if genuine_first:
        core.send(carrier(der), ANNA, [IME])
    envelope = CbcEnvelope(der)
    last = len(envelope.ciphertext) - 1
    places = [*range(BLOCK, last, max(1, last // 24)), last - 2 * BLOCK, last - BLOCK, last - BLOCK - 3, last - 5, last]
    heard = [
        reply(core, envelope.rebuilt(ciphertext=flipped(envelope.ciphertext, place, bit)))
        for place in places
        for bit in (1, 0x80)
    ]
    assert closed(core).startswith("554 5.6.0 ime-malformed")
    assert told(heard, core) <= (0 if genuine_first else 1), heard
    assert told(heard[1:], core) == 0, "only the first may be told anything"


def test_the_genuine_one_passes_and_passes_again_whatever_comes_between(core: Core) -> None:
    der = binary_stolen()
    envelope = CbcEnvelope(der)
    first, copies = core.send(carrier(der), ANNA, [IME])
    assert isinstance(first, Accepted) and copies
    for place in range(3):
        assert reply(core, envelope.rebuilt(iv=flipped(envelope.iv, place))) == closed(core)
        again, copies = core.send(carrier(envelope.rebuilt(segments=2 + place)), ANNA, [IME])
        assert again == replace(first, duplicate=True) and copies == []


def test_a_changed_one_that_comes_first_is_the_only_question(core: Core) -> None:
    """Then even the genuine one is closed: what is said of it would be the second answer under its key."""
    envelope = CbcEnvelope(stolen())
    changed = envelope.rebuilt(ciphertext=flipped(envelope.ciphertext, 30 * BLOCK))
    first = reply(core, changed)
    assert first != closed(core)
    assert reply(core, envelope.rebuilt()) == closed(core)
    assert reply(core, changed) == first


def test_a_padding_that_was_wrong_was_the_question(core: Core) -> None:
    """Otherwise the first right one of 256 guesses would tell a whole octet."""
    envelope = CbcEnvelope(stolen())
    target = envelope.ciphertext[3 * BLOCK : 4 * BLOCK]
    heard = [
        reply(core, envelope.rebuilt(ciphertext=envelope.ciphertext + bytes(BLOCK - 1) + bytes([byte]) + target))
        for byte in range(256)
    ]
    assert told(heard[1:], core) == 0


def test_a_second_key_of_the_attackers_own_asks_nothing(core: Core) -> None:
    """Two recipient infos for the IME key, the captured one and an own one: which of them fits must not be heard."""
    envelope = CbcEnvelope(stolen())
    own = CbcEnvelope(make.encrypt(make.wrap(original()), make.ime_key(), form="DER"))
    assert "ime-unsigned" in reply(core, own.rebuilt())
    for infos in ((envelope.recipient, own.recipient), (own.recipient, envelope.recipient)):
        for source in (envelope, own):
            assert reply(core, source.rebuilt(recipients=infos)) == closed(core)


def test_every_way_of_not_being_opened_sounds_the_same(core: Core) -> None:
    der = stolen()
    envelope = CbcEnvelope(der)
    key_place = der.find(make.ime_key().x509.serial_number.to_bytes(20, "big").lstrip(b"\0")) + 60
    tampered = {
        "encrypted key": flipped(der, key_place),
        "no key of ours": make.encrypt(b"x", make.ime_key("x@ime.nowhere.example"), form="DER"),
        "padding": envelope.rebuilt(ciphertext=flipped(envelope.ciphertext, len(envelope.ciphertext) - BLOCK - 1)),
        "half a block": envelope.rebuilt(ciphertext=envelope.ciphertext[:-3]),
        "nothing": envelope.rebuilt(ciphertext=b""),
        "a foreign block": envelope.rebuilt(ciphertext=os.urandom(4 * BLOCK)),
        "cut": der[:-40],
        "no CMS": os.urandom(300),
        "gcm": flipped(stolen(cipher="aes-256-gcm"), -20),
        "gcm tag": flipped(stolen(cipher="aes-256-gcm"), -1),
    }
    heard = {name: reply(core, changed) for name, changed in tampered.items()}
    assert len(set(heard.values())) == 1, heard
    assert "padding" not in heard["padding"] and "key of this address" in heard["padding"]


def test_padding_cannot_be_asked_for(core: Core) -> None:
    """Vaudenay: one block behind a vector of the attacker's choice, all values of a byte; one word is all they get."""
    envelope = CbcEnvelope(stolen())
    target = envelope.ciphertext[5 * BLOCK : 6 * BLOCK]
    heard = []
    for guess in range(256):
        heard.append(reply(core, envelope.rebuilt(iv=bytes(BLOCK - 1) + bytes([guess]), ciphertext=target)))
    common = max(set(heard), key=heard.count)
    assert heard == [common] * 256
    assert common.startswith("554 5.6.0 ime-malformed")


@pytest.mark.parametrize("genuine_first", [False, True])
def test_no_block_can_be_read_beside_an_intact_signature(core: Core, genuine_first: bool) -> None:
    """EFAIL: noise and a foreign block inside an unsigned header, so that the signature stays good. What a block holds
    must not decide between accepted and refused, more than once."""
    der = stolen(shape="rfc822")
    if genuine_first:
        core.send(carrier(der), ANNA, [IME])
    envelope = CbcEnvelope(der)
    blocks = [envelope.ciphertext[at : at + BLOCK] for at in range(0, len(envelope.ciphertext), BLOCK)]
    heard = []
    for place in range(1, 6):
        for target in (blocks[0], blocks[7], blocks[-3]):
            mixed = [*blocks[:place], os.urandom(BLOCK), target, *blocks[place:]]
            heard.append(reply(core, envelope.rebuilt(ciphertext=b"".join(mixed))))
    assert told(heard[0 if genuine_first else 1 :], core) == 0, heard


def test_no_block_can_be_read_behind_the_end(core: Core) -> None:
    """The signed content whole, a foreign block behind it: padding right or wrong, one reply."""
    for detached in (False, True):
        der = stolen(detached=detached)
        core.send(carrier(der), ANNA, [IME])
        envelope = CbcEnvelope(der)
        target = envelope.ciphertext[3 * BLOCK : 4 * BLOCK]
        heard = [
            reply(
                core, envelope.rebuilt(ciphertext=envelope.ciphertext + os.urandom(BLOCK - 1) + bytes([byte]) + target)
            )
            for byte in range(0, 256, 5)
        ]
        assert told(heard, core) == 0, heard


def test_a_sender_hears_the_truth_about_an_own_container(core: Core) -> None:
    """Users must learn that their mail was not signed; the same mail hears the same again, a changed one nothing."""
    der = make.encrypt(make.wrap(original()), make.ime_key(), form="DER")
    first = reply(core, der)
    assert first.startswith("554 5.7.1 ime-unsigned")
    assert [reply(core, der) for _ in range(3)] == [first] * 3
    changed = CbcEnvelope(der).rebuilt(iv=flipped(CbcEnvelope(der).iv, 3, 2))
    assert [reply(core, changed)[:24] for _ in range(3)] == ["554 5.6.0 ime-malformed:"] * 3
    assert reply(core, der) == first
    another = make.encrypt(make.wrap(original()), make.ime_key(), form="DER")
    assert reply(core, another) == first


def test_logs_tell_no_content(core: Core, capsys: pytest.CaptureFixture[str]) -> None:
    """The log has the evidence, and neither text nor subject of a container that was opened and refused."""
    quoting = ("/o=Zanzibar/cn=x", "x <Zanzibar>", "Zanzibar: a@acme.example", "<a@Zanzibar_.example>")
    for mail in (
        *(container(original(to), signer=signer_of(ANNA)).encrypted for to in quoting[:2]),
        *(
            container(original(X_SM_ORIGTO=to), signer=signer_of(ANNA)).encrypted
            for to in (quoting[0], "Zanzibar:a@acme.example;")
        ),
        *(container(original(sender=who), signer=signer_of(ANNA)).encrypted for who in quoting),
        make.encrypt(make.wrap(original(subject="Zanzibar")), make.ime_key(), form="DER"),
        container(original("memo@ime.acme.example", subject="Zanzibar"), signer=signer_of(ANNA)).encrypted,
        stolen(shape="two"),
    ):
        outcome, _ = core.send(carrier(mail), ANNA, [IME])
        assert isinstance(outcome, Refused) and "Zanzibar" not in reply_for(outcome)
    printed = "".join(capsys.readouterr())
    assert printed.count("container refused") >= 2
    assert "Zanzibar" not in printed and make.MARKER not in printed
    events = repr(core.store.registry.events())
    assert "Zanzibar" not in events and make.MARKER not in events
