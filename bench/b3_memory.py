"""B3: peak growth of a worker for one 50 MiB message, twenty at once within `memory_bytes`, and idle.

Peak resident memory of the one worker process, read from /proc (VmHWM is reset between steps).
"""

import concurrent.futures
import smtplib
import tempfile
from pathlib import Path

import psutil

from bench.material import write_site
from bench.processes import Sink, gateway, worker_pids
from tests.servers.gateway import Gateway

MIB = 1_048_576
LARGE = 50 * MIB
MEMORY_BYTES = 512 * MIB


def _kib(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1])
    raise KeyError(name)


def _reset_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def _send(port: int, size: int) -> int:
    """One message; the code of the last reply."""
    line = b"A" * 76 + b"\r\n"
    body = b"From: anna@acme.example\r\nTo: x@partner.example\r\nSubject: large\r\n\r\n" + line * (size // len(line))
    with smtplib.SMTP("127.0.0.1", port, timeout=300) as client:
        try:
            client.sendmail("anna@acme.example", ["x@partner.example"], body)
        except smtplib.SMTPResponseException as error:
            return error.smtp_code
        except smtplib.SMTPRecipientsRefused as error:
            return next(iter(error.recipients.values()))[0]
    return 250


def run() -> list[dict[str, object]]:
    """Rows: what, MiB, limit."""
    with tempfile.TemporaryDirectory(prefix="imegw-bench-", dir="/var/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        sink = Sink(folder)
        try:
            extra = f"memory_bytes = {MEMORY_BYTES}"
            with gateway(folder, write_site(folder), sink.port, workers=1, smtp=extra) as ours:
                return _measure(ours, sink)
        finally:
            sink.stop()


def _measure(ours: Gateway, sink: Sink) -> list[dict[str, object]]:
    [pid] = [one for one in worker_pids(ours) if _listens(one, ours.port)]
    idle = _kib(pid, "VmRSS") / 1024
    _send(ours.port, 4096)
    sink.wait(1)
    before = _kib(pid, "VmRSS") / 1024
    _reset_peak(pid)
    assert _send(ours.port, LARGE) == 250
    sink.wait(2)
    one = _kib(pid, "VmHWM") / 1024 - before
    _reset_peak(pid)
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        codes = list(pool.map(lambda _: _send(ours.port, LARGE), range(20)))
    sink.wait(2 + codes.count(250))
    twenty = _kib(pid, "VmHWM") / 1024 - before
    return [
        {"what": "idle worker", "MiB": round(idle), "limit": "120"},
        {"what": "one message of 50 MiB", "MiB": round(one), "limit": f"{2.5 * LARGE / MIB:.0f}"},
        {
            "what": f"twenty of 50 MiB at once ({codes.count(250)} taken, {20 - codes.count(250)} told 452)",
            "MiB": round(twenty),
            "limit": f"{MEMORY_BYTES // MIB} and what is in encryption",
        },
    ]


def _listens(pid: int, port: int) -> bool:
    """The pages' process listens too, elsewhere."""
    found = psutil.Process(pid).net_connections()
    return any(one.status == psutil.CONN_LISTEN and one.laddr.port == port for one in found)
