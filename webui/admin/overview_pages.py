"""The first page: is mail flowing, and what needs somebody's attention."""

from flask import Blueprint, render_template

from webui.site import Site

STATES = (
    ("queued", "waiting for a free worker"),
    ("sending", "being handed over now"),
    ("deferred", "waiting for the next attempt"),
    ("held", "kept back by an administrator"),
)
"""The queue's states in the order of a message's life, and what each means."""
_STATUS_WORDS = {
    "ok": "Everything works. Mail is accepted, protected and delivered.",
    "starting": "The gateway is starting; not every listener accepts mail yet.",
    "degraded": "Something is wrong; mail waits at the servers that send it.",
    "stopping": "The gateway is stopping; it finishes what it has accepted.",
}


def overview_pages(site: Site) -> Blueprint:
    """The overview."""
    pages = Blueprint("overview", __name__)

    @pages.get("/")
    def overview() -> str:
        report = site.health()
        return render_template(
            "overview/overview.html",
            report=report,
            status_words=_STATUS_WORDS[report.status],
            glance=site.desks.overview.glance(),
            states=STATES,
        )

    return pages
