"""IME 2.0: live data that changes between two containers, and answers that are more than answers."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ime_gateway.base.outcome import Accepted, Refused
from ime_gateway.ime.signers import MOST_PINS
from ime_gateway.ports.directory import TrustEntry
from tests import container_mail as make
from tests.container_mail import ANNA, IME, carrier, container, original, signer_of
from tests.core import Core, close, make_core
from tests.pki import make_user
from tests.unit.pipeline.test_containers import answer, asked, endorsing, mail, send


@pytest.fixture
def core(tmp_path: Path) -> Iterator[Core]:
    made = make_core(tmp_path)
    make.setup(made)
    yield made
    close(made)


def refused(core: Core, data: bytes, reason: str, to: list[str] | None = None, sender: str = ANNA) -> None:
    outcome, copies = core.send(data, sender, to or [IME])
    assert copies == [] and isinstance(outcome, Refused), outcome
    assert (outcome.reason.value, outcome.temporary) == (reason, False), outcome


def test_an_older_key_opens_through_its_overlap_and_a_stolen_one_nothing(core: Core) -> None:
    make.pin(core, ANNA)
    to_the_old_one = [mail() for _ in range(3)]
    assert isinstance(send(core, to_the_old_one[0])[0], Accepted)  # from now on the reader holds it unsealed
    fresh = make_user(IME)
    end = time.time() + 86_400
    core.configure(
        lambda live: live.put_ime_key("acme.example", fresh.certificate, fresh.key_der, older_open_until=end)
    )
    assert isinstance(send(core, to_the_old_one[1])[0], Accepted)
    sealed = make.encrypt(make.sign(make.wrap(original()), signer_of(ANNA)), fresh, form="DER")
    assert isinstance(send(core, carrier(sealed))[0], Accepted)
    core.configure(lambda live: live.close_older_ime_keys("acme.example"))
    refused(core, to_the_old_one[2], "ime-malformed")


def test_a_denial_holds_for_the_very_next_container(core: Core) -> None:
    make.pin(core, ANNA)
    assert isinstance(send(core, mail())[0], Accepted)
    core.configure(lambda live: live.put_trust(TrustEntry(signer_of(ANNA).certificate.thumbprint, "deny")))
    refused(core, mail(), "ime-signer-unknown")


def test_a_denied_signer_confirms_nothing(core: Core) -> None:
    token = asked(core)
    core.configure(lambda live: live.put_trust(TrustEntry(signer_of(ANNA).certificate.thumbprint, "deny")))
    refused(core, answer(token), "ime-signer-unknown")
    assert make.pins(core)[0][1] == "pending"


def test_an_answer_goes_to_nobody_else(core: Core) -> None:
    token = asked(core)
    refused(core, answer(token), "ime-malformed", [IME, "bob@acme.example"])
    assert make.pins(core)[0][1] == "pending"


def test_an_answer_of_long_ago_is_too_old_even_from_who_is_known(core: Core) -> None:
    old = answer(asked(core))
    make.pin(core, ANNA)
    late = replace(core.submission(old, ANNA, [IME]), received_at=time.time() + 8 * 86_400)
    outcome = core.run(core.receiver.receive(late))
    assert isinstance(outcome, Refused) and (outcome.reason.value, outcome.temporary) == ("ime-too-old", False)


def test_at_most_so_many_signers_bring_each_other(core: Core) -> None:
    make.pin(core, ANNA)
    for _ in range(MOST_PINS - 1):
        make.pin(core, ANNA, make_user(ANNA).certificate)
    refused(core, endorsing(make_user(ANNA)), "ime-signer-unknown")
    assert len(make.pins(core)) == MOST_PINS


def test_a_repetition_after_the_window_is_still_one(core: Core) -> None:
    """Exchange lost our 250 and comes again after a week: no false report, nothing sent."""
    long_lived = make_user(ANNA, not_before=make.LONG_AGO, not_after=make.FAR_AWAY)
    make.pin(core, ANNA, long_lived.certificate)
    data = mail(long_lived)
    first, _ = send(core, data)
    late = replace(core.submission(data, ANNA, [IME]), received_at=time.time() + 8 * 86_400)
    assert core.run(core.receiver.receive(late)) == replace(first, duplicate=True)


def test_a_signer_of_another_organisation(core: Core) -> None:
    """Anna's envelope and From, a Sender elsewhere: its key speaks for nobody of ours."""
    who = "dora@nowhere.example"
    inner = original("carol@acme.example", Sender=who)
    refused(core, container(inner, signer=signer_of(who), extra=(f"Sender: {who}",)).mail, "sender-not-managed")
