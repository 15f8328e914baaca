"""IME 2.0: limits and readers that nothing else asks about."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ime_gateway.base.outcome import Accepted, Refused
from ime_gateway.ime import challenge
from ime_gateway.ime.replay import KEEP_SECONDS, NEWEST_SECONDS, OLDEST_SECONDS
from ime_gateway.smime.decrypt import Decrypted, LegacyPolicy, Undecryptable
from tests import container_mail as make
from tests.container_mail import ANNA, carrier, container, original, signer_of
from tests.core import PSEUDO, Core, close, make_core, person
from tests.interop.test_cms_decrypt_openssl import made, opened
from tests.pki import make_ca, make_user
from tests.unit.pipeline.test_containers import mail, questions, send


@pytest.fixture
def core(tmp_path: Path) -> Iterator[Core]:
    one = make_core(tmp_path)
    make.setup(one)
    yield one
    close(one)


def test_it_is_remembered_for_as_long_as_it_could_be_believed() -> None:
    """Dated a day ahead and sent at once, a container is young enough for eight days."""
    assert KEEP_SECONDS >= OLDEST_SECONDS + NEWEST_SECONDS and KEEP_SECONDS == 14 * 86_400


def test_the_ime1_address_inside_a_container(core: Core) -> None:
    make.pin(core, ANNA)
    for inner in (original(f"bob@acme.example, {PSEUDO}"), original(Bcc=PSEUDO)):
        outcome, copies = send(core, container(inner, signer=signer_of(ANNA)).mail)
        assert copies == [] and isinstance(outcome, Refused) and outcome.reason.value == "ime-nested", outcome


def test_a_certificate_that_only_the_directory_has(core: Core) -> None:
    signed = make.sign(make.wrap(original()), person(ANNA), arguments=("-nocerts",))
    outcome, _ = send(core, carrier(make.encrypt(signed, make.ime_key(), form="DER")))
    assert isinstance(outcome, Accepted), outcome


def test_no_vacation_notice_answers_the_question(core: Core) -> None:
    send(core, mail())
    (question,) = questions(core)
    assert "X-Auto-Response-Suppress: All\r\n" in question.head
    assert "Auto-Submitted: auto-generated\r\n" in question.head


def test_a_token_keeps_every_random_bit() -> None:
    seen = {challenge.new_token(lambda count, bit=bit: (1 << bit).to_bytes(count, "big")) for bit in range(160)}
    assert len(seen) == 160


def test_a_triple_des_wrap_needs_leave_as_its_content_does(tmp_path: Path) -> None:
    reader = make_user("p256@acme.example", make_ca(kind="ec"), kind="p256")
    message = made(tmp_path, [reader], "-aes192", "-wrap", "des3-wrap")
    assert isinstance(opened(message, reader), Decrypted)
    refused = opened(message, reader, legacy=LegacyPolicy(triple_des=False))
    assert isinstance(refused, Undecryptable) and refused.cause == "unsupported", refused
