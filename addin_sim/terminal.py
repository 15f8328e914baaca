"""How the commands speak: one JSON object, or sentences; a refusal is a sentence on stderr and status 1."""

import contextlib
import errno
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from addin_sim.sent_items import SyncReport
from addin_sim.submission import ended
from addin_sim.whole_file import write_whole

SettingsFile = Annotated[
    Path, typer.Option("--settings", help="outlook-settings.toml of the account.", exists=True, dir_okay=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of sentences.")]
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What a full disk says."""

DEFAULT_SETTINGS = Path("outlook-settings.toml")


def print_json(value: object) -> None:
    """One line."""
    typer.echo(json.dumps(value, ensure_ascii=False))


def printable(text: str) -> str:
    """One line whatever a directory holds or a server says: line ends and controls would forge what we say."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def printable_lines(text: str) -> str:
    """The same for a text of several lines of ours: servers and strangers put words into it, but no controls."""
    return "\n".join(map(printable, text.split("\n")))


def refuse(sentence: str) -> NoReturn:
    """End with status 1."""
    typer.echo(printable_lines(sentence), err=True)
    sys.exit(1)


def write_out(data: bytes, out: Path | None) -> None:
    """Write into that file, else to standard output; ends with status 1 when the file cannot be written."""
    if out is None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    try:
        write_whole(out, data)
    except OSError as error:
        refuse(f"{out}: cannot be written: {error.strerror}. What was there before is unchanged.")


def refuse_without_room(error: OSError) -> NoReturn:
    """End with status 1, because what a command says or writes finds no room on the disk."""
    with contextlib.suppress(OSError, ValueError):  # else what is left in the buffer fails once more at the very end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    refuse(
        f"{error.filename or 'Standard output'} cannot be written: {error.strerror}. What was done before that stands: "
        "make room, and before you send a mail again look into Sent Items and `addin-sim outbox list`."
    )


class Screen:
    """Says what `sync` and `watch` did, one line for each pass; `ime` is the version of the account."""

    def __init__(self, *, as_json: bool, ime: int) -> None:
        self._as_json = as_json
        self._ime = ime

    def passed(self, report: SyncReport) -> None:
        """Print the pass."""
        if self._as_json:
            print_json(_as_object(report, self._ime))
        else:
            typer.echo(_as_sentence(report, self._ime))
        for problem in (*report.problems, *report.remarks):
            typer.echo(printable(problem), err=True)

    def failed(self, sentence: str) -> None:
        """Print the failure."""
        typer.echo(printable(f"{ended(sentence)} Trying again."), err=True)


def _as_object(report: SyncReport, ime: int) -> dict[str, object]:
    about_mailbox: dict[str, object] = {
        "filed": report.filed,
        "originals_removed": report.originals_removed,
        "duplicates_removed": report.duplicates_removed,
        "waiting": report.waiting,
        "problems": report.problems,
    }
    if ime == 1:
        return about_mailbox
    return about_mailbox | {
        "confirmed": report.confirmed,
        "challenges_answered": report.challenges_answered,
        "resubmitted": report.resubmitted,
        "unsent": report.unsent,
        "refused": report.refused,
        "awaiting_copy": report.awaiting_copy,
        "oldest_awaiting": _moment(report.oldest_awaiting),
        "remarks": report.remarks,
    }


def _as_sentence(report: SyncReport, ime: int) -> str:
    if ime == 1:
        return (
            f"{report.filed} encrypted copies filed, {report.originals_removed} clear originals removed, "
            f"{report.duplicates_removed} duplicates removed, {report.waiting} copies wait for their original"
        )
    since = _moment(report.oldest_awaiting)
    return (
        f"{report.filed} encrypted copies filed, {len(report.confirmed)} mails leave the outbox, "
        f"{report.challenges_answered} questions of the gateway answered, {report.resubmitted} mails submitted again, "
        f"{report.unsent} still to be submitted, {report.refused} refused, "
        f"{report.awaiting_copy} wait for their encrypted copy" + (f", the oldest since {since}" if since else "")
    )


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
