"""The administrators' site on a real socket, in a thread of the test."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread

from flask import Flask
from waitress import wasyncore

from webui.serving import open_server


@contextmanager
def serving(app: Flask) -> Iterator[int]:
    """The port on which the site answers; stopped from inside its own loop, which alone may touch its sockets."""
    server = open_server(app, socket.create_server(("127.0.0.1", 0)))
    thread = Thread(target=server.run, daemon=True)
    thread.start()
    yield int(server.effective_port)
    server.task_dispatcher.shutdown()  # first, because tasks that end wake the loop through the trigger
    with suppress(OSError):  # the loop may run this, and close the trigger, before it is woken for it
        server.trigger.pull_trigger(lambda: wasyncore.close_all(server._map, ignore_all=True))
    thread.join(20)
    assert not thread.is_alive()
