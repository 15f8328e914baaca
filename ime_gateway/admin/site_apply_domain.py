"""The part of `apply` that is about keys of whole domains, settings of single addresses and the archive.

A file that brings another domain key than the current one begins a rollover: the key becomes the next one, is
announced, and takes over after the overlap, so that no partner is ever surprised by it.
"""

from collections.abc import Callable, Iterator, Mapping

from ime_gateway.admin.domain_keys import (
    domain_key_notes,
    make_domain_pair,
    require_not_denied,
    state_of_new,
)
from ime_gateway.admin.key_pairs import DEFAULT_DAYS, KeyPair, groups
from ime_gateway.admin.site_file import DomainKeyWish, SiteContents
from ime_gateway.admin.site_report import Change, ChangeKind
from ime_gateway.base.errors import UserError
from ime_gateway.ports.clock import Clock, Randomness
from ime_gateway.ports.directory import SiteView
from ime_gateway.ports.domain_keys import DomainKeyEntry
from ime_gateway.ports.keyring import DomainKeyState
from ime_gateway.ports.registry import RegistryTransaction
from ime_gateway.settings.site import AddressSettings, Policy

_Act = Callable[[RegistryTransaction], object]
_Step = tuple[Change, _Act | None]


def made_domain_keys(
    contents: SiteContents, live: RegistryTransaction, clock: Clock, randomness: Randomness
) -> dict[str, KeyPair]:
    """Fresh keys for the domains of a file that want one and have none. Slow; `live` is only read."""
    having = {key.domain for key in live.domain_keys.list() if key.state == "current"}
    wishes = [wish for wish in contents.domain_keys if wish.pair is None and wish.domain not in having]
    return {wish.domain: make_domain_pair(wish.domain, clock.now(), DEFAULT_DAYS, randomness) for wish in wishes}


def domain_key_steps(
    contents: SiteContents, live: RegistryTransaction, made: Mapping[str, KeyPair], actor: str
) -> Iterator[_Step]:
    """What becomes of domain keys; in a dry run `made` is empty, and those that would be made are told without
    digits. Raises UserError for a key that the trust list denies."""
    trust = dict(live.view().trust) | {entry.thumbprint: entry for entry in contents.trust}
    keys = live.domain_keys.list()
    following: set[str] = set()
    for wish in contents.domain_keys:
        own = [key for key in keys if key.domain == wish.domain]
        if wish.pair is not None:
            try:
                require_not_denied(wish.pair.certificate, trust)
            except UserError as error:
                raise UserError(f"{wish.where}: {wish.file}: {error}", error.evidence) from None
        if _known(wish, own):
            yield Change("unchanged", "domain key", wish.domain), None
            continue
        state = _state(wish, own)
        if state == "next" and wish.domain in following:
            raise UserError(
                f"{wish.where}: {wish.file}: {wish.domain} would have two next domain keys; domain_key must name the"
                " current one beside next_domain_key"
            )
        if state == "next":
            following.add(wish.domain)
        pair = wish.pair or made.get(wish.domain)
        name = wish.domain if wish.pair is None else f"{wish.domain} {groups(wish.pair.certificate.thumbprint)}"
        kind: ChangeKind = "added" if state == wish.place else "changed"
        yield Change(kind, "domain key", name), None if pair is None else _put(wish, pair, state, actor)


def domain_notes(contents: SiteContents, live: RegistryTransaction, moment: float) -> list[str]:
    """What the administrator should know about domain keys, addresses and those who are told of trouble, once the
    file is in force."""
    view, keys = live.view(), live.domain_keys.list()
    policy = contents.policy or view.policy
    notes = []
    for wish in contents.domain_keys:
        own = [key for key in keys if key.domain == wish.domain]
        known = None if wish.pair is None else _entry(wish, own)
        if known is not None and known.state == "older" and wish.place == "current":
            notes.append(
                f"{wish.domain}: {wish.file} is an older domain key; it is not made the current one again;"
                " take domain_key out of SITE.toml"
            )
        elif wish.pair is not None and known is None and _state(wish, own) == "next":
            notes.append(
                f"{wish.domain}: {wish.file} is the next domain key; it opens mail now and takes over in"
                f" {policy.overlap_days} days; at once: ime-gateway domain key rollover {wish.domain} --now"
            )
    for domain, _ in contents.managed:
        notes += [f"{domain.name}: {note}" for note in domain_key_notes(domain.name, keys, policy, moment)]
    for line in contents.addresses:
        notes += [f"{line.address}: {note}" for note in _address_notes(line, contents, live)]
    return notes


