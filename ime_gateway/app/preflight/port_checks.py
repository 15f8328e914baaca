"""Can the addresses be taken: free now, or held by this very installation, which is running.

`healthz` tells the second case apart: it names our listeners with their ports (design 6.2).
"""

import errno
import http.client
import json
import socket
from collections.abc import Iterator, Mapping

from ime_gateway.app.preflight.finding import Finding, error, ok
from ime_gateway.settings.model import Settings

_SECONDS = 2.0


def check_ports(settings: Settings) -> Iterator[Finding]:
    """All findings about addresses and ports; binds each free one for a moment."""
    running = running_listeners(settings.web.admin)
    for listener in settings.listener:
        key = f"listener.{listener.name}.port"
        if running is not None and running.get(listener.name) == listener.port:
            yield ok(key, f"{listener.address}:{listener.port}, held by this gateway, which is running")
        else:
            yield _free(key, listener.address, listener.port)
    web = settings.web
    places = [("web.admin", web.admin), ("web.portal", web.portal), ("metrics.address", settings.metrics.address)]
    for key, text in places:
        host, _, port = text.rpartition(":")
        if not text:
            yield ok(key, "off")
        elif running is not None and set(running) >= {listener.name for listener in settings.listener}:
            yield ok(key, f"{text}, held by this gateway, which is running")
        else:
            yield _free(key, host.strip("[]"), int(port))


def running_listeners(web_admin: str) -> Mapping[str, int] | None:
    """The ports that a running gateway shows on its healthz; None when none answers."""
    host, _, port = web_admin.rpartition(":")
    if port == "0":
        return None
    connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=_SECONDS)
    try:
        connection.request("GET", "/healthz")
        report = json.loads(connection.getresponse().read(65_536))
        listeners = report["listeners"]
        return {str(name): int(number) for name, number in listeners.items()}
    except (OSError, http.client.HTTPException, ValueError, TypeError, KeyError, AttributeError):
        return None  # whoever answers there is not this gateway
    finally:
        connection.close()


def _free(key: str, host: str, port: int) -> Finding:
    place = f"{host}:{port}"
    if port == 0:
        return ok(key, f"{host}, any free port")
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            # Binding alone succeeds beside a SO_REUSEADDR socket that is not listening yet.
            probe.listen(1)
    except socket.gaierror:
        return error(key, f"{host!r} is no address of this machine")
    except OSError as trouble:
        match trouble.errno:
            case errno.EADDRINUSE:
                return error(key, f"{place} is in use by another program; see: ss -ltnp 'sport = :{port}'")
            case errno.EADDRNOTAVAIL:
                return error(key, f"{host} is no address of this machine")
            case errno.EACCES | errno.EPERM:
                return error(key, f"{place}: ports below 1024 need CAP_NET_BIND_SERVICE (the systemd unit gives it)")
            case _:
                return error(key, f"{place}: {trouble.strerror}")
    return ok(key, f"{place} is free")
