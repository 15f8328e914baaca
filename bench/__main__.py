"""`make bench`: runs the benchmarks, prints their tables and writes bench/relay.svg.

`python -m bench b1 b7` runs only those; `--scale 0.2` shortens B1.
"""

import argparse
import platform
import signal
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench import (
    address_list,
    b1_relay,
    b2_container_memory,
    b2_crypto_core,
    b2_smime_read,
    b3_memory,
    b4_fanout,
    b7_latency,
    rehearsal,
    selection,
)

Rows = list[dict[str, object]]


def main() -> None:
    """Run what was asked for; SIGTERM ends it like an error, after everything that was started is stopped."""
    signal.signal(signal.SIGTERM, _end)
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "which", nargs="*", help="b1 b2 b2verbs b2memory b3 b4 selection address_list rehearsal b7; default: all"
    )
    parser.add_argument("--scale", type=float, default=1.0, help="share of B1's messages")
    arguments = parser.parse_args()
    known: dict[str, tuple[str, Callable[[], Rows]]] = {
        "b1": ("B1 encrypting relay against Postfix in clear", lambda: b1_relay.run(arguments.scale)),
        "b2": ("B2 crypto core against its primitives", _crypto_core),
        "b2verbs": ("B2 against openssl cms and cryptography", lambda: [row.shown() for row in b2_smime_read.run()]),
        "b2memory": ("B2 memory of one container", lambda: [row.shown() for row in b2_container_memory.run()]),
        "b3": ("B3 memory", b3_memory.run),
        "b4": ("B4 fan-out", b4_fanout.run),
        "selection": ("Selection and validation of recipients", selection.run),
        "address_list": ("Address list: publish and find", address_list.run),
        "rehearsal": ("Rehearsal: mails a second through a whole company", rehearsal.run),
        "b7": ("B7 latency at half load", b7_latency.run),
    }
    console = Console()
    console.print(f"{platform.machine()}, {_processor()}, Python {platform.python_version()}")
    for name in arguments.which or known:
        title, run = known[name]
        rows = run()
        console.print(_table(title, rows))
        if name == "b1":
            _plot(rows, Path(__file__).parent / "relay.svg")


def _end(number: int, _frame: object) -> None:
    """Once: `timeout` signals twice, and the second must not end the stopping."""
    signal.signal(number, lambda *_: None)
    raise SystemExit(128 + number)


def _crypto_core() -> Rows:
    return [
        {
            "size": row.size,
            "recipients": row.recipients,
            "cipher": row.cipher,
            "limit/s": f"{row.limit:,.0f}",
            "ours/s": f"{row.ours:,.0f}",
            "share": f"{row.share:.2f}",
            "target": "-" if row.target is None else f"{row.target:.2f}",
        }
        for row in b2_crypto_core.run()
    ]


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def _table(title: str, rows: Rows) -> Table:
    table = Table(title=title, title_justify="left")
    for name in rows[0]:
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    return table


def _plot(rows: Rows, path: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4))
    places = range(len(rows))
    axes.bar(
        [place - 0.2 for place in places],
        [float(str(row["Postfix in clear msg/s"])) for row in rows],
        0.4,
        label="Postfix, in clear",
    )
    axes.bar(
        [place + 0.2 for place in places],
        [float(str(row["gateway msg/s"])) for row in rows],
        0.4,
        label="gateway, encrypting",
    )
    axes.set_yscale("log")
    axes.set_xticks(list(places), [str(row["size"]) for row in rows])
    axes.set_ylabel("messages per second, delivered")
    for place, row in zip(places, rows, strict=True):
        axes.annotate(f"{row['ratio']}x", (place + 0.2, float(str(row["gateway msg/s"]))), ha="center", va="bottom")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
