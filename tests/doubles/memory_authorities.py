"""`ports/authorities.py` in memory, for desks and pages that are tested without a database."""

import builtins
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field, replace

from ime_gateway.certs.certificate import Certificate
from ime_gateway.ports.authorities import AuthorityEntry, AuthorityRole, AuthorityState, IssuedEntry, KeyRequest
from ime_gateway.ports.revocation import OwnAuthorities


@dataclass
class AuthorityMemory:
    """What the three tables hold."""

    authorities: dict[str, AuthorityEntry] = field(default_factory=dict)
    keys: dict[str, bytes] = field(default_factory=dict)
    issued: dict[str, IssuedEntry] = field(default_factory=dict)
    requests: dict[str, KeyRequest] = field(default_factory=dict)
    request_keys: dict[str, bytes] = field(default_factory=dict)

    def __copy__(self) -> "AuthorityMemory":
        return AuthorityMemory(**{name: copy(value) for name, value in vars(self).items()})


class MemoryAuthorities:
    """Within one transaction; `change` refuses in one that only reads."""

    def __init__(self, memory: AuthorityMemory, now: float, change: Callable[[], object]) -> None:
        self._memory, self._now, self._change = memory, now, change

    def list(self) -> list[AuthorityEntry]:
        newest = sorted(self._memory.authorities.values(), key=lambda one: -one.made_at)
        return sorted(newest, key=lambda one: (one.role != "root", one.state != "active"))

    def put(self, certificate: Certificate, role: AuthorityRole, private_key: bytes) -> None:
        self._change()
        entry = AuthorityEntry(certificate, role, "active", True, 0, None, None, self._now)
        self._memory.authorities[certificate.thumbprint] = entry
        self._memory.keys[certificate.thumbprint] = private_key

    def set_state(self, thumbprint: str, state: AuthorityState) -> None:
        self._replace(thumbprint, state=state)

    def private_key(self, thumbprint: str) -> bytes | None:
        return self._memory.keys.get(thumbprint)

    def put_private_key(self, thumbprint: str, private_key: bytes | None) -> None:
        self._replace(thumbprint, has_private_key=private_key is not None)
        self._memory.keys.pop(thumbprint, None)
        if private_key is not None:
            self._memory.keys[thumbprint] = private_key

    def put_crl(self, thumbprint: str, number: int, crl: bytes, next_update: float) -> None:
        self._replace(thumbprint, crl_number=number, crl=crl, crl_next_update=next_update)

    def issued(
        self,
        *,
        authority: str = "",
        owner: str = "",
        thumbprint: str = "",
        revoked: bool | None = None,
        limit: int | None = 1000,
        offset: int = 0,
    ) -> builtins.list[IssuedEntry]:
        found = [
            one
            for one in sorted(self._memory.issued.values(), key=lambda one: (-one.made_at, one.certificate.serial))
            if authority in ("", one.authority)
            and owner in ("", one.owner)
            and one.certificate.thumbprint.startswith(thumbprint)
            and revoked in (None, one.revoked_at is not None)
        ]
        return found[offset:] if limit is None else found[offset : offset + limit]

    def revocations(self) -> OwnAuthorities:
        """What RevocationAnswers tells of all this."""
        revoked = {
            (one.authority, one.certificate.serial): (one.revoked_at, one.revocation_reason)
            for one in self._memory.issued.values()
            if one.revoked_at is not None
        }
        return OwnAuthorities(frozenset(self._memory.authorities), revoked)

    def thumbprints(self) -> frozenset[str]:
        return frozenset((*self._memory.authorities, *self._memory.issued))

    def put_issued(self, entry: IssuedEntry) -> None:
        self._change()
        self._memory.issued[entry.certificate.thumbprint] = entry

    def revoke(self, thumbprint: str, at: float, reason: str) -> bool:
        known = self._memory.issued.get(thumbprint)
        if known is None or known.revoked_at is not None:
            return False
        self._change()
        self._memory.issued[thumbprint] = replace(known, revoked_at=at, revocation_reason=reason)
        return True

    def requests(self, owner: str = "") -> builtins.list[KeyRequest]:
        found = [one for one in self._memory.requests.values() if owner in ("", one.owner)]
        return sorted(found, key=lambda one: (one.made_at, one.id))

    def put_request(self, request: KeyRequest, private_key: bytes) -> None:
        self._change()
        self._memory.requests[request.id] = request
        self._memory.request_keys[request.id] = private_key

    def request_key(self, id: str) -> bytes | None:  # noqa: A002 - the port's word
        return self._memory.request_keys.get(id)

    def delete_request(self, id: str) -> bool:  # noqa: A002
        self._change()
        self._memory.request_keys.pop(id, None)
        return self._memory.requests.pop(id, None) is not None

    def _replace(self, thumbprint: str, **values: object) -> None:
        self._change()
        known = self._memory.authorities[thumbprint]
        self._memory.authorities[thumbprint] = replace(known, **values)  # type: ignore[arg-type]
