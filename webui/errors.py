"""Error pages that say what to do and nothing about the inside; the cause goes to the log.

Two voices (base/errors): a stranger who provokes an error must not learn paths, versions or
settings from it (OWASP ASVS 5.0 section 16.5; CVE-2026-7864 leaked the server's environment).
"""

import traceback

import structlog
from flask import Flask, Response, jsonify, make_response, render_template, request
from werkzeug.exceptions import HTTPException

from ime_gateway.base.errors import StoreUnavailable

_WORDS = {
    400: ("That did not arrive as expected", "The form may be too old. Go back, load the page again and repeat."),
    403: ("That is not allowed", "Your account may not do this."),
    404: ("There is no such page", "It may have been removed, or the address has a typing error."),
    405: ("That is not possible here", "Go back and use the buttons of the page."),
    413: ("That is too much at once", "The form holds more than any of its fields needs."),
    429: ("Too many attempts", "Wait five minutes and try again."),
    503: (
        "The store cannot be reached now",
        "Nothing is lost: mail waits at the servers that send it. Try again in a minute; the log has the cause.",
    ),
}
_ELSE = ("Something went wrong here", "It is our fault, not yours. The log has the cause.")


def attach_errors(app: Flask) -> None:
    """Answer every error with the same plain page."""

    @app.errorhandler(HTTPException)
    def of_http(error: HTTPException) -> Response:
        if error.code is not None and error.code < 400:  # a redirect to the page's proper address
            return make_response(error.get_response())
        response = _page(error.code or 500)
        for name, value in error.get_headers():
            if name in ("Allow", "Retry-After"):
                response.headers[name] = value
        return response

    @app.errorhandler(StoreUnavailable)
    def of_store(error: StoreUnavailable) -> Response:
        structlog.get_logger().error(
            "web-store-unavailable", endpoint=request.endpoint, cause=str(error), evidence=error.evidence
        )
        return _page(503)

    @app.errorhandler(Exception)
    def last_resort(error: Exception) -> Response:
        # Names and places only: the words of an unexpected error may quote what a person typed.
        structlog.get_logger().error(
            "web-error",
            endpoint=request.endpoint,
            error=type(error).__name__,
            where=[f"{at.filename}:{at.lineno} {at.name}" for at in traceback.extract_tb(error.__traceback__)[-4:]],
        )
        return _page(500)


def _page(code: int) -> Response:
    if request.endpoint == "health.healthz" and code >= 500:
        return make_response(jsonify(status="degraded", checks={"site": "cannot answer"}, listeners={}), 503)
    title, advice = _WORDS.get(code, _ELSE)
    return make_response(render_template("error.html", code=code, title=title, advice=advice), code)
