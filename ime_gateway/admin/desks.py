"""All desks in one hand: what the web site, which may know nothing else of the gateway, is given."""

from dataclasses import dataclass

from ime_gateway.admin.accounts import Accounts
from ime_gateway.admin.ime_desk import ImeDesk
from ime_gateway.admin.key_desk import KeyDesk
from ime_gateway.admin.overview_desk import OverviewDesk
from ime_gateway.admin.queue_desk import QueueDesk
from ime_gateway.admin.signer_desk import SignerDesk
from ime_gateway.admin.track_desk import TrackDesk
from ime_gateway.ports.clock import Clock, Randomness
from ime_gateway.ports.registry import Registry


@dataclass(frozen=True, slots=True)
class Desks:
    """The use cases behind the administrators' pages; a new room of the site adds its desk here."""

    accounts: Accounts
    overview: OverviewDesk
    queue: QueueDesk
    tracking: TrackDesk
    keys: KeyDesk
    ime: ImeDesk
    signers: SignerDesk
    clock: Clock
    """What the desks call now; pages compare with it."""


def open_desks(registry: Registry, clock: Clock, randomness: Randomness) -> Desks:
    """Desks over one store."""
    return Desks(
        accounts=Accounts(registry, randomness),
        overview=OverviewDesk(registry, clock),
        queue=QueueDesk(registry),
        tracking=TrackDesk(registry),
        keys=KeyDesk(registry, clock),
        ime=ImeDesk(registry, clock, randomness),
        signers=SignerDesk(registry, clock),
        clock=clock,
    )
