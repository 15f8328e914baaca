"""The public address of the gateway: certificates and revocation lists for partners' programs, without a login.

Every certificate of the built-in CA says that its list is here (RFC 5280 section 4.2.1.13), so it answers machines on
the open Internet: two kinds of file, by exact name, and nothing else. It keeps no session and sets no cookie.
"""

import re

import structlog
from flask import Flask, Response, abort, request
from werkzeug.exceptions import HTTPException

from ime_gateway.admin.pki_places import PkiFiles
from ime_gateway.base.errors import StoreUnavailable

_NAME = re.compile(r"(?:root|issuing)-[0-9a-f]{16}")
_CRL_SECONDS = 600
"""How long caches may keep a list: a revocation must not wait for long."""
_CERTIFICATE_SECONDS = 86_400


def create_public_app(files: PkiFiles) -> Flask:
    """Build the site; `files` gives what is served."""
    app = Flask("webui.portal", static_folder=None)

    @app.get("/pki/<name>.crl")
    def revocation_list(name: str) -> Response:
        data = files.crl(name) if _NAME.fullmatch(name) else None
        return _file(data, "application/pkix-crl", _CRL_SECONDS)  # RFC 2585 section 4.2

    @app.get("/pki/<name>.cer")
    def certificate(name: str) -> Response:
        data = files.certificate(name) if _NAME.fullmatch(name) else None
        return _file(data, "application/pkix-cert", _CERTIFICATE_SECONDS)  # RFC 2585 section 4.1

    @app.errorhandler(HTTPException)
    def of_http(error: HTTPException) -> Response:
        response = _words(error.name, error.code or 500)
        if error.code == 405:
            response.headers["Allow"] = "GET, HEAD, OPTIONS"
        return response

    @app.errorhandler(StoreUnavailable)
    def of_store(error: StoreUnavailable) -> Response:
        structlog.get_logger().error("public-store-unavailable", cause=str(error), evidence=error.evidence)
        return _words("Service Unavailable", 503)

    @app.errorhandler(Exception)
    def last_resort(error: Exception) -> Response:
        structlog.get_logger().error("public-error", endpoint=request.endpoint, error=type(error).__name__)
        return _words("Internal Server Error", 500)

    @app.after_request
    def add(response: Response) -> Response:
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Content-Security-Policy"] = "default-src 'none'; frame-ancestors 'none'"
        return response

    return app


def _file(data: bytes | None, kind: str, seconds: int) -> Response:
    if data is None:
        abort(404)
    response = Response(data, mimetype=kind)
    response.headers["Cache-Control"] = f"public, max-age={seconds}"
    response.add_etag()
    response.make_conditional(request)
    return response


def _words(sentence: str, code: int) -> Response:
    response = Response(f"{sentence}\n", status=code, mimetype="text/plain")
    response.headers["Cache-Control"] = "no-store"
    return response
