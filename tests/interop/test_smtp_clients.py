"""Foreign SMTP clients talk to the listener: Python's smtplib, smtp-source of Postfix, s_client of OpenSSL."""

import smtplib
import ssl
import subprocess
from pathlib import Path

import pytest

from tests.pki import make_ca, make_user
from tests.smtp_door import LoopName, open_door

LOOPS = pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
MAIL = b"Subject: dots\r\n\r\n.\r\n..\r\nend \xc3\xbc\r\n"


@LOOPS
def test_smtplib_in_clear_and_inside_tls(loop: LoopName, tmp_path: Path) -> None:
    ca = make_ca("Listener CA")
    certificate, key = make_user("gw@acme.example", ca, eku=None).write(tmp_path, "gw")
    ca_file, _ = ca.write(tmp_path, "ca")
    listener = {"tls": "opportunistic", "certificate": certificate, "key": key}
    with open_door(loop, listener=listener) as door, smtplib.SMTP("127.0.0.1", door.port, timeout=20) as client:
        client.sendmail("a@acme.example", ["b@acme.example", "c@acme.example"], MAIL, ["body=8bitmime"])
        context = ssl.create_default_context(cafile=str(ca_file))
        context.check_hostname = False
        client.starttls(context=context)
        assert not client.has_extn("starttls")
        client.sendmail("jürg@acme.example", ["bøb@acme.example"], MAIL, ["smtputf8", "body=8bitmime"])
        with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
            client.sendmail("a@foreign.example", ["b@acme.example"], MAIL)
        assert refused.value.recipients["b@acme.example"][0] == 550
        clear, inside = door.submissions
    assert bytes(clear.data) == bytes(inside.data) == MAIL
    assert (clear.session.tls, inside.session.tls[:7]) == ("", "TLSv1.3")
    assert [str(recipient.address) for recipient in inside.recipients] == ["bøb@acme.example"]


@LOOPS
@pytest.mark.parametrize("size", [1, 4096, 1_000_000])
def test_smtp_source_of_postfix(loop: LoopName, size: int) -> None:
    with open_door(loop) as door:
        command = [
            "smtp-source",
            "-s",
            "5",
            "-m",
            "20",
            "-l",
            str(size),
            "-f",
            "a@acme.example",
            "-t",
            "b@acme.example",
        ]
        subprocess.run([*command, f"127.0.0.1:{door.port}"], check=True, timeout=60, env={"PATH": "/usr/sbin:/usr/bin"})
        subprocess.run(
            [*command, "-d", "-r", "3", f"127.0.0.1:{door.port}"],
            check=True,
            timeout=60,
            env={"PATH": "/usr/sbin:/usr/bin"},
        )
        assert len(door.submissions) == 40
        assert {len(submission.recipients) for submission in door.submissions} == {1, 3}
        assert all(len(submission.data) >= size for submission in door.submissions)


@LOOPS
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_s_client(loop: LoopName, version: str, tmp_path: Path) -> None:
    certificate, key = make_user("gw@acme.example", make_ca()).write(tmp_path, "gw")
    script = b"EHLO x\r\nMAIL FROM:<a@acme.example>\r\nRCPT TO:<b@acme.example>\r\nDATA\r\nhello\r\n.\r\nQUIT\r\n"
    with open_door(loop, listener={"tls": "mandatory", "certificate": certificate, "key": key}) as door:
        address = f"127.0.0.1:{door.port}"
        command = ["openssl", "s_client", "-quiet", version, "-starttls", "smtp", "-crlf", "-connect", address]
        done = subprocess.run(command, input=script.replace(b"\r", b""), capture_output=True, timeout=30, check=False)
        assert b"250 2.0.0 accepted id=id1" in done.stdout
        assert bytes(door.submissions[0].data) == b"hello\r\n"
        assert door.submissions[0].session.tls.startswith(version[1:].replace("tls1_", "TLSv1."))
