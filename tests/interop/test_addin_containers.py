"""The add-in's containers and answers (built with `cryptography`'s PKCS#7) meet the gateway's reader."""

import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from addin_sim.challenges import answer, may_answer, read_challenge
from addin_sim.ime2 import for_ime2
from addin_sim.outlook_settings import Account, ContainerSettings
from addin_sim.own_keys import OwnKeys
from addin_sim.raw_mail import parse
from ime_gateway.base.outcome import Accepted, Refused
from tests import container_mail as make
from tests.container_mail import ANNA, IME, original, signer_of
from tests.core import Core, Delivered, close, make_core, person
from tests.openssl import decrypt


@pytest.fixture
def core(tmp_path: Path) -> Iterator[Core]:
    made = make_core(tmp_path)
    make.setup(made)
    yield made
    close(made)


def own_keys() -> OwnKeys:
    pair = signer_of(ANNA)
    assert isinstance(pair.key, rsa.RSAPrivateKey)
    return OwnKeys(pair.x509, pair.key)


def addin_mail(signature: Literal["opaque", "detached"], shape: Literal["rfc822", "mixed", "message"]) -> bytes:
    mail = parse(original(Bcc="carol@acme.example").replace(b"\n", b"\r\n"))
    settings = ContainerSettings(signature=signature, original=shape)
    return for_ime2(mail, IME, make.ime_key().x509, own_keys(), settings, secrets.token_hex(8)).data


@pytest.mark.parametrize("signature", ["opaque", "detached"])
@pytest.mark.parametrize("shape", ["rfc822", "mixed", "message"])
def test_every_shape(
    core: Core, signature: Literal["opaque", "detached"], shape: Literal["rfc822", "mixed", "message"]
) -> None:
    make.pin(core, ANNA)
    outcome, copies = core.send(addin_mail(signature, shape), ANNA, [IME])
    assert isinstance(outcome, Accepted), outcome
    assert [copy.recipient for copy in copies] == ["bob@acme.example", "carol@acme.example", ANNA]
    clear = decrypt(copies[0].wire, person("bob@acme.example"))
    assert clear is not None and make.MARKER.encode() in clear


def test_the_question_is_answered_by_the_addin(core: Core) -> None:
    waiting = addin_mail("opaque", "rfc822")
    outcome, _ = core.send(waiting, ANNA, [IME])
    assert isinstance(outcome, Refused) and outcome.temporary
    challenge = read_challenge(question(core).wire)
    assert challenge is not None and may_answer(challenge, IME, own_keys())
    account = Account(address=ANNA, display_name="Anna")
    said = answer(challenge, account, IME, own_keys(), moment=time.time(), unique=secrets.token_hex(8))
    outcome, copies = core.send(said, ANNA, [IME])
    assert isinstance(outcome, Accepted) and copies == [], outcome
    outcome, copies = core.send(waiting, ANNA, [IME])
    assert isinstance(outcome, Accepted) and len(copies) == 3


def question(core: Core) -> Delivered:
    async def go() -> Delivered:
        (row,) = await core.store.queue.lease("mailer", 10)
        return await core._delivered(row)

    found = core.run(go())
    assert isinstance(found, Delivered)
    return found
