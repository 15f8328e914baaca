"""`GET /healthz`: may mail be sent here now, for load balancers and monitoring (design 6.2).

No login, no cookie, no throttle: whoever asks is a machine that asks every second.
"""

from flask import Blueprint, Response, jsonify

from webui.site import Site


def health_pages(site: Site) -> Blueprint:
    """The readiness probe."""
    pages = Blueprint("health", __name__)

    @pages.get("/healthz")
    def healthz() -> tuple[Response, int]:
        report = site.health()
        answer = jsonify(status=report.status, checks=dict(report.checks), listeners=dict(report.listeners))
        return answer, 200 if report.healthy else 503

    return pages
