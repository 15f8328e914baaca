"""The web server of the site: waitress, which is made for production and needs no other in front.

It names neither itself nor its version, and gives slow or endless requests a bound.
"""

import socket
from typing import Any

from flask import Flask
from waitress.server import create_server

_LARGEST_REQUEST = 128 * 1024


def open_server(app: Flask, listening: socket.socket, trusted_proxy: str = "") -> Any:
    """The server on a bound socket; `run()` serves until `close()`.

    trusted_proxy: the address of a proxy whose X-Forwarded-For names the visitor; empty: no proxy.

    The pages' sessions and counters live in this process: serve the site from one process only.
    """
    proxy = {"trusted_proxy": trusted_proxy, "trusted_proxy_headers": {"x-forwarded-for"}} if trusted_proxy else {}
    return create_server(
        app,
        **proxy,
        sockets=[listening],
        ident=None,
        threads=4,
        channel_timeout=20,
        connection_limit=200,
        max_request_body_size=_LARGEST_REQUEST,
        max_request_header_size=32 * 1024,
        expose_tracebacks=False,
        clear_untrusted_proxy_headers=True,
    )
