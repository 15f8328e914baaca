"""The rooms of the administrators' site in the order of its menu.

A new room is one `*_pages.py`, one folder of templates and one line here; the guard, the headers,
the frame and the menu take it in by themselves.
"""

from collections.abc import Callable
from dataclasses import dataclass

from flask import Blueprint

from webui.admin.certificate_pages import certificate_pages
from webui.admin.ime_pages import ime_pages
from webui.admin.overview_pages import overview_pages
from webui.admin.queue_pages import queue_pages
from webui.admin.track_pages import track_pages
from webui.site import Site


@dataclass(frozen=True, slots=True)
class Room:
    """One entry of the menu."""

    title: str
    endpoint: str
    """The room's first page."""
    build: Callable[[Site], Blueprint]

    @property
    def blueprint(self) -> str:
        """All pages of the room have endpoints that begin with this."""
        return self.endpoint.partition(".")[0]


ROOMS = (
    Room("Overview", "overview.overview", overview_pages),
    Room("Queue", "queue.queue", queue_pages),
    Room("Tracking", "tracking.tracking", track_pages),
    Room("Certificates", "certificates.certificates", certificate_pages),
    Room("Internal encryption", "ime.ime", ime_pages),
)
