"""Two hundred mails while the gateway is killed at random instants: nothing lost, nothing in clear (P1, P3)."""

import random
import re
import threading
import time
from collections import Counter
from pathlib import Path

from tests.openssl import decrypt
from tests.story.world import World, ime_mail, open_world, subject_of

MAILS = 200
KILLS = 8
MARKER = "tamarind-ferry"


def test_sigkill_at_random_instants(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(1_000_000)
    print(f"seed {seed}")
    with open_world(tmp_path) as world:
        killer = threading.Thread(target=_kill_and_restart, args=(world, random.Random(seed)))
        killer.start()
        for number in range(MAILS):
            text = f"{MARKER} {number}"
            world.submit(ime_mail(number, ["bob@acme.example"], ["carol@acme.example"], text), "anna", [
                "ime@imepseudodomain.local"
            ])  # fmt: skip
        killer.join()
        world.postfix.wait_until_empty(180)
        world.gateway.wait_until_empty(180)
        world.postfix.wait_until_empty(60)
        for name in ("bob", "carol", "anna"):
            _check(world, name)
        _nothing_in_clear_on_our_disk(tmp_path / "gw")


def _kill_and_restart(world: World, chance: random.Random) -> None:
    for _ in range(KILLS):
        time.sleep(chance.uniform(0.05, 1.2))
        world.gateway.kill()
        world.gateway.start()


def _check(world: World, name: str) -> None:
    mails = world.dovecot.mails(world.address(name))
    counts = Counter(subject_of(mail) for mail in mails)
    missing = [number for number in range(MAILS) if not counts[f"story {number}"]]
    assert not missing, f"{len(missing)} mails for {name} are lost: {missing[:5]}\n{world.gateway.log()}"
    assert set(counts) == {f"story {number}" for number in range(MAILS)}
    for mail in mails:
        assert MARKER.encode() not in mail
    for mail in mails[:: MAILS // 10]:
        number = re.sub(r"\D", "", subject_of(mail))
        clear = decrypt(mail, world.people[name])
        assert clear is not None and f"{MARKER} {number}".encode() in clear


def _nothing_in_clear_on_our_disk(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            assert MARKER.encode() not in path.read_bytes(), path
