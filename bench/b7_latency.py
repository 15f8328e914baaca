"""B7: from the final dot to the reply at about half load: p50 and p99 per size.

Ten connections send at half of the rate that B1 reached (measured anew in a short burst), evenly spaced;
every final dot is timed.
"""

import concurrent.futures
import smtplib
import socket
import statistics
import tempfile
import threading
import time
from pathlib import Path

from bench.material import write_site
from bench.processes import Sink, gateway, source

SIZES = {"4 KiB": (4096, 1000), "100 KiB": (102_400, 600), "1 MiB": (1_048_576, 100), "10 MiB": (10_485_760, 20)}
CONNECTIONS = 10


def run() -> list[dict[str, object]]:
    """Rows: size, rate, p50 and p99 in milliseconds."""
    with tempfile.TemporaryDirectory(prefix="imegw-bench-", dir="/var/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        sink = Sink(folder)
        try:
            with gateway(folder, write_site(folder), sink.port) as ours:
                return [_row(label, size, count, ours.port, sink) for label, (size, count) in SIZES.items()]
        finally:
            sink.stop()


def _row(label: str, size: int, count: int, port: int, sink: Sink) -> dict[str, object]:
    before = sink.messages()
    start = time.perf_counter()
    source(port, count, size, "x@partner.example", CONNECTIONS)
    sink.wait(before + count)
    rate = count / (time.perf_counter() - start) / 2
    spent = _timed(port, size, count, rate)
    sink.wait(before + 2 * count)
    quantiles = statistics.quantiles(spent, n=100)
    return {
        "size": label,
        "msg/s offered": round(rate, 1),
        "p50 ms": round(quantiles[49], 1),
        "p99 ms": round(quantiles[98], 1),
    }


def _timed(port: int, size: int, count: int, rate: float) -> list[float]:
    line = b"A" * 76 + b"\r\n"
    head = b"From: anna@acme.example\r\nTo: x@partner.example\r\nSubject: latency\r\n\r\n"
    content = head + line * (size // len(line)) + b".\r\n"
    numbers = iter(range(count))
    lock = threading.Lock()
    begin = time.perf_counter() + 0.2

    def client() -> list[float]:
        spent = []
        with smtplib.SMTP("127.0.0.1", port, timeout=120) as connection:
            connection.ehlo()
            # Without this the client's kernel holds the final dot back until the text before it is acknowledged.
            assert connection.sock is not None
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while True:
                with lock:
                    number = next(numbers, None)
                if number is None:
                    return spent
                time.sleep(max(0.0, begin + number / rate - time.perf_counter()))
                connection.mail("anna@acme.example")
                connection.rcpt("x@partner.example")
                connection.putcmd("DATA")
                connection.getreply()
                connection.send(content[:-3])
                start = time.perf_counter()
                connection.send(content[-3:])
                code, words = connection.getreply()
                spent.append((time.perf_counter() - start) * 1000)
                if code != 250:
                    raise RuntimeError(words.decode())

    with concurrent.futures.ThreadPoolExecutor(CONNECTIONS) as pool:
        return [value for result in [pool.submit(client) for _ in range(CONNECTIONS)] for value in result.result()]
