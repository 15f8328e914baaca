"""`cert candidates|approve|reject`, `domain announce|test`, on the command line as an administrator uses them."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ime_gateway.admin.key_pairs import groups
from ime_gateway.app.installation import open_current_installation
from ime_gateway.ports.incoming import Candidate
from ime_gateway.settings.site import ManagedDomain, PartnerDomain
from tests.exchange_world import authority, foreign_mail
from tests.pki import Entity, make_user

ACME, BOLT = "acme.example", "bolt.example"
HEARD = ("--with", "Bob Bolt, +49 30 555", "--how", "phone")


@pytest.fixture
def change(config: Path) -> Callable[[Callable[[Any], Any]], Any]:
    def act(work: Callable[[Any], Any]) -> Any:
        with (
            open_current_installation(config) as installation,
            installation.store.registry.transaction(write=True) as live,
        ):
            return work(live)

    return act


@pytest.fixture
def bolt(change: Any) -> Entity:
    """A partner with everything set up, and our own domain key."""
    ours, theirs = authority(ACME), authority(BOLT)

    def act(live: Any) -> None:
        exchange = f"key-exchange@{ACME}"
        live.put_managed_domain(
            ManagedDomain(name=ACME, deliver_to="smtp://127.0.0.1:1", exchange_address=exchange), ()
        )
        live.domain_keys.put(ACME, ours.certificate, ours.key_der, "current")
        partner = PartnerDomain(name=BOLT, exchange_address=f"exchange@{BOLT}", route="smtp://127.0.0.1:1")
        live.put_partner_domain(partner, (theirs.certificate,))

    change(act)
    return theirs


def bring(change: Any, entity: Entity, owner: str, kind: Any = "person") -> str:
    thumbprint = entity.certificate.thumbprint
    sender = f"admin@{owner.rpartition('@')[2]}"
    one = Candidate(owner, kind, entity.certificate, "exchange", sender, "<1@x>", "signed the mail", time.time())
    assert change(lambda live: live.candidates.bring(one))
    return thumbprint


@pytest.mark.parametrize("also", [(), ("ceo@bank.example",)])
def test_names_of_others_are_warned_of(cli: Any, config: Path, change: Any, bolt: Entity, also: Any) -> None:
    thumbprint = bring(change, authority(BOLT, dn_addresses=also), BOLT, "domain")
    done = cli("cert", "approve", thumbprint, "--check", groups(thumbprint), *HEARD, "-c", config)
    assert done.status == 0 and ("also names ceo@bank.example" in done.out) is bool(also)


def test_candidates_are_listed_approved_and_rejected(cli: Any, config: Path, change: Any, bolt: Entity) -> None:
    bob, eve = make_user(f"bob@{BOLT}"), make_user(f"eve@{BOLT}")
    good, bad = bring(change, bob, f"bob@{BOLT}"), bring(change, eve, f"eve@{BOLT}")
    listed = cli("cert", "candidates", "-c", config)
    assert listed.status == 0 and groups(good) in listed.out and "signed the mail" in listed.out
    rows = cli("cert", "candidates", "--json", "-c", config).json
    assert {(row["owner"], row["state"], row["usable"], row["reason"]) for row in rows} == {
        (f"bob@{BOLT}", "pending", False, "certificate-untrusted"),
        (f"eve@{BOLT}", "pending", False, "certificate-untrusted"),
    }
    wrong = cli("cert", "approve", good, "--check", groups(bad), *HEARD, "-c", config)
    assert wrong.status == 1 and "Nothing was changed" in wrong.err
    assert "all 16 groups differ: this is another certificate" in wrong.err and "cert reject" in wrong.err
    unsaid = cli("cert", "approve", good, "--check", groups(good), "-c", config)
    assert unsaid.status == 1 and '--with "PERSON, NUMBER" --how phone' in unsaid.err
    missing = cli("cert", "approve", good, *HEARD, "-c", config)
    assert missing.status == 1 and "nothing was given" in missing.err
    done = cli(
        "cert", "approve", good[:20], "--check", groups(good).lower(), "--with", "Bob", "--how", "phone", "-c", config
    )
    assert done.status == 0 and f"approved {good} for bob@{BOLT}" in done.out and "trust list" in done.out
    assert "before" not in done.out
    again = cli("cert", "approve", good, "--check", groups(good), "--with", "Bo", "--how", "video", "-c", config)
    assert again.status == 0 and f"approved {good} for bob@{BOLT}; it had been approved before" in again.out
    assert {check.person for check in change(lambda live: live.checks.list(good))} == {"Bob", "Bo"}
    assert cli("cert", "reject", bad[7:17], "-c", config).status == 0
    assert cli("cert", "candidates", "-c", config).out == "no certificate waits\n"
    states = {row["owner"]: row["state"] for row in cli("cert", "candidates", "--all", "--json", "-c", config).json}
    assert states == {f"bob@{BOLT}": "approved", f"eve@{BOLT}": "rejected"}
    assert [row["usable"] for row in cli("cert", "list", "bob", "--json", "-c", config).json] == [True]
    refused = cli("cert", "reject", good, "-c", config)
    assert refused.status == 1 and "trust deny" in refused.err


@pytest.mark.parametrize(
    ("thumbprint", "words"),
    [("xyz", "is no thumbprint"), ("12345", "is no thumbprint"), ("0123456789", "no candidate has such")],
)
def test_wrong_thumbprints_are_sentences(cli: Any, config: Path, thumbprint: str, words: str) -> None:
    for command in (("approve", thumbprint, "--check", "x", *HEARD), ("reject", thumbprint)):
        result = cli("cert", *command, "-c", config)
        assert result.status == 1 and words in result.err


def test_candidate_of_an_unknown_domain_needs_its_partner_first(cli: Any, config: Path, change: Any) -> None:
    theirs = authority("new.example")
    thumbprint = bring(change, theirs, "new.example", "domain")
    result = cli("cert", "approve", thumbprint, "--check", thumbprint, *HEARD, "-c", config)
    assert result.status == 1 and "domain add new.example" in result.err
    assert cli("cert", "candidates", "--json", "-c", config).json[0]["state"] == "pending"
    assert change(lambda live: (live.view().trust, live.checks.list(thumbprint))) == ({}, [])


def test_unfit_candidate_is_refused(cli: Any, config: Path, change: Any, bolt: Entity) -> None:
    thumbprint = bring(change, authority(BOLT, expired=True), BOLT, "domain")
    result = cli("cert", "approve", thumbprint, "--check", thumbprint, *HEARD, "-c", config)
    assert result.status == 1 and "certificate-expired" in result.err


def test_certificate_for_several_owners_asks_whose(cli: Any, config: Path, change: Any, bolt: Entity) -> None:
    shared = make_user(f"bob@{BOLT}", dn_addresses=[f"rob@{BOLT}"])
    thumbprint = bring(change, shared, f"bob@{BOLT}")
    bring(change, shared, f"rob@{BOLT}")
    result = cli("cert", "approve", thumbprint, "--check", thumbprint, *HEARD, "-c", config)
    assert result.status == 1 and "--owner" in result.err
    result = cli("cert", "approve", thumbprint, "--check", thumbprint, "--owner", f"ROB@{BOLT}", *HEARD, "-c", config)
    assert result.status == 0, result.err


def test_announce_says_what_is_missing_and_then_announces(cli: Any, config: Path, change: Any, bolt: Entity) -> None:
    nothing = cli("domain", "announce", ACME, "-c", config)
    assert nothing.status == 1 and "domain key rollover" in nothing.err
    unknown = cli("domain", "announce", "other.example", "-c", config)
    assert unknown.status == 1 and "no managed domain" in unknown.err
    following = authority(ACME)
    change(lambda live: live.domain_keys.put(ACME, following.certificate, following.key_der, "next"))
    nobody = cli("domain", "announce", ACME, "--to", "other.example", "-c", config)
    assert nobody.status == 1 and "no partner domain" in nobody.err
    [told] = cli("domain", "announce", ACME, "--json", "-c", config).json
    assert (told["partner"], told["recipient"], told["problem"]) == (BOLT, f"exchange@{BOLT}", None)
    assert [row["id"] for row in cli("queue", "list", "--json", "-c", config).json] == [told["id"]]
    [event] = cli("track", "--id", told["id"], "--json", "-c", config).json
    assert (event["event"], event["reason"]) == ("accepted", "key-exchange")


def test_self_test_without_answer_is_one_direction(
    cli: Any, config: Path, change: Any, bolt: Entity, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = cli("domain", "test", BOLT, "--wait", "0", "-c", config)
    assert refused.status == 1 and "cannot be encrypted" in refused.err
    thumbprint = bolt.certificate.thumbprint
    assert cli("trust", "allow", thumbprint, "-c", config).status == 0
    none = cli("domain", "test", BOLT, "--last", "-c", config)
    assert none.status == 1 and "no self-test" in none.err
    waiting = cli("domain", "test", BOLT, "--wait", "0", "--json", "-c", config)
    assert waiting.status == 1
    result = waiting.json
    assert (result["state"], result["here"], result["problems"]) == ("waiting", None, [])
    assert (result["there"]["encrypted_to"], result["there"]["delivery"]) == (thumbprint, "queued")
    last = cli("domain", "test", BOLT, "--last", "-c", config)
    assert last.status == 1 and "no answer yet: one direction at most is proved" in last.out
    delivery = "ime_gateway.admin.partner_test_desk.PartnerTestDesk._delivery"
    with monkeypatch.context() as patch:
        patch.setattr(delivery, lambda *_: ("deferred", "connection refused"))
        deferred = cli("domain", "test", BOLT, "--last", "--json", "-c", config)
    assert deferred.status == 1 and "waits for another attempt: connection refused" in deferred.json["problems"][0]
    by_hand = cli("domain", "test", BOLT, "--to", f"postmaster@{BOLT}", "--wait", "0", "-c", config)
    assert by_hand.status == 1 and f"sent to postmaster@{BOLT}" in by_hand.out


def test_a_self_test_that_fails_names_certificates_that_wait(cli: Any, config: Path, change: Any, bolt: Entity) -> None:
    announced, mailed = authority(BOLT), authority(BOLT)
    thumbprint = announced.certificate.thumbprint
    for one, origin in ((announced, "announcement"), (mailed, "exchange")):
        brought = Candidate(BOLT, "domain", one.certificate, origin, f"x@{BOLT}", "<1@x>", "", time.time())  # type: ignore[arg-type]
        assert change(lambda live, brought=brought: live.candidates.bring(brought))
    sentences = f"ime-gateway cert approve {thumbprint[:19]}", f"a certificate waits for approval as that of {BOLT}"
    refused = cli("domain", "test", BOLT, "--wait", "0", "-c", config)
    assert refused.status == 1 and all(words in refused.err for words in ("cannot be encrypted", *sentences))
    assert cli("trust", "allow", bolt.certificate.thumbprint, "-c", config).status == 0
    waiting = cli("domain", "test", BOLT, "--wait", "0", "-c", config)
    assert waiting.status == 1 and all(words in waiting.out for words in sentences)
    last = cli("domain", "test", BOLT, "--last", "--json", "-c", config).json
    assert len(last["problems"]) == 2
    for one in (announced, mailed):
        assert cli("cert", "reject", one.certificate.thumbprint, "-c", config).status == 0
    assert cli("domain", "test", BOLT, "--last", "--json", "-c", config).json["problems"] == []


def test_explain_says_that_nobody_gets_exchange_mail(
    cli: Any, config: Path, tmp_path: Path, change: Any, bolt: Entity
) -> None:
    mail = tmp_path / "exchange.eml"
    mail.write_bytes(foreign_mail(bolt, f"admin@{BOLT}", f"key-exchange@{ACME}"))
    options = (
        "--listener",
        "internet",
        "--from",
        f"admin@{BOLT}",
        "--to",
        f"key-exchange@{ACME}",
        "--peer",
        "192.0.2.1",
    )
    said = cli("explain", mail, *options, "--json", "-c", config).json
    assert (said["decision"], said["recipients"]) == ("deliver", [])
    assert "key-exchange" in said["note"] and bolt.certificate.thumbprint in said["note"]
    assert cli("cert", "candidates", "--json", "-c", config).json == [], "explaining changes nothing"
