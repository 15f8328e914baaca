"""The site as `serve` really starts it, in Debian's Chromium: a refused mail is found with its reason."""

import smtplib
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.pki import make_ca, make_user
from tests.servers.gateway import Gateway

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    root = make_ca("Served Root")
    (tmp_path / "root.pem").write_bytes(root.pem)
    (tmp_path / "anna.pem").write_bytes(make_user("anna@acme.example", root).pem)
    made = Gateway(tmp_path)
    made.configure(next_hop=1, workers=1)
    made.apply(
        '[[managed_domain]]\nname = "acme.example"\ndeliver_to = "smtp://127.0.0.1:1"\n'
        '[[root]]\nfile = "root.pem"\n[[certificate]]\nfile = "anna.pem"\n'
    )
    made.start()
    yield made
    made.stop()


@pytest.mark.parametrize(("name", "width", "height"), [("desk", 1280, 800), ("phone", 390, 844)])
def test_the_reason_of_a_refusal_is_on_the_page(
    gateway: Gateway, tmp_path: Path, name: str, width: int, height: int
) -> None:
    mail = (
        "From: anna@acme.example\r\nTo: ime@imepseudodomain.local\r\nSubject: s\r\n"
        "X-SM-ORIGTO: bob@acme.example, nobody@acme.example\r\n\r\nhello\r\n"
    )
    with smtplib.SMTP("127.0.0.1", gateway.port, timeout=30) as client:
        with pytest.raises(smtplib.SMTPDataError):
            client.sendmail("anna@acme.example", ["ime@imepseudodomain.local"], mail)
        client.sendmail("anna@acme.example", ["far@else.example"], "From: anna@acme.example\r\nSubject: q\r\n\r\nx\r\n")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": width, "height": height})
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
        page.goto(f"http://127.0.0.1:{gateway.web_port}/")
        page.get_by_label("Name").fill("admin")
        page.get_by_label("Password", exact=True).fill(gateway.password)
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text("Choose your password")
        page.keyboard.type("a long enough sentence")
        page.keyboard.press("Tab")
        page.keyboard.type("a long enough sentence")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
        for path, shown in (
            ("/", "Overview"),
            ("/queue", "far@else.example"),
            ("/tracking?to=nobody@acme.example", "no-certificate"),
            ("/certificates", "anna@acme.example"),
        ):
            page.goto(f"http://127.0.0.1:{gateway.web_port}{path}")
            page.screenshot(
                path=tmp_path / f"{name}-{path.strip('/').partition('?')[0] or 'overview'}.png", full_page=True
            )
            expect(page.get_by_role("main")).to_contain_text(shown)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        assert complaints == []
        browser.close()
