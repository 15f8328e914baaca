"""OpenLDAP's own client as `LdapSession`: judges our filters without the library that the gateway uses."""

import base64
import os
import subprocess
from pathlib import Path
from typing import Literal

from ime_gateway.lookup.ldap_entries import LdapTrouble, RawEntry
from tests.servers.slapd import PASSWORD, READER

_NO_SUCH_OBJECT, _SIZE_LIMIT = 32, 4


class LdapSearch:
    """One search is one process; over StartTLS, as the reader."""

    def __init__(self, port: int, ca_file: Path) -> None:
        self._where = ("-H", f"ldap://127.0.0.1:{port}", "-ZZ", "-x", "-D", READER, "-w", PASSWORD)
        self._environment = {**os.environ, "LDAPTLS_CACERT": str(ca_file)}
        self.searches: list[tuple[str, str]] = []
        """Scope and filter of each."""
        self.closed = 0

    def search(
        self, base: str, filter_text: str, scope: Literal["subtree", "base"], attributes: tuple[str, ...], limit: int
    ) -> list[RawEntry]:
        self.searches.append((scope, filter_text))
        words = ("-LLL", "-o", "ldif-wrap=no", "-z", str(limit), "-s", {"subtree": "sub", "base": "base"}[scope])
        done = subprocess.run(
            ["ldapsearch", *words, "-b", base, *self._where, filter_text, *attributes],
            capture_output=True, text=True, check=False, env=self._environment, timeout=60,
        )  # fmt: skip
        if done.returncode == _NO_SUCH_OBJECT and scope == "base":
            return []
        if done.returncode not in (0, _SIZE_LIMIT):
            raise LdapTrouble(done.stderr.strip())
        return [_entry(block) for block in done.stdout.split("\n\n") if block.strip()]

    def close(self) -> None:
        self.closed += 1

    def cut(self) -> None:
        raise AssertionError("a process needs no cutting")


def _entry(block: str) -> RawEntry:
    dn, attributes = "", dict[str, tuple[bytes, ...]]()
    for line in block.strip().splitlines():
        name, _, rest = line.partition(":")
        value = base64.b64decode(rest[1:].strip()) if rest.startswith(":") else rest.strip().encode()
        if name == "dn":
            dn = value.decode()
        else:
            attributes[name.lower()] = (*attributes.get(name.lower(), ()), value)
    return RawEntry(dn, attributes)
