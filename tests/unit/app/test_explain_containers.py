"""`explain` says what a container would become, and leaves no trace of having looked."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ime_gateway.app.explainer import Explainer
from ime_gateway.base.outcome import Accepted
from tests import container_mail as make
from tests.cbc_envelope import CbcEnvelope, flipped
from tests.container_mail import ANNA, IME, carrier, container, original, signer_of
from tests.core import Core, close, make_core


@pytest.fixture
def core(tmp_path: Path) -> Iterator[Core]:
    made = make_core(tmp_path)
    make.setup(made)
    yield made
    close(made)


def explained(core: Core, mail: bytes, listener: str = "internal") -> Any:
    explainer = Explainer(core.installation)
    where = core.installation.settings.listener_named(listener)
    assert where is not None
    data = bytearray(mail.replace(b"\n", b"\r\n"))
    return core.run(explainer(data, where, ANNA, [IME], "127.0.0.1", time.time()))


def traces(core: Core) -> tuple[Any, ...]:
    queue = [line.id for line in core.store.registry.queue_lines()]
    return queue, core.store.registry.events(), make.pins(core)


def test_the_plan_of_a_container(core: Core) -> None:
    make.pin(core, ANNA)
    mail = container(original(Bcc="carol@acme.example"), signer=signer_of(ANNA)).mail
    before = traces(core)
    told = explained(core, mail)
    assert (told["direction"], told["ime"], told["decision"], told["reply"]) == ("internal", "2.0", "deliver", None)
    assert [(one["address"], one["copy"], one["blind"]) for one in told["recipients"]] == [
        ("bob@acme.example", "recipient", False),
        ("carol@acme.example", "recipient", True),
        (ANNA, "sent", True),
    ]
    assert told["subject_hidden"] is False
    assert traces(core) == before
    asked = container(original(x_smsubjectencrypt="yes"), signer=signer_of(ANNA)).mail
    assert explained(core, asked)["subject_hidden"] is True
    taken, _ = core.send(mail, ANNA, [IME])
    assert isinstance(taken, Accepted) and "note" not in told
    told = explained(core, mail)
    assert (told["decision"], told["reply"], told["recipients"]) == ("deliver", None, [])
    assert told["note"] == f"this container was accepted before as {taken.message_id}; nothing would be sent again"
    assert told["subject_hidden"] is None, "nothing is sent"


def test_what_would_be_asked_or_refused(core: Core) -> None:
    before = traces(core)
    told = explained(core, container(original(), signer=signer_of(ANNA)).mail)
    assert told["decision"] == "defer" and told["reply"].startswith(f"451 4.7.1 <{ANNA}> ime-signer-unknown")
    unsigned = container(original(), signer=None).mail
    for _ in range(2):
        told = explained(core, unsigned)
        assert (told["ime"], told["decision"]) == ("2.0", "refuse")
        assert told["reply"].startswith("554 5.7.1 ime-unsigned")
    told = explained(core, carrier(b"\x30\x80"))
    assert told["reply"].startswith("554 5.6.0 ime-malformed")
    told = explained(core, unsigned, "internet")
    assert (told["direction"], told["ime"], told["decision"]) == ("incoming", None, "refuse")
    assert told["reply"].startswith("550 5.7.1")
    assert traces(core) == before


def test_looking_takes_no_ones_place(core: Core) -> None:
    """Who asks what a changed container would hear must not close the door to the real one; nor hear more than it."""
    make.pin(core, ANNA)
    envelope = CbcEnvelope(container(original(), signer=signer_of(ANNA)).encrypted)
    changed = carrier(envelope.rebuilt(ciphertext=flipped(envelope.ciphertext, 480)))
    assert explained(core, changed)["reply"].startswith("554 5.7.1 ime-bad-signature")
    genuine = carrier(envelope.rebuilt())
    assert explained(core, genuine)["decision"] == "deliver"
    assert isinstance(core.send(genuine, ANNA, [IME])[0], Accepted)
    assert explained(core, changed)["reply"].startswith("554 5.6.0 ime-malformed")
    assert explained(core, genuine)["decision"] == "deliver"
