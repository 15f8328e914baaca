"""An administrator's first visit in Debian's Chromium, by keyboard, on a desk and on a telephone.

The page's own eyes are asked as well: no script error, no violation of the Content-Security-Policy,
no line that is wider than the screen. Screenshots lie in pytest's temporary folder for people to look at.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from tests.doubles.admin_site import AdminSite, MovableClock
from tests.doubles.memory_registry import MemoryRegistry
from tests.doubles.site_world import DELIVERED, MOMENT, fill
from tests.servers.site import serving

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
OWN_PASSWORD = "correct horse battery staple"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def site() -> Iterator[tuple[AdminSite, str]]:
    """The site as the roof serves it: waitress on a free port of the loopback."""
    registry = MemoryRegistry()
    fill(registry)
    site = AdminSite(clock=MovableClock(MOMENT), registry=registry)
    with serving(site.app) as port:
        yield site, f"http://127.0.0.1:{port}"


class Visit:
    """One browser window that keeps an eye on what the browser complains about."""

    def __init__(self, page: Page, folder: Path, name: str) -> None:
        self.page, self._folder, self._name, self._shots = page, folder, name, 0
        self.complaints: list[str] = []
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on(
            "response", lambda answer: answer.status < 400 or self.complaints.append(f"{answer.status} {answer.url}")
        )

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def look(self, what: str) -> None:
        """Take a screenshot of the whole page and measure that nothing sticks out sideways."""
        self._shots += 1
        self.page.screenshot(path=self._folder / f"{self._name}-{self._shots:02}-{what}.png", full_page=True)
        width = self.page.evaluate("document.documentElement.scrollWidth")
        assert width <= self.page.viewport_size["width"], f"{what} is {width} pixels wide"
        assert self.complaints == [], what

    def type_and_enter(self, *fields: str) -> None:
        """Type into the focused field, Tab to the next one, Enter at the end: no mouse."""
        for number, text in enumerate(fields):
            if number:
                self.page.keyboard.press("Tab")
            self.page.keyboard.type(text)
        self.page.keyboard.press("Enter")

    def tab_to(self, text: str) -> None:
        """Press Tab until the element with this text has the focus, and see that the focus shows."""
        for _ in range(60):
            self.page.keyboard.press("Tab")
            if self.page.evaluate("document.activeElement.innerText.trim()") == text:
                assert self.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
                return
        raise AssertionError(f"Tab never came to {text!r}")

    def go_by_keyboard(self, link: str) -> None:
        self.tab_to(link)
        self.page.keyboard.press("Enter")
        expect(self.page.get_by_role("heading", level=1)).to_have_text(link)


@pytest.mark.parametrize(
    ("name", "width", "height", "scheme"),
    [("desk", 1280, 800, "light"), ("phone", 390, 844, "light"), ("phone", 390, 844, "dark")],
)
def test_first_visit(
    browser: Browser, site: tuple[AdminSite, str], tmp_path: Path, name: str, width: int, height: int, scheme: str
) -> None:
    world, address = site
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    visit = Visit(context.new_page(), tmp_path, f"{name}-{scheme}")
    page = visit.page

    page.goto(address)
    expect(page).to_have_title("Log in · ime-gateway")
    visit.look("login")
    visit.type_and_enter("ada", world.one_time_password)

    expect(page.get_by_role("heading", level=1)).to_have_text("Choose your password")
    page.goto(f"{address}/queue")
    expect(page.get_by_role("heading", level=1)).to_have_text("Choose your password")
    visit.look("new-password")
    visit.type_and_enter(OWN_PASSWORD, OWN_PASSWORD)

    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    expect(page.get_by_text("Everything works.")).to_be_visible()
    expect(page.get_by_text("carol@partner.example", exact=True)).to_be_visible()
    visit.look("overview")

    visit.go_by_keyboard("Queue")
    expect(page.get_by_role("cell", name="Greylisted")).to_be_visible()
    expect(page.get_by_role("row")).to_have_count(51)
    visit.look("queue")

    visit.go_by_keyboard("Tracking")
    page.get_by_label("To", exact=True).focus()
    visit.type_and_enter("carol@partner.example")
    row = page.get_by_role("row", name="carol@partner.example")
    expect(row).to_contain_text("certificate-expired")
    expect(row).to_contain_text("The recipient's certificate has expired; a renewed one is needed.")
    visit.look("tracking-refused")
    page.goto(f"{address}/tracking?id={DELIVERED}")
    expect(page.get_by_role("row", name="bob@partner.example")).to_contain_text("delivered")
    page.get_by_text("2 events").first.click()
    visit.look("tracking-delivered")

    visit.go_by_keyboard("Certificates")
    expect(page.get_by_role("row", name="mallory@elsewhere.example")).to_contain_text("certificate-untrusted")
    visit.look("certificates")
    page.get_by_label("Address, subject or thumbprint").focus()
    visit.type_and_enter("bob@partner")
    expect(page.get_by_role("row")).to_have_count(2)
    page.get_by_role("link", name="Details of").click()
    expect(page.get_by_text("It may be used now.")).to_be_visible()
    visit.look("certificate")

    internal_encryption(visit)

    visit.tab_to("Log out")
    page.keyboard.press("Enter")
    expect(page).to_have_title("Log in · ime-gateway")
    page.goto(f"{address}/certificates")
    expect(page).to_have_title("Log in · ime-gateway")
    assert visit.complaints == []
    context.close()


def internal_encryption(visit: Visit) -> None:
    """Look at the IME certificates, then approve one signer and revoke another."""
    page = visit.page
    visit.go_by_keyboard("Internal encryption")
    waiting = page.get_by_role("table", name="Signers that wait")
    expect(waiting.get_by_role("row")).to_have_count(3)
    visit.look("internal-encryption")
    with page.expect_download() as fetched:
        page.get_by_role("link", name="Certificate of acme.example as PEM").click()
    assert fetched.value.suggested_filename == "ime-acme.example.pem"

    waiting.get_by_role("link", name="about the signer of frank@acme.example").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Signer")
    visit.look("signer")
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Signer")  # the box is not ticked: the browser waits
    page.get_by_label("Note").fill("read out over the telephone")
    page.get_by_label("I have compared the thumbprint").check()
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_role("status")).to_contain_text("frank@acme.example is approved")
    expect(waiting.get_by_role("row")).to_have_count(2)

    waiting.get_by_role("link", name="Look and decide").click()
    page.get_by_label("This key must not sign").check()
    page.get_by_role("button", name="Revoke").click()
    expect(page.get_by_role("status")).to_contain_text("revoked")
    expect(page.get_by_text("No signer waits.")).to_be_visible()
    visit.look("nobody-waits")
    page.get_by_role("link", name="All signers").click()
    expect(page.get_by_role("row", name="frank@acme.example")).to_contain_text("approved")
    visit.look("signers")
