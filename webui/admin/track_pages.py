"""What became of a message, for each recipient, with the reason: the page for the telephone."""

from flask import Blueprint, render_template

from ime_gateway.base.errors import UserError
from webui.admin.paging import asked_words
from webui.admin.track_groups import by_message
from webui.site import Site

LATEST = 100
"""Events that are shown before anything was asked."""
FOUND = 1000
"""Events that a search shows at most."""


def track_pages(site: Site) -> Blueprint:
    """Tracking, read-only."""
    pages = Blueprint("tracking", __name__)
    desk = site.desks.tracking

    @pages.get("/tracking")
    def tracking() -> str:
        asked = {name: asked_words(name) for name in ("id", "message_id", "from", "to")}
        searching = any(asked.values())
        limit = FOUND if searching else LATEST
        trouble = ""
        try:
            events = desk.events(
                message=asked["id"],
                message_id=asked["message_id"],
                sender=asked["from"],
                recipient=asked["to"],
                limit=limit,
            )
        except UserError as error:
            events, trouble = [], str(error)
        return render_template(
            "tracking/tracking.html",
            asked=asked,
            searching=searching,
            trouble=trouble,
            messages=by_message(events),
            cut=len(events) >= limit,
            limit=limit,
        )

    return pages
