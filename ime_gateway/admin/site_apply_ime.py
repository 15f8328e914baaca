"""The part of `apply` that is about IME addresses: keys that a file brings or that are made, and conflicts.

Keys are made before the transaction begins, because mail waits for an administrator's transaction; what was made
for nothing, because another administrator was quicker, is thrown away.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping

from ime_gateway.admin.ime_keys import make_key_pair
from ime_gateway.admin.ime_notes import key_notes, signer_notes
from ime_gateway.admin.key_pairs import DAY_SECONDS, DEFAULT_DAYS, DEFAULT_OVERLAP_DAYS, KeyPair, groups
from ime_gateway.admin.site_file import ImeKeyWish, SiteContents
from ime_gateway.admin.site_report import Change
from ime_gateway.admin.timestamps import rfc3339
from ime_gateway.base.errors import UserError
from ime_gateway.ports.clock import Clock, Randomness
from ime_gateway.ports.directory import SiteView
from ime_gateway.ports.registry import ImeKeyEntry, RegistryTransaction
from ime_gateway.settings.site import ime_conflict

_Act = Callable[[RegistryTransaction], object]


def made_keys(
    contents: SiteContents, live: RegistryTransaction, clock: Clock, randomness: Randomness
) -> dict[str, KeyPair]:
    """Fresh keys for the domains of a file that want one and have none. Slow; `live` is only read."""
    having = {key.domain for key in live.ime_keys() if key.is_current}
    wishes = [wish for wish in contents.ime_keys if wish.pair is None and wish.domain not in having]
    return {wish.domain: make_key_pair(wish.address, clock.now(), DEFAULT_DAYS, randomness) for wish in wishes}


def require_no_conflict(contents: SiteContents, view: SiteView, v1_domain: str, *, prune: bool) -> None:
    """Raises UserError when an IME address lies in a domain of its own, two domains share one, or it lies in
    `v1_domain`, that of the IME 1.0 address."""
    for domain, _ in contents.managed:
        if domain.ime_address and domain.ime_domain == v1_domain:
            where = contents.ime_places.get(domain.name, domain.name)
            raise UserError(
                f"{where}: {v1_domain} is the domain of ime.v1_address too; IME 1.0 and 2.0 need a domain each"
            )
    managed = {} if prune else dict(view.managed)
    managed |= {domain.name: domain for domain, _ in contents.managed}
    partners = set() if prune else set(view.partners)
    conflict = ime_conflict(managed.values(), {*managed, *partners, *(domain.name for domain, _ in contents.partners)})
    if conflict:
        raise UserError(conflict)


def key_steps(
    contents: SiteContents, live: RegistryTransaction, made: Mapping[str, KeyPair], moment: float, actor: str
) -> Iterator[tuple[Change, _Act | None]]:
    """What becomes of IME keys; in a dry run `made` is empty, and those that would be made are told without digits.

    A file that names what `rotate` replaced changes nothing; raises UserError when that key is closed.
    """
    keys = live.ime_keys()
    current = {key.domain: key for key in keys if key.is_current}
    until = moment + DEFAULT_OVERLAP_DAYS * DAY_SECONDS
    for wish in contents.ime_keys:
        known = current.get(wish.domain)
        pair = wish.pair or made.get(wish.domain)
        same = known is not None and (wish.pair is None or wish.pair.certificate == known.certificate)
        if same or _replaced(wish, keys, moment) is not None:
            yield Change("unchanged", "IME key", wish.address), None
        else:
            name = wish.address if wish.pair is None else f"{wish.address} {groups(wish.pair.certificate.thumbprint)}"
            act = None if pair is None else _put(wish, pair, until, actor)
            yield Change("added" if known is None else "changed", "IME key", name), act


def pruned_keys(contents: SiteContents, live: RegistryTransaction) -> list[str]:
    """A sentence for each domain whose IME keys go with it."""
    named = {domain.name for domain, _ in contents.managed}
    domains = sorted({key.domain for key in live.ime_keys()} - named)
    return [
        f"the IME keys of {domain} are removed with it; containers to them cannot be opened again" for domain in domains
    ]


def notes_after(contents: SiteContents, live: RegistryTransaction, moment: float) -> list[str]:
    """What the administrator should know about the IME addresses of the file, once it is in force."""
    wishes = {wish.domain: wish for wish in contents.ime_keys}
    keys, policy = live.ime_keys(), contents.policy or live.view().policy
    notes = []
    for domain, _ in contents.managed:
        own = [key for key in keys if key.domain == domain.name]
        wish = wishes.get(domain.name)
        older = None if wish is None else _replaced(wish, keys, moment)
        if wish is not None and older is not None:
            notes.append(
                f"{domain.name}: {wish.file} is an older key, which opens containers until"
                f" {rfc3339(older.opens_until)}; it is not made the current one again; take ime_key out of SITE.toml"
            )
        elif wish is not None and wish.pair is not None:
            own = [ImeKeyEntry(domain.name, wish.pair.certificate, math.inf, moment, has_private_key=True)]
        made = wish is not None and not any(key.is_current for key in own)
        found = [*signer_notes(domain), *([] if made else key_notes(domain, own, policy, moment))]
        notes += [f"{domain.name}: {note}" for note in found]
    return notes


def _replaced(wish: ImeKeyWish, keys: Iterable[ImeKeyEntry], moment: float) -> ImeKeyEntry | None:
    """The older key that a file still names, while its overlap lasts; None: it is the current one, or new.

    Raises UserError for one that is closed: whoever stole it could read again. A new certificate of it is no help, so
    the key itself counts, unless it goes on under another certificate.
    """
    if wish.pair is None:
        return None
    wished = wish.pair.certificate
    own = [key for key in keys if key.domain == wish.domain]
    closed = [key for key in own if not key.is_current and (not key.has_private_key or key.opens_until <= moment)]
    going_on = {key.certificate.key_digest for key in own if key not in closed}
    for key in own:
        same = key.certificate == wished
        renewed = key.certificate.key_digest == wished.key_digest and wished.key_digest not in going_on
        if key in closed and (same or renewed):
            raise UserError(
                f"{wish.where}: {wish.file} is the key that was retired on {rfc3339(key.opens_until)};"
                " remove ime_key or name a new file"
            )
        if same and not key.is_current:
            return key
    return None


def _put(wish: ImeKeyWish, pair: KeyPair, until: float, actor: str) -> _Act:
    def act(live: RegistryTransaction) -> None:
        live.put_ime_key(wish.domain, pair.certificate, pair.private_key, older_open_until=until)
        action = "ime-issue" if wish.pair is None else "ime-import"
        live.audit(actor, action, f"{wish.domain} {pair.certificate.thumbprint}")

    return act
