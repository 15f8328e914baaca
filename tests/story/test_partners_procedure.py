"""docs/partners.md, line by line as an administrator types it, on two gateways that nobody told anything before."""

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.canary import assert_lacks
from tests.servers.gateway import COMMANDS
from tests.story.two_gateways import TwoCompanies, mail, two_companies

PAGE = Path(__file__).parents[2] / "docs" / "partners.md"
CANARY = "canary-of-the-procedure"

pytestmark = pytest.mark.xdist_group("two-gateways")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoCompanies]:
    with two_companies(tmp_path_factory.mktemp("procedure"), set_up=False) as world:
        yield world


def lines() -> list[tuple[str, str]]:
    """Whose prompt, and what is typed."""
    return re.findall(r"^(acme|bolt)\$ (.+)$", PAGE.read_text(), re.MULTILINE)


class Administrators:
    """Two people at two keyboards, and the telephone between them."""

    def __init__(self, world: TwoCompanies, folder: Path) -> None:
        self._world = world
        self._folder = folder

    def type(self, who: str, line: str) -> str:
        company = getattr(self._world, who)
        words = shlex.split(self._spoken(line).replace("YOUR-MAIL-SERVER", f"127.0.0.1:{company.postfix.port}"))
        assert words[0] == "ime-gateway"
        done = subprocess.run(
            [str(COMMANDS / words[0]), *words[1:]],
            capture_output=True,
            text=True,
            check=False,
            cwd=self._folder,
            timeout=120,
            env={**os.environ, **self._world.clock.environment, "IMEGW_CONFIG": str(company.gateway.config)},
        )
        assert done.returncode == 0, f"{who}$ {line}\n{done.stdout}{done.stderr}\n{company.gateway.log()}"
        return done.stdout

    def _spoken(self, line: str) -> str:
        """What is read aloud at the other end stands on the page as a placeholder."""
        for placeholder, who, state in (
            ("GROUPS OF THE NEXT OF ACME", "acme", "next"),
            ("GROUPS OF BOLT", "bolt", "current"),
            ("GROUPS OF ACME", "acme", "current"),
        ):
            if placeholder in line:
                line = line.replace(placeholder, groups(self._key(who, state)))
        return line.replace("NEXT_OF_ACME", self._key("acme", "next")) if "NEXT_OF_ACME" in line else line

    def _key(self, who: str, state: str) -> str:
        company = getattr(self._world, who)
        keys: list[dict[str, Any]] = company.gateway.json("domain", "key", "show", company.domain)["keys"]
        return next(str(key["thumbprint"]) for key in keys if key["state"] == state)


def groups(thumbprint: str) -> str:
    digits = thumbprint.removeprefix("sha256:")
    return " ".join(digits[start : start + 4] for start in range(0, len(digits), 4))


def test_every_line_of_the_page(world: TwoCompanies, tmp_path: Path) -> None:
    administrators = Administrators(world, tmp_path)
    typed = lines()
    assert len(typed) > 15
    for who, line in typed:
        said = administrators.type(who, line)
        if "domain announce" in line:
            assert "bolt.example" in said
            world.acme.gateway.wait_until_empty()
            world.relay.wait_until_empty()
        if "cert check" in line:
            assert "bolt" in said
    _mail_both_ways(world)


def _mail_both_ways(world: TwoCompanies) -> None:
    for sender, receiver in ((world.acme, world.bolt), (world.bolt, world.acme)):
        text = f"{CANARY} from {sender.domain}"
        sender.send(
            "anna", mail(sender.address("anna"), [receiver.address("bob")], "offer", text), [receiver.address("bob")]
        )
        received = receiver.inbox("bob", 1)[-1]
        assert text.encode() in received
        assert b"X-SM-decrypted: yes" in received
    assert_lacks(world.recorded(), [CANARY.encode()], "the relay's record")
    assert b"application/pkcs7-mime" in world.recorded()
