"""Who may enter the administrators' site: passwords are checked, made and changed here.

An administrator can add trust anchors and read who writes to whom, so the door is as strong as the
rest of the gateway. The rules are those of NIST SP 800-63B section 3.1.1.2: length counts,
composition does not, well-known passwords are refused, and a name that does not exist costs a
visitor as much time as a wrong password (OWASP ASVS 5.0, 6.3.8).
"""

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from threading import Lock

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from ime_gateway.base.errors import UserError
from ime_gateway.ports.clock import Randomness
from ime_gateway.ports.registry import AdminAccount, Registry

MINIMUM_LENGTH = 12
"""Characters; NIST asks for 8 with a second factor and 15 without, OWASP ASVS 6.2.1 for 8."""
MAXIMUM_LENGTH = 256
"""Characters; long enough for any sentence, short enough that nobody can make us hash a book."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}")
_ONE_TIME_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: can be read out over the telephone
_ONE_TIME_GROUPS = 4
_ONE_TIME_GROUP_LENGTH = 5
_WELL_KNOWN = (
    "password", "passwort", "qwerty", "qwertz", "azerty", "letmein", "welcome", "administrator",
    "admin", "changeme", "iloveyou", "1234567890", "123456789", "0987654321", "abcdefghijkl",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Account:
    """A person who has proved who they are, or an account that was looked up; never the hash."""

    name: str
    must_change: bool
    """The password is a one-time password: nothing but choosing a new one is allowed."""
    stamp: str
    """Changes whenever the password does, so that older web sessions end (OWASP ASVS 7.4.3)."""


@dataclass(frozen=True, slots=True)
class PasswordRefused:
    """The password was not changed; `sentence` tells the person what to do."""

    sentence: str
    guess: bool = False
    """The current password was wrong, which counts like a failed login."""


class Accounts:
    """Login and passwords of administrators. Every method may raise StoreUnavailable."""

    def __init__(self, registry: Registry, randomness: Randomness, hasher: PasswordHasher | None = None) -> None:
        self._registry = registry
        self._randomness = randomness
        # argon2id with the parameters of RFC 9106 section 4, second choice (64 MiB).
        self._hasher = hasher or PasswordHasher()
        # One hash at a time: the memory that strangers can make us use stays at one hash's 64 MiB.
        self._one_at_a_time = Lock()
        self._nobody = self._hasher.hash(randomness(16).hex())

    def create(self, name: str) -> str:
        """Add an account; returns its one-time password, which is shown once and stored nowhere.
        Raises UserError when the name is taken or unfit."""
        key = account_key(name)
        if not _NAME.fullmatch(key):
            raise UserError("An account name has 1 to 64 characters: letters, digits and . _ @ + - are allowed.")
        if self._registry.admin(key) is not None:
            raise UserError(f"There is an account called {key} already; give it a new one-time password instead.")
        return self._put_one_time(key, "account-created")

    def reset(self, name: str) -> str:
        """Replace a forgotten password by a one-time password, and return that.
        Raises UserError when there is no such account."""
        key = account_key(name)
        if self._registry.admin(key) is None:
            raise UserError(f"There is no account called {key}.")
        return self._put_one_time(key, "password-reset")

    def find(self, name: str) -> Account | None:
        """The account of that name, for a session that is already logged in."""
        stored = self._registry.admin(account_key(name))
        return None if stored is None else _account(stored)

    def login(self, name: str, password: str) -> Account | None:
        """The account when name and password fit together, else None.

        Unknown names are checked against a password that nobody knows, so that neither the answer
        nor its time tells which names exist. How often may be tried is the door's business.
        """
        stored = self._registry.admin(account_key(name))
        fits = self._fits(self._nobody if stored is None else stored.password_hash, password)
        return _account(stored) if stored is not None and fits else None

    def change_password(self, name: str, current: str | None, new: str) -> Account | PasswordRefused:
        """Set a person's own new password.

        `current` may be None only while the password is a one-time password: typing it a moment
        ago was proof enough.
        """
        stored = self._registry.admin(account_key(name))
        if stored is None:
            return PasswordRefused("This account no longer exists.")
        if not (stored.must_change and current is None) and not self._fits(stored.password_hash, current or ""):
            return PasswordRefused("The current password is not right.", guess=True)
        if sentence := weakness(stored.name, new):
            return PasswordRefused(sentence)
        if self._fits(stored.password_hash, new):
            return PasswordRefused("That is the password you have now; choose another one.")
        changed = AdminAccount(stored.name, self._hash(new), must_change=False)
        self._put(changed, actor=stored.name, action="password-changed")
        return _account(changed)

    def _put_one_time(self, key: str, action: str) -> str:
        password = one_time_password(self._randomness)
        self._put(AdminAccount(key, self._hash(password), must_change=True), actor="command-line", action=action)
        return password

    def _put(self, account: AdminAccount, *, actor: str, action: str) -> None:
        self._registry.put_admin(account)
        with self._registry.transaction(write=True) as transaction:
            transaction.audit(actor, action, account.name)

    def _hash(self, password: str) -> str:
        with self._one_at_a_time:
            return self._hasher.hash(_prepared(password))

    def _fits(self, password_hash: str, password: str) -> bool:
        # A longer one was never accepted, so cutting it cannot make a wrong password right.
        attempt = _prepared(password[: MAXIMUM_LENGTH + 1])
        with self._one_at_a_time:
            try:
                return self._hasher.verify(password_hash, attempt)
            except (VerificationError, InvalidHashError):
                return False


def account_key(name: str) -> str:
    """The form in which names are stored and compared: what people type differs in case and blanks."""
    return unicodedata.normalize("NFKC", name).strip().casefold()


def weakness(name: str, password: str) -> str:
    """Why a password is too weak to be chosen, as a sentence for the person; empty when it is fine."""
    if len(password) < MINIMUM_LENGTH:
        return f"The new password is too short; use {MINIMUM_LENGTH} characters or more. A sentence is fine."
    if len(password) > MAXIMUM_LENGTH:
        return f"The new password is too long; use {MAXIMUM_LENGTH} characters or fewer."
    plain = _prepared(password).casefold()
    # What people add to a well-known word to make it long enough adds nothing against a guesser.
    rest = plain
    for word in (*_WELL_KNOWN, name.casefold()):
        rest = rest.replace(word, "")
    if len(set(plain)) < 5 or len(rest) < MINIMUM_LENGTH // 2:
        return "The new password is easy to guess; use a few words that do not belong together."
    return ""


def _prepared(password: str) -> str:
    """One form for one password, whichever keyboard typed it (NIST SP 800-63B section 3.1.1.2)."""
    return unicodedata.normalize("NFKC", password)


def one_time_password(randomness: Randomness) -> str:
    """100 bits, in groups that can be typed from paper."""
    digits = [_ONE_TIME_ALPHABET[byte & 31] for byte in randomness(_ONE_TIME_GROUPS * _ONE_TIME_GROUP_LENGTH)]
    starts = range(0, len(digits), _ONE_TIME_GROUP_LENGTH)
    return "-".join("".join(digits[start : start + _ONE_TIME_GROUP_LENGTH]) for start in starts)


def _account(stored: AdminAccount) -> Account:
    stamp = hashlib.sha256(stored.password_hash.encode()).hexdigest()[:32]
    return Account(stored.name, stored.must_change, stamp)
