"""Chapter 2 of `make demo`: the address list and the Outlook side, with real servers and a proof of each step.

    python -m tests.story.circle      as root, with the Debian packages that `make demo` installs

It opens the company of company.py and types the lines of README.md's walk-through, one after another, as its reader
would (a test compares them). Who may read what is judged by OpenLDAP's client, openssl and a search for clear text.
"""

import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.markup import escape

from addin_sim.world.stage import DeviationError, Page
from tests.story import circle_steps as steps
from tests.story.circle_steps import Scene
from tests.story.company import NEEDS_ROOT, open_company

STEPS: tuple[tuple[str, Callable[[Scene], None]], ...] = (
    ("The contact of the IME address goes into Active Directory", steps.publish),
    ("Anna's Outlook finds the certificate in the address list", steps.find),
    ("Anna sends; Postfix plays Exchange; the gateway asks whether it was she", steps.send),
    ("Her add-in answers; everybody gets the mail; her copy is filed in Dovecot", steps.sync),
    ("Which key opens which mail, and what could be read on the way", steps.prove),
    ("EWS: Exchange shows the contact; a contacts folder gets it, too", steps.publish_by_ews),
    ("Emma's Outlook does the same over EWS: find, send, answer, file", steps.over_ews),
    ("A rehearsal: three people at once, every deviation counted", steps.rehearse),
    ("The kit that sets up Exchange and Outlook", steps.exchange_kit),
)


def main() -> int:
    """Run it; 0 when everything was as promised, 1 at the first deviation."""
    console = Console()
    if os.geteuid() != 0:
        console.print(f"{NEEDS_ROOT} Nothing was started; type: sudo make demo", style="bold red")
        return 1
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell starts background jobs with SIGINT ignored
        signal.signal(number, _stop)
    folder = Path(tempfile.mkdtemp(prefix="ime-gateway-company-"))
    began = time.monotonic()
    console.print(
        f"[bold]Chapter 2: publish, find, send, file[/bold]\nIts lines are typed in {folder}", highlight=False
    )
    try:
        _perform(Page(console), folder)
    except (DeviationError, OSError, AssertionError) as error:
        console.print(f"\nThe demo failed: {escape(str(error))}", style="bold red", highlight=False)
        console.print(f"The gateway's log: {folder / 'serve.log'}", highlight=False)
        return 1
    except KeyboardInterrupt:
        console.print("\nStopped.")
        return 1
    console.print(f"\nChapter 2: all as promised, in {time.monotonic() - began:.0f} seconds.", style="bold green")
    console.print("\nTry it by hand, with the lines of README.md's walk-through:\n  sudo make company")
    return 0


def _perform(page: Page, folder: Path) -> None:
    with ExitStack() as stack:
        with page.console.status("starting Active Directory, Postfix, Dovecot and the gateway"):
            company = stack.enter_context(open_company(folder, text=steps.SECRET.decode(), archive=True))
        page.console.print(
            f"Running: Active Directory (Samba) at {company.ad.url}, Postfix, Dovecot,\n"
            "a gateway, and a double of Exchange Web Services (there is no open server).\n",
            highlight=False,
        )
        scene = Scene(page, company)
        for number, (title, step) in enumerate(STEPS, 1):
            page.console.print(f"[bold]\\[{number}/{len(STEPS)}] {title}[/bold]", highlight=False)
            with page.console.status("working"):
                step(scene)


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
