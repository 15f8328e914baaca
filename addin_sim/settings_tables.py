"""What the tables of our TOML files have in common: nothing unknown in them, passwords that no text shows, and mistakes
that are told with file, line and key.
"""

import os
import re
from collections import Counter
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator


class Section(BaseModel):
    """A table of a file: immutable, and strict about names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class WithPassword(Section):
    """A table with somebody who logs in."""

    user: str = ""
    password: str = Field(default="", repr=False)
    password_env: str = ""
    """The password, or the environment variable that holds it."""

    @property
    def secret(self) -> str:
        """The password, wherever it stands."""
        return os.environ.get(self.password_env, "") if self.password_env else self.password

    @model_validator(mode="after")
    def _one_password(self) -> "WithPassword":
        if self.password and self.password_env:
            raise ValueError("give either password or password_env")
        return self


class WithPasswordAtHand(WithPassword):
    """A table of which the file makes no sense without the password."""

    @model_validator(mode="after")
    def _password_at_hand(self) -> "WithPasswordAtHand":
        if self.password_env and self.password_env not in os.environ:
            raise ValueError(f"password_env names {self.password_env}, which is not in the environment")
        return self


def mistakes(file: Path, text: str, error: ValidationError) -> list[str]:
    """What is wrong with `file`, whose content is `text`: a sentence for each mistake, with line and key.

    Of several tables of one name (`[[person]]`) people count the first as 1.
    """
    sentences = []
    for problem in error.errors():
        keys = problem["loc"]
        line = _line_of(text, keys)
        where = f"{file}:{line}" if line else f"{file}"
        key = ".".join(str(one + 1) if isinstance(one, int) else one for one in keys)
        match problem["type"]:
            case "missing":
                what = "is missing"
            case "extra_forbidden":
                what = "is not a known key"
            case "path_type":
                what = "must be the name of a file"
            case _:
                what = problem["msg"].removeprefix("Value error, ")
        sentences.append(f"{where}: {key or 'the file'}: {what}")
    return sentences


def _line_of(text: str, keys: tuple[int | str, ...]) -> int | None:
    """The line of a key, or of its table when the key is not there."""
    table_line = None
    table: tuple[int | str, ...] = ()
    before: Counter[str] = Counter()
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*(\[+)\s*([^\]]+?)\s*\]", line):
            brackets, name = header.groups()
            table = tuple(name.split("."))
            if brackets == "[[":
                table = (*table, before[name])
                before[name] += 1
            if keys[: len(table)] == table:
                table_line = number
        elif (entry := re.match(r"\s*([\w-]+)\s*=", line)) and (*table, entry.group(1)) == keys:
            return number
    return table_line
