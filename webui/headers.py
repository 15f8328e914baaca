"""What browsers are told about every answer, error pages and stylesheets included.

The pages carry no script and no inline style, so the policy can forbid both without exceptions:
what an attacker gets into a mail address or a certificate's name stays text (OWASP ASVS 5.0 section 3.4).
"""

from flask import Flask, Response, request

CONTENT_SECURITY_POLICY = (
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
STATIC_ENDPOINTS = frozenset({"static", "bootstrap.static"})
_ONE_YEAR = 31_536_000


def attach_headers(app: Flask, *, behind_tls: bool) -> None:
    """Add the security headers to every response."""

    @app.after_request
    def add(response: Response) -> Response:
        headers = response.headers
        headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
        headers["X-Content-Type-Options"] = "nosniff"
        headers["X-Frame-Options"] = "DENY"  # for browsers that do not know frame-ancestors
        headers["Referrer-Policy"] = "no-referrer"
        headers["Permissions-Policy"] = "camera=(), geolocation=(), microphone=()"
        headers["Cross-Origin-Opener-Policy"] = "same-origin"
        headers["Cross-Origin-Resource-Policy"] = "same-origin"
        if request.endpoint not in STATIC_ENDPOINTS:
            headers["Cache-Control"] = "no-store"
        if behind_tls:
            headers["Strict-Transport-Security"] = f"max-age={_ONE_YEAR}"
        return response
