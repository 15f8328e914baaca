"""What a failing database or disk means to the rest of the house: StoreUnavailable, and why.

The sentence may reach a peer in a 451; the evidence goes to the log. Neither ever holds the values
of a statement, which are people's addresses and mail.
"""

import errno
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from ime_gateway.base.errors import StoreUnavailable

_SIGNS = (
    ("disk is full", "the disk of the store is full"),
    ("No space left", "the disk of the store is full"),
    ("is locked", "the database is locked by another program"),
    ("unable to open", "the database is missing or cannot be opened"),
    ("readonly", "the database cannot be written"),
    ("not a database", "the database is damaged"),
    ("malformed", "the database is damaged"),
    ("disk I/O error", "the disk of the store fails"),
    ("no such table", "the database has no schema; run: ime-gateway check"),
    ("does not exist", "the database has no schema; run: ime-gateway check"),
    ("connection", "the database server cannot be reached"),
)


def driver_errors() -> tuple[type[Exception], ...]:
    """What the drivers raise. That of PostgreSQL takes long to load, and its errors only come where it is in use."""
    psycopg = sys.modules.get("psycopg")
    return (sqlite3.Error, psycopg.Error) if psycopg else (sqlite3.Error,)


@contextmanager
def storage_errors() -> Iterator[None]:
    """Inside, every error of database and disk becomes StoreUnavailable."""
    try:
        yield
    except _failures() as error:
        raise unavailable(error) from error


def _failures() -> tuple[type[Exception], ...]:
    return (SQLAlchemyError, OSError, *driver_errors())


def unavailable(error: BaseException) -> StoreUnavailable:
    """The error of a driver or the operating system in our words."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    if isinstance(cause, OSError):
        if cause.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return StoreUnavailable("the disk of the store is full", f"{cause.strerror}: {cause.filename or ''}")
        return StoreUnavailable("the disk of the store cannot be used", f"{cause.strerror}: {cause.filename or ''}")
    diagnosis = getattr(cause, "diag", None)  # PostgreSQL's
    text = getattr(diagnosis, "message_primary", None) or str(cause).partition("\n")[0]
    for sign, sentence in _SIGNS:
        if sign in text:
            return StoreUnavailable(sentence, f"{type(cause).__name__}: {text}")
    return StoreUnavailable("the store cannot be used now", f"{type(cause).__name__}: {text}")
