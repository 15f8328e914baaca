"""B4: the cost of a recipient: one message to 1, 10, 100 and 500 people, all visible or all blind.

From the final dot to the reply, median of several messages, over one connection to one worker; the
content is encrypted and stored once, so that each further recipient should cost about one RSA operation.
"""

import smtplib
import statistics
import tempfile
import time
from pathlib import Path

from bench.material import write_site
from bench.processes import Sink, gateway

COUNTS = (1, 10, 100, 500)
REPEATS = 7


def run() -> list[dict[str, object]]:
    """Rows: recipients, milliseconds visible and blind, and per added recipient."""
    with tempfile.TemporaryDirectory(prefix="imegw-bench-", dir="/var/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        sink = Sink(folder)
        try:
            with gateway(folder, write_site(folder, people=max(COUNTS)), sink.port, workers=1) as ours:
                return _rows(ours.port)
        finally:
            sink.stop()


def _rows(port: int) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    first: dict[bool, float] = {}
    for count in COUNTS:
        row: dict[str, object] = {"recipients": count}
        for blind in (False, True):
            spent = _milliseconds(port, count, blind=blind)
            first.setdefault(blind, spent)
            name = "blind" if blind else "visible"
            row[f"{name} ms"] = round(spent, 1)
            row[f"{name} µs per added"] = round((spent - first[blind]) * 1000 / (count - 1)) if count > 1 else "-"
        rows.append(row)
    return rows


def _milliseconds(port: int, count: int, *, blind: bool) -> float:
    people = [f"p{number}@partner.example" for number in range(count)]
    to = "x@partner.example" if blind else ",\r\n ".join(people)
    text = f"From: anna@acme.example\r\nTo: {to}\r\nSubject: fan-out\r\n\r\n" + "Hello world, hello all.\r\n" * 160
    spent = []
    with smtplib.SMTP("127.0.0.1", port, timeout=120) as client:
        client.ehlo()
        for _ in range(REPEATS):
            client.mail("anna@acme.example")
            for address in people:
                client.rcpt(address)
            client.putcmd("DATA")
            client.getreply()
            start = time.perf_counter()
            client.send(text.encode() + b".\r\n")
            code, words = client.getreply()
            spent.append((time.perf_counter() - start) * 1000)
            if code != 250:
                raise RuntimeError(words.decode())
    return statistics.median(spent)
