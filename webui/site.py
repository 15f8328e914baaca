"""What every page may use: the desks, the health of the gateway, the clock and the open sessions."""

from collections.abc import Callable
from dataclasses import dataclass

from ime_gateway.admin.desks import Desks
from ime_gateway.admin.health import HealthReport
from webui.sessions import SessionBook
from webui.throttle import LoginThrottle


@dataclass(frozen=True, slots=True)
class Site:
    """Handed to each room when the application is built, so that no page reaches for a global."""

    desks: Desks
    health: Callable[[], HealthReport]
    sessions: SessionBook
    throttle: LoginThrottle