def pruned_domain_keys(contents: SiteContents, live: RegistryTransaction) -> list[str]:
    """A sentence for each domain whose keys go with it."""
    named = {domain.name for domain, _ in contents.managed}
    domains = sorted({key.domain for key in live.domain_keys.list()} - named)
    return [
        f"the domain keys of {domain} are removed with it; mail to them cannot be opened again" for domain in domains
    ]


def policy_steps(contents: SiteContents, view: SiteView) -> Iterator[_Step]:
    """The policy, with the certificates that everything is encrypted to. None without `[policy]` in the file."""
    policy = contents.policy
    if policy is None:
        return
    same = policy.as_stored() == view.policy.as_stored() and contents.additional == view.additional_certificates

    def act(live: RegistryTransaction) -> None:
        live.put_policy(policy)
        live.put_additional_certificates(contents.additional)

    yield Change("unchanged" if same else "changed", "policy", ""), None if same else act


def address_steps(contents: SiteContents, view: SiteView) -> Iterator[_Step]:
    """Settings of single addresses that the file names."""
    for line in contents.addresses:
        stored = view.addresses.get(line.address)
        if stored is not None and stored.as_stored() == line.as_stored():
            yield Change("unchanged", "address", line.address), None
        else:
            yield Change("added" if stored is None else "changed", "address", line.address), _put_address(line)


def address_removals(contents: SiteContents, view: SiteView) -> Iterator[_Step]:
    """Settings of single addresses that the file does not name."""
    named = {line.address for line in contents.addresses}
    for address in sorted(set(view.addresses) - named):
        yield Change("removed", "address", address), _delete_address(address)


def require_own_administrators(policy: Policy | None, managed: set[str]) -> None:
    """Raises UserError when warnings would be sent to somebody outside."""
    for address in () if policy is None else policy.administrators:
        if address.strip().rpartition("@")[2].lower() not in managed:
            raise UserError(
                f"policy.administrators: {address} is in no managed domain; what is told them stays in the house"
            )


def _state(wish: DomainKeyWish, own: list[DomainKeyEntry]) -> DomainKeyState:
    """What a key becomes that is not there yet."""
    return state_of_new(own) if wish.place == "current" else wish.place


def _known(wish: DomainKeyWish, own: list[DomainKeyEntry]) -> bool:
    if wish.pair is None:
        return state_of_new(own) != "current"
    return _entry(wish, own) is not None


def _entry(wish: DomainKeyWish, own: list[DomainKeyEntry]) -> DomainKeyEntry | None:
    return next((key for key in own if wish.pair is not None and key.certificate == wish.pair.certificate), None)


def _put(wish: DomainKeyWish, pair: KeyPair, state: DomainKeyState, actor: str) -> _Act:
    def act(live: RegistryTransaction) -> None:
        live.domain_keys.put(wish.domain, pair.certificate, pair.private_key, state)
        action = "domain-key-generate" if wish.pair is None else "domain-key-import"
        live.audit(actor, action, f"{wish.domain} {pair.certificate.thumbprint} as {state}")

    return act


def _address_notes(line: AddressSettings, contents: SiteContents, live: RegistryTransaction) -> Iterator[str]:
    brought = {item.certificate.thumbprint for item in contents.people}
    for thumbprint in line.use:
        if thumbprint not in brought and live.certificate(thumbprint) is None:
            yield f"the certificate {thumbprint} of use is not stored; import it, or mail to this address is refused"


def _put_address(line: AddressSettings) -> _Act:
    return lambda live: live.put_address(line)


def _delete_address(address: str) -> _Act:
    return lambda live: live.delete_address(address)
