"""The command `addin-sim find`: which certificate this Outlook would encrypt to, and how long it looks for it.

An administrator sees before a roll-out what every client will meet: the contact's place in the list, stale or
unfit certificates, and how old the copy is that clients work with.
"""

import time
from datetime import UTC, datetime
from typing import Annotated

import typer

from addin_sim.address_list.finding import Finding, find
from addin_sim.address_list.outlook_certificates import Candidate
from addin_sim.outlook_settings import load
from addin_sim.terminal import DEFAULT_SETTINGS, AsJson, SettingsFile, print_json, printable, refuse


def find_command(
    settings: SettingsFile = DEFAULT_SETTINGS,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Ask the list itself; leave the offline address book as it is.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Find the certificate of the IME address in the address list, as the add-in does when Outlook starts.

    Reads the list from its top, in Windows' order, until an entry has the address of InternalRecipient; takes its
    certificates in Outlook's order; works from the offline address book while that is young enough.
    """
    moment = time.time()
    found = find(
        load(settings),
        moment,
        time.monotonic,
        use_book=not no_cache,
        compare=True,
        say=lambda sentence: typer.echo(printable(sentence), err=True),
    )
    if as_json:
        print_json(as_object(found, moment))
    else:
        for line in as_lines(found, moment):
            typer.echo(printable(line))
        for remark in found.remarks:
            typer.echo(printable(remark), err=True)
    if found.refusal:
        refuse(printable(found.refusal))


def as_object(found: Finding, moment: float) -> dict[str, object]:
    """What `--json` prints; `moment` in seconds since 1970 UTC."""
    scanned, book = found.scan, found.book
    return {
        "address": found.address,
        "name": found.name,
        "dn": found.dn,
        "certificate": _candidate(found.chosen) if found.chosen else None,
        "candidates": [_candidate(candidate) for candidate in found.candidates],
        "scan": {
            "position": scanned.position,
            "page": scanned.page,
            "page_size": scanned.page_size,
            "entries_read": scanned.entries_read,
            "pages_read": scanned.pages_read,
            "seconds": round(scanned.seconds, 4),
        }
        if scanned
        else None,
        "offline_book": {
            "used": scanned is None,
            "fetched": _moment(book.fetched),
            "age_hours": round(book.age_hours(moment), 3),
            "left_out": book.left_out,
            "stale": found.stale,
        }
        if book
        else None,
        "remarks": found.remarks,
        "refusal": found.refusal or None,
    }


def as_lines(found: Finding, moment: float) -> list[str]:
    """The same for people."""
    lines = [f"contact       {found.name} ({found.dn})", f"address       {found.address}"]
    best = found.chosen
    lines += [_line(candidate, best) for candidate in found.candidates]
    if scanned := found.scan:
        lines.append(
            f"scan          place {scanned.position:,} of the list, page {scanned.page:,}; "
            f"{scanned.entries_read:,} entries on {scanned.pages_read:,} pages read in {scanned.seconds:.2f} s"
        )
    if book := found.book:
        state = {True: ", stale", False: ", the list says the same", None: ""}[found.stale]
        kept = f"{book.age_hours(moment):.1f} hours old{state}" if found.scan is None else "fetched now"
        lines += [f"offline book  {kept}", *(f"not in it     {sentence}" for sentence in book.left_out)]
    return lines


def _line(candidate: Candidate, best: Candidate | None) -> str:
    if candidate is best:
        return f"certificate   {_described(candidate)}"
    if best is not None and candidate.thumbprint == best.thumbprint:
        return f"the same      in {candidate.source}"
    why = "; ".join(candidate.problems) or "comes later in Outlook's order"
    return f"passed over   {_described(candidate)}: {why}"


def _described(candidate: Candidate) -> str:
    if candidate.certificate is None:
        return f"a value of {candidate.source}"
    last = f"{candidate.certificate.not_valid_after_utc:%Y-%m-%d}"
    return f"{candidate.thumbprint} of {candidate.source}, valid until {last}"


def _candidate(candidate: Candidate) -> dict[str, object]:
    certificate = candidate.certificate
    return {
        "source": candidate.source,
        "thumbprint": candidate.thumbprint or None,
        "subject": certificate.subject.rfc4514_string() if certificate else None,
        "not_before": _moment(certificate.not_valid_before_utc.timestamp()) if certificate else None,
        "not_after": _moment(certificate.not_valid_after_utc.timestamp()) if certificate else None,
        "usable": candidate.usable,
        "problems": candidate.problems,
        "remarks": candidate.remarks,
    }


def _moment(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
