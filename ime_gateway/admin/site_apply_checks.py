"""The part of `apply` that is about thumbprints that were compared: what trust rests on moves with the trust.

A comparison is a thing of the past: a file adds what is not recorded yet and takes nothing away, `--prune` neither.
"""

from collections.abc import Callable, Iterator

from ime_gateway.admin.site_file import SiteContents
from ime_gateway.admin.site_report import Change
from ime_gateway.ports.directory import SiteView
from ime_gateway.ports.registry import RegistryTransaction
from ime_gateway.ports.thumbprint_checks import ThumbprintCheck

_Act = Callable[[RegistryTransaction], object]


def check_steps(contents: SiteContents, live: RegistryTransaction) -> Iterator[tuple[Change, _Act | None]]:
    """What becomes of the comparisons that a file names."""
    recorded = {_same(check) for check in live.checks.list()} if contents.checks else set()
    for check in contents.checks:
        name = f"{check.thumbprint} with {check.person}"
        if _same(check) in recorded:
            yield Change("unchanged", "thumbprint check", name), None
        else:
            yield Change("added", "thumbprint check", name), _put(check)


def anchor_notes(contents: SiteContents, view: SiteView) -> list[str]:
    """A note for each CA that is a root here and stands below its root in the file: without `--prune` it stays one."""
    return [
        f"{root.subject} is a root here from before, so nobody asks whether it was revoked; the file has it below its"
        " root. To make it an intermediate CA: ime-gateway apply --prune, which removes all that the file does not name"
        for root in view.roots
        if root in contents.root_links
    ]


def _same(check: ThumbprintCheck) -> tuple[str, int, str]:
    """What a file can tell of a check: its moments have no fractions of a second."""
    return check.thumbprint, int(check.at), check.person


def _put(check: ThumbprintCheck) -> _Act:
    return lambda live: live.checks.put(check)
