"""Names of the remote domains, which have no comment in which a mark could stand: at most 64 characters, one per
domain.

Both scripts and both roll-backs must find the same object, so the name is made from the domain alone.
"""

import hashlib
from collections.abc import Iterable

from ime_gateway.admin.exchange_kit.powershell import quoted
from ime_gateway.admin.exchange_kit.script_head import PREFIX

_LONGEST = 64
"""Reference of New-RemoteDomain, Name."""


def remote_domain_name(domain: str) -> str:
    """`ime-gateway - ime.acme.example`; a long one is cut and told apart by the beginning of its SHA-256."""
    name = PREFIX + domain
    if len(name) <= _LONGEST:
        return name
    digest = hashlib.sha256(domain.encode()).hexdigest()[:8]
    return f"{name[: _LONGEST - len(digest) - 1]}~{digest}"


def remote_domain_lines(domains: Iterable[str]) -> str:
    """The inside of the hashtable from domain to name."""
    entries = [(quoted(one), quoted(remote_domain_name(one))) for one in domains]
    keys, names = (max(map(len, column)) for column in zip(*entries, strict=True))
    return "\n".join(f"    {key:<{keys}} = {name:<{names}}  # at most 64 characters" for key, name in entries)
