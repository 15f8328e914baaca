"""What all sessions of one listener share: its settings, its limits, and who decides about mail behind it."""

import ssl
from dataclasses import dataclass

from structlog.typing import FilteringBoundLogger

from ime_gateway.ports.clock import Clock
from ime_gateway.ports.reception import Reception
from ime_gateway.settings.model import Listener, Smtp
from ime_gateway.smtp.limits import MemoryBudget


@dataclass(frozen=True, slots=True)
class Door:
    """What all sessions of one listener share."""

    listener: Listener
    smtp: Smtp
    reception: Reception
    memory: MemoryBudget
    tls: ssl.SSLContext | None
    clock: Clock
    log: FilteringBoundLogger

    @property
    def normalises(self) -> bool:
        """Are bare CR and LF in data turned into CRLF, rather than refused?"""
        if self.listener.bare_newlines == "auto":
            return self.listener.role == "internal"
        return self.listener.bare_newlines == "normalise"
