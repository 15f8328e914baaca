"""Passwords of administrators: what is stored, what is accepted, what a broken account does."""

import os
import re

import pytest

from ime_gateway.admin.accounts import Account, Accounts, PasswordRefused, weakness
from ime_gateway.ports.registry import AdminAccount
from tests.doubles.admin_site import FAST
from tests.doubles.memory_registry import MemoryRegistry

GOOD = "seven quiet herons at dusk"


@pytest.fixture
def registry() -> MemoryRegistry:
    return MemoryRegistry()


@pytest.fixture
def accounts(registry: MemoryRegistry) -> Accounts:
    return Accounts(registry, os.urandom, FAST)


def test_one_time_passwords_are_long_and_never_the_same(accounts: Accounts) -> None:
    first, second = accounts.create("ada"), accounts.create("bea")
    assert first != second
    assert all(re.fullmatch(r"([0-9a-hjkmnp-tv-z]{5}-){3}[0-9a-hjkmnp-tv-z]{5}", one) for one in (first, second))


def test_the_store_holds_argon2id_with_the_memory_of_rfc_9106(registry: MemoryRegistry) -> None:
    Accounts(registry, os.urandom).create("ada")
    stored = registry.admin("ada")
    assert stored is not None
    assert stored.password_hash.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert stored.must_change


def test_login_and_own_password(accounts: Accounts) -> None:
    first = accounts.login("ada", accounts.create("ada"))
    assert first is not None and first.must_change
    changed = accounts.change_password("ada", None, GOOD)
    assert isinstance(changed, Account) and not changed.must_change and changed.stamp != first.stamp
    assert accounts.login("ADA", GOOD) == changed == accounts.find("ada")
    assert accounts.login("ada", GOOD + " ") is None
    assert accounts.login("ada", "") is None


def test_a_password_of_ones_own_is_not_replaced_without_it(accounts: Accounts) -> None:
    accounts.create("ada")
    accounts.change_password("ada", None, GOOD)
    for current in (None, "", "wrong"):
        refused = accounts.change_password("ada", current, "another long password of mine")
        assert isinstance(refused, PasswordRefused) and refused.guess
    assert isinstance(accounts.change_password("ada", GOOD, "another long password of mine"), Account)
    assert isinstance(accounts.change_password("nobody", GOOD, GOOD), PasswordRefused)


def test_two_keyboards_one_password(accounts: Accounts) -> None:
    accounts.create("ada")
    accounts.change_password("ada", None, "caf\u00e9 au lait at seven")
    assert accounts.login("ada", "cafe\u0301 au lait at seven") is not None


@pytest.mark.parametrize("broken", ["", "x", "$argon2id$v=19$m=64,t=1,p=1$x$y", "$2b$12$" + "a" * 53])
def test_an_unreadable_hash_lets_nobody_in(registry: MemoryRegistry, accounts: Accounts, broken: str) -> None:
    registry.put_admin(AdminAccount("ada", broken, must_change=True))
    assert accounts.login("ada", broken) is None
    assert accounts.login("ada", "") is None


def test_endless_passwords_cost_no_more_than_long_ones(accounts: Accounts) -> None:
    accounts.create("ada")
    longest = "".join(chr(97 + n % 26) for n in range(256))
    assert isinstance(accounts.change_password("ada", None, longest), Account)
    assert accounts.login("ada", longest) is not None
    assert accounts.login("ada", longest + "x" * 1_000_000) is None, "what was cut off does not count as equal"


@pytest.mark.parametrize("password", [GOOD, "orbit lantern 42 mosaic", "日本語のパスワードは長いです", "xK9#mQ2$vL5!"])
def test_good_passwords(password: str) -> None:
    assert weakness("ada", password) == ""


@pytest.mark.parametrize(
    "password",
    ["", "a" * 40, "12345678901234", "Password1234", "passwordpassword", "qwertyqwerty1", "adalovelaceadalovelace"],
)
def test_bad_passwords(password: str) -> None:
    assert weakness("adalovelace", password).endswith(".")


def test_every_change_is_audited(registry: MemoryRegistry, accounts: Accounts) -> None:
    accounts.create("ada")
    accounts.change_password("ada", None, GOOD)
    accounts.reset("ada")
    with registry.transaction(write=False) as live:
        lines = [(line.actor, line.action, line.detail) for line in reversed(live.audit_lines())]
    assert lines == [
        ("command-line", "account-created", "ada"),
        ("ada", "password-changed", "ada"),
        ("command-line", "password-reset", "ada"),
    ]
