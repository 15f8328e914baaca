"""Small mails that once meant much work: each is answered soon, by yes or by no, so that no worker stands still.

Most are given to a gateway core in a process of its own; its time is a bound for work,
far above what is needed.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ime_gateway.base.outcome import Accepted
from ime_gateway.mail.address import parse_address_list
from ime_gateway.pipeline import outgoing
from tests.core import close, make_core

REPOSITORY = Path(__file__).resolve().parent.parent.parent
SEND = """
import base64, sys
from pathlib import Path
from tests.core import PSEUDO, close, make_core

core = make_core(Path(sys.argv[1]))
listener, sender, recipient = sys.argv[2:]
data = MAIL
outcome, copies = core.send(data, sender, [recipient], listener)
print(type(outcome).__name__, getattr(outcome, "reason", ""), getattr(outcome, "temporary", ""), len(copies))
close(core)
"""
INSIDER = ("internal", "anna@acme.example", "x@elsewhere.example")
IME = ("internal", "anna@acme.example", "ime@imepseudodomain.local")
OUTSIDER = ("internet", "eve@evil.example", "anna@acme.example")

ENCODED = "\\n--b\\nContent-Type: message/rfc822\\nContent-Transfer-Encoding: base64\\n\\n"


def answer(folder: Path, mail: str, listener: str, sender: str, recipient: str) -> str:
    """What is said to a mail; `mail` is a Python expression."""
    command = [sys.executable, "-c", SEND.replace("MAIL", f"({mail})"), str(folder), listener, sender, recipient]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("name", ["To", "Cc"])
@pytest.mark.parametrize("who", [INSIDER, OUTSIDER], ids=["insider", "outsider"])
def test_a_header_full_of_addresses_is_read_in_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, who: tuple[str, str, str]
) -> None:
    """Who is visible is looked for in the first 64 KiB; the work is counted here, not its time."""
    listener, sender, recipient = who
    read: list[int] = []

    def counting(text: str, *, semicolons: bool = False) -> Any:
        read.append(len(text))
        return parse_address_list(text, semicolons=semicolons)

    monkeypatch.setattr(outgoing, "parse_address_list", counting)
    core = make_core(tmp_path)
    lines = (f"{name}: " + "a@b," * 2_300 + "\n") * 110
    outcome, copies = core.send(f"From: {sender}\n{lines}\nhi\n".encode(), sender, [recipient], listener)
    close(core)
    assert isinstance(outcome, Accepted) and [copy.recipient for copy in copies] == [recipient]
    assert 0 < sum(read) <= 65_536


@pytest.mark.parametrize("name", ["X-SM-ORIGTO", "To"])
def test_ime_mail_full_of_addresses(tmp_path: Path, name: str) -> None:
    """All of them must be read: nobody may be forgotten. So it is refused, before it is read."""
    lines = f'b"From: {IME[1]}\\nX-SM-ORIGCC: bob@acme.example\\n" + (b"{name}: " + b"a@b," * 2_300 + b"\\n") * 110'
    assert answer(tmp_path, f'{lines} + b"\\nhi\\n"', *IME) == "Refused ime-malformed False 0"


@pytest.mark.parametrize("who", [INSIDER, OUTSIDER], ids=["insider", "outsider"])
def test_parts_that_hide_in_many_encoded_messages(tmp_path: Path, who: tuple[str, str, str]) -> None:
    inner = 'b"Content-Type: multipart/mixed; boundary=i\\n\\n" + b"--i\\n\\n" * 9_000'
    hidden = f'b"{ENCODED}" + base64.encodebytes({inner})'
    top = f'b"From: {who[1]}\\nMIME-Version: 1.0\\nContent-Type: multipart/mixed; boundary=b\\n"'
    assert answer(tmp_path, f'{top} + ({hidden}) * 40 + b"\\n--b--\\n"', *who) == "Refused malformed False 0"


@pytest.mark.parametrize("who", [INSIDER, OUTSIDER], ids=["insider", "outsider"])
def test_header_fields_that_hide_in_many_encoded_messages(tmp_path: Path, who: tuple[str, str, str]) -> None:
    """Each container alone stays within the limits."""
    inner = 'b"Content-Type: multipart/mixed; boundary=i\\n" + (b"\\n--i\\n" + b"a:\\n" * 200) * 240 + b"\\n"'
    hidden = f'b"{ENCODED}" + base64.encodebytes({inner})'
    top = f'b"From: {who[1]}\\nMIME-Version: 1.0\\nContent-Type: multipart/mixed; boundary=b\\n"'
    assert answer(tmp_path, f'{top} + ({hidden}) * 40 + b"\\n--b--\\n"', *who) in (
        "Refused malformed False 0",
        "Accepted   1",
    )


@pytest.mark.parametrize("name", ["From", "Sender"])
def test_an_author_field_full_of_addresses(tmp_path: Path, name: str) -> None:
    first = "From: eve@evil.example\\n" if name == "Sender" else ""
    mail = f'b"{first}{name}: " + b"a@b," * 250_000 + b"\\n\\nhi\\n"'
    assert answer(tmp_path, mail, *OUTSIDER) == "Refused from-ambiguous False 0"


@pytest.mark.parametrize("who", [INSIDER, OUTSIDER, IME], ids=["insider", "outsider", "ime"])
@pytest.mark.parametrize(
    ("field", "parameters"),
    [
        ("Content-Type: text/plain", 'b"\\n ;a=b" * 100_000'),
        ("Content-Disposition: attachment", 'b"".join(b"\\n ;filename*%d=x" % n for n in range(9_000))'),
    ],
)
def test_parts_full_of_parameters(tmp_path: Path, who: tuple[str, str, str], field: str, parameters: str) -> None:
    """Four MiB of them; refused for good, neither sent in clear nor called an internal error."""
    top = f'b"From: {who[1]}\\nX-SM-ORIGTO: bob@acme.example\\nContent-Type: multipart/mixed; boundary=b\\n\\n"'
    mail = f'{top} + (lambda part: part * (4_194_304 // len(part)))(b"--b\\n{field}" + {parameters} + b"\\n\\nx\\n")'
    reason = "ime-malformed" if who == IME else "malformed"
    assert answer(tmp_path, mail, *who) == f"Refused {reason} False 0"


@pytest.mark.parametrize("who", [INSIDER, OUTSIDER, IME], ids=["insider", "outsider", "ime"])
def test_a_mail_whose_own_type_is_full_of_parameters(tmp_path: Path, who: tuple[str, str, str]) -> None:
    top = f'b"From: {who[1]}\\nX-SM-ORIGTO: bob@acme.example\\nContent-Type: application/octet-stream"'
    reason = "ime-malformed" if who == IME else "malformed"
    assert answer(tmp_path, f'{top} + b";\\n a=b" * 201 + b"\\n\\nx\\n"', *who) == f"Refused {reason} False 0"
