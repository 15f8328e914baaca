"""What the tables of our TOML files have in common: nothing unknown in them, and passwords that no text shows."""

import os

from pydantic import BaseModel, ConfigDict, Field, model_validator


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
