"""A crowd for a rehearsal: any number of people with certificates, and the files that a gateway and a rehearsal need.

A company rehearses with test mailboxes and test certificates, never with the keys of its people. RSA keys are slow to
make, so those of a large crowd take a while: about ten a second.
"""

import random
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from addin_sim.world.people import KeyFiles, Person, make_authority, make_person, quoted, write_people

_GIVEN = ("Ada", "Beat", "Chiara", "David", "Elin", "Flavia", "Gian", "Hanna", "Ivo", "Jana", "Kurt", "Lea", "Marco")
_FAMILY = ("Arn", "Bischof", "Caduff", "Dietrich", "Egli", "Frey", "Gerber", "Huber", "Imhof", "Jost", "Keller", "Lang")


@dataclass(frozen=True, slots=True)
class Crowd:
    """What was written."""

    people_file: Path
    """For `addin-sim rehearse --people`."""
    site_part: Path
    """Root and certificates, to be added to the gateway's SITE.toml."""
    addresses: tuple[str, ...]


def make_crowd(folder: Path, count: int, domain: str, password: str = "", moment: datetime | None = None) -> Crowd:
    """Make `user001@domain` and so on, with keys, in `folder`; `password` is that of their mailboxes."""
    now = moment or datetime.now(UTC)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    authority = make_authority(folder, now)
    made: list[tuple[Person, KeyFiles]] = []
    for number in range(1, count + 1):
        chance = random.Random(number)  # noqa: S311 - the same names each time
        name = f"{chance.choice(_GIVEN)} {chance.choice(_FAMILY)}"
        person = Person(name, f"user{number:03}@{domain}")
        made.append((person, make_person(folder, person, authority, now)))
    crowd = Crowd(folder / "people.toml", folder / "SITE-people.toml", tuple(person.address for person, _ in made))
    write_people(crowd.people_file, made, password)
    crowd.site_part.write_text("\n".join(_site_lines(folder, made)), "utf-8")
    return crowd


def _site_lines(folder: Path, made: list[tuple[Person, KeyFiles]]) -> list[str]:
    lines = ["# For the gateway's SITE.toml: the people of a rehearsal. Take it out again afterwards.", ""]
    lines += ["[[root]]", f"file = {quoted(str((folder / 'ca.pem').absolute()))}", ""]
    for _, files in made:
        lines += ["[[certificate]]", f"file = {quoted(str(files.certificate.absolute()))}", ""]
    return lines
