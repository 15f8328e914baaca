"""For whom was this encrypted content opened before, and what of an opened mail must be remembered?

An outsider, or an insider with a mailbox of their own, may take the encrypted content of somebody else's mail and
have it sent to another recipient of the same domain: a gateway that opened it there would be an oracle (P8). So each
encrypted content key is opened only for those for whom it was opened first. Who comes later gets the mail as it came;
the same recipients again (a retry, the copy of a mailing list) get it opened.

Other content under the same key was changed by somebody, for instance so that a reader's program sends the text away
(EFAIL, CVE-2017-17688): that is opened for nobody.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import structlog

from ime_gateway.base.reasons import Reason
from ime_gateway.mail.headers import HeaderBlock, make_field
from ime_gateway.pipeline.prepared import Version
from ime_gateway.pipeline.protected_ids import MOST_OWN_IDS, keyed_hash, own_ids
from ime_gateway.policy.plan import Plan
from ime_gateway.ports.incoming import Candidate, ContentKey, IncomingMemory, IncomingRecord, KnownKey, OpenedKey

log = structlog.get_logger("ciphertext-memory")

_OF_OTHERS = "its content was encrypted for other recipients, who have got it before"
_CHANGED = "other content came under the same content key before: somebody changed it"


@dataclass(frozen=True, slots=True)
class CiphertextMemory:
    """Asked between opening a mail and using what came out of it."""

    memory: IncomingMemory
    key: bytes = field(repr=False)
    """Of the keyed hashes of Message-IDs."""

    async def reused(
        self, opened: Mapping[str, Collection[ContentKey]], *, bound: Collection[str] = ()
    ) -> Mapping[str, str]:
        """The recipients who must get the mail sealed, as it came, and why (reason `ciphertext-reused`): one of its
        content keys was opened for others and not for them, or with other content.

        opened: by `Address.key` all encrypted content keys that name keys of this recipient or their domain, in all
        layers that were opened (`smime.layers.EncryptedLayer.encrypted_key_digests`): a copy of the mail may come with
        those that were not used. bound: whom the mail itself names in its signed header
        (`PartnerDomain.bound_recipients`): whoever got the content before is no objection to them. Raises
        StoreUnavailable. Writes nothing.
        """
        digests = sorted({one.key_digest for own in opened.values() for one in own})
        known = await self.memory.opened_for(digests) if digests else {}
        changed = _changed({one for own in opened.values() for one in own}, known)
        causes: dict[str, str] = {}
        for address, own in opened.items():
            if any(one.content_digest in changed for one in own):
                causes[address] = _CHANGED
            elif address not in bound and any(
                one.key_digest in known and address not in known[one.key_digest].addresses for one in own
            ):
                causes[address] = _OF_OTHERS
        return causes

    def record(
        self,
        opened: Mapping[str, Collection[ContentKey]],
        headers: Iterable[HeaderBlock],
        *,
        bound: Collection[str] = (),
        candidates: Sequence[Candidate] = (),
    ) -> IncomingRecord:
        """What is to be committed with the mail.

        opened: as for `reused`, without those who get the mail sealed. headers: the header of the mail as it came,
        those of its opened layers, and as it is delivered: answers to any of their Message-IDs must be encrypted.
        bound: recipients in `opened` whom the mail itself names, signed by its sender's domain.
        """
        groups: dict[tuple[ContentKey, bool], set[str]] = {}
        for address, own in opened.items():
            for one in own:
                groups.setdefault((one, address in bound), set()).add(address)
        keys = tuple(
            OpenedKey(key.key_digest, tuple(sorted(who)), named, key.content_digest)
            for (key, named), who in sorted(groups.items())
        )
        names = [name for block in headers for name in own_ids(block)[:MOST_OWN_IDS]] if keys else []
        return IncomingRecord(keys, tuple(sorted({keyed_hash(self.key, name) for name in names})), tuple(candidates))


def _changed(keys: Iterable[ContentKey], known: Mapping[str, KnownKey]) -> frozenset[str]:
    """Digests of the contents that stand under a key under which another one came, earlier or in this very mail."""
    contents: dict[str, set[str]] = {}
    for one in keys:
        contents.setdefault(one.key_digest, set()).add(one.content_digest)
    found: set[str] = set()
    for digest, own in contents.items():
        before = known[digest].contents if digest in known else frozenset()
        if len(own | before) > 1:
            found |= own
    return frozenset(found)


def with_message_ids(versions: Mapping[str, Version], randomness: Callable[[int], bytes]) -> dict[str, Version]:
    """The versions (by `Address.key`), opened ones with a Message-ID where their sender gave none (RFC 5322 section
    3.6.4 leaves it open): else the mail server makes one up, and an answer could not be told from any other mail.
    Who gave very many gets a fresh one, too: not all are remembered, and nobody knows which an answer will name."""
    named: dict[int, Version] = {}
    for address, one in versions.items():
        if id(one) in named:
            continue
        named[id(one)] = one
        if one.opened and not 0 < len(own_ids(one.message.headers)) <= MOST_OWN_IDS:
            domain = address.rpartition("@")[2]
            fresh = make_field("Message-ID", f"<{randomness(16).hex()}.opened@{domain}>")
            headers = one.message.headers.without({"message-id"}).append(fresh)
            named[id(one)] = replace(one, message=one.message.with_headers(headers))
    return {address: named[id(one)] for address, one in versions.items()}


def alert_of_reuse(plan: Plan, message_id: str) -> None:
    """Tell the administrator of every recipient who got an accepted mail sealed because it is not theirs: somebody
    tries to read what was encrypted for others. Not while planning, because `explain` plans, too."""
    for one in plan.recipients:
        if one.reason is Reason.CIPHERTEXT_REUSED:
            log.error(
                "ciphertext-reused: content that was encrypted for others came again, and stays sealed",
                alert=True,
                id=message_id,
                recipient=one.address.key,
                cause=one.detail,
            )
