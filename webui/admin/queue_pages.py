"""Mail that is accepted and not yet settled: for whom, since when, and what the next server said."""

from collections.abc import Sequence

from flask import Blueprint, render_template

from ime_gateway.admin.queue_desk import QueueDesk
from ime_gateway.base.errors import UserError
from webui.admin.overview_pages import STATES
from webui.admin.paging import Page, asked_page, asked_words
from webui.site import Site


def queue_pages(site: Site) -> Blueprint:
    """The queue, read-only."""
    pages = Blueprint("queue", __name__)
    desk = site.desks.queue

    @pages.get("/queue")
    def queue() -> str:
        message = asked_words("id")
        page: Page[object]
        evidence: Sequence[object]
        if message:
            page, evidence = _of_message(desk, message)
        else:
            page = asked_page(lambda limit, offset: desk.lines(limit=limit, offset=offset))
            evidence = desk.evidence() if page.number == 1 else ()
        return render_template(
            "queue/queue.html", page=page, evidence=evidence, message=message, counts=desk.counts(), states=STATES
        )

    return pages


def _of_message(desk: QueueDesk, message: str) -> tuple[Page[object], Sequence[object]]:
    """The rows and the evidence of one message; nothing when it is not in the queue."""
    try:
        found = desk.message(message)
    except UserError:
        return Page((), 1, more=False), ()
    return Page(found.rows, 1, more=False), found.held
