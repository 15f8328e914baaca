"""Listening sockets, bound once by the supervisor and shared by all workers.

One socket per listener, inherited, not one per worker: the kernel would spread the few long-lived
connections of an Exchange by chance, the workers share them by count (`smtp/listener.py`).
"""

import socket

from ime_gateway.base.errors import ConfigurationError
from ime_gateway.settings.model import Settings

_BACKLOG = 1024


def bind(address: str, port: int, what: str) -> socket.socket:
    """A listening TCP socket; port 0 takes a free one. Raises ConfigurationError naming `what`."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((address, port))
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise ConfigurationError(f"{what}: cannot listen on {address} port {port}: {error.strerror}") from error
    listening.setblocking(False)
    return listening


def bind_listeners(settings: Settings) -> dict[str, socket.socket]:
    """A socket for every listener, by its name."""
    return {
        listener.name: bind(listener.address, listener.port, f"[[listener]] {listener.name}")
        for listener in settings.listener
    }


def bind_host_and_port(value: str, what: str) -> socket.socket:
    """A socket for a `HOST:PORT` setting."""
    host, _, port = value.rpartition(":")
    return bind(host.strip("[]"), int(port), what)


def port_of(listening: socket.socket) -> int:
    """The port a socket really has."""
    return int(listening.getsockname()[1])
