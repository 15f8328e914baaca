"""B1: the encrypting relay, beside Postfix relaying the same mail in clear, in one run.

smtp-source (20 sessions, reused connections) -> gateway (durable, S/MIME to one RSA-2048 domain
certificate) -> smtp-sink, from the first connection until the last message was delivered. Rounds
alternate; the median ratio counts.
"""

import statistics
import tempfile
import time
from pathlib import Path

from bench.material import write_site
from bench.processes import Sink, gateway, postfix_in_clear, source

SIZES = {"4 KiB": (4096, 4000), "100 KiB": (102_400, 1500), "1 MiB": (1_048_576, 200), "10 MiB": (10_485_760, 30)}
ROUNDS = 3
RECIPIENT = "someone@partner.example"


def once(port: int, sink: Sink, count: int, size: int) -> float:
    """Messages per second for one round, until all are delivered."""
    before = sink.messages()
    start = time.perf_counter()
    source(port, count, size, RECIPIENT)
    sink.wait(before + count)
    return count / (time.perf_counter() - start)


def run(scale: float = 1.0) -> list[dict[str, object]]:
    """One row per size: messages per second of both, and the ratio."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="imegw-bench-", dir="/var/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        sink = Sink(folder)
        site = write_site(folder)
        try:
            with postfix_in_clear(folder / "postfix", sink.port) as clear, gateway(folder, site, sink.port) as ours:
                for label, (size, count) in SIZES.items():
                    rows.append(_compare(label, size, max(20, int(count * scale)), clear, ours.port, sink))
        finally:
            sink.stop()
    return rows


def _compare(label: str, size: int, count: int, clear: int, ours: int, sink: Sink) -> dict[str, object]:
    for port in (clear, ours):
        once(port, sink, max(20, count // 10), size)
    pairs = [(once(ours, sink, count, size), once(clear, sink, count, size)) for _ in range(ROUNDS)]
    ratio = statistics.median(mine / theirs for mine, theirs in pairs)
    return {
        "size": label,
        "gateway msg/s": round(statistics.median(mine for mine, _ in pairs), 1),
        "Postfix in clear msg/s": round(statistics.median(theirs for _, theirs in pairs), 1),
        "ratio": round(ratio, 2),
    }
