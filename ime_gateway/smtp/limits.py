"""How much one worker takes at a time, and how connections spread over workers.

Four long-lived connections of an Exchange server must not all end in one worker, so workers see each other's counts
in shared memory and the least busy one accepts.
"""

from collections.abc import MutableSequence

NOT_SERVING = -1
"""The count of a worker that takes no connections now (not started, draining, dead)."""


class MemoryBudget:
    """Message bytes that this worker holds, over all its sessions; beyond the limit messages hear 452 4.3.1."""

    def __init__(self, limit: int, whole: "MemoryBudget | None" = None) -> None:
        """With `whole` this is a part of it: what is held here counts there as well."""
        self.limit = limit
        self.used = 0
        self._whole = whole

    def part(self, limit: int) -> "MemoryBudget":
        """A budget inside this one, of at most `limit` bytes: for peers who must never use all of it."""
        return MemoryBudget(limit, self)

    def has_room(self, size: int) -> bool:
        """Would a message of `size` bytes fit now?"""
        return self.used + size <= self.limit and (self._whole is None or self._whole.has_room(size))

    def hold(self, size: int) -> None:
        """Count `size` bytes more, or with a negative number fewer."""
        self.used += size
        if self._whole is not None:
            self._whole.hold(size)

    def reservation(self) -> "Reservation":
        """An empty share for one message."""
        return Reservation(self)


class Reservation:
    """One message's share of the budget; grows with the message, given back in one piece."""

    __slots__ = ("_budget", "size")

    def __init__(self, budget: MemoryBudget) -> None:
        self._budget = budget
        self.size = 0

    def grow_to(self, size: int) -> bool:
        """Hold `size` bytes from now on; False (and nothing changes) when the worker has no room."""
        more = size - self.size
        if more > 0 and not self._budget.has_room(more):
            return False
        self._budget.hold(more)
        self.size = size
        return True

    def release(self) -> None:
        """Give everything back."""
        self._budget.hold(-self.size)
        self.size = 0


class ConnectionBoard:
    """The connection counts of all workers, one slot each; a worker writes only its own.

    counts: shared memory that every worker has mapped (`multiprocessing.RawArray("i", workers)`), or a plain list
    for one worker.
    """

    def __init__(self, counts: MutableSequence[int], slot: int) -> None:
        self._counts = counts
        self._slot = slot
        self._counts[slot] = 0

    @property
    def mine(self) -> int:
        """Open connections of this worker."""
        return self._counts[self._slot]

    def enter(self) -> None:
        """A connection was accepted."""
        self._counts[self._slot] += 1

    def leave(self) -> None:
        """A connection has ended."""
        if self._counts[self._slot] > 0:
            self._counts[self._slot] -= 1

    def retire(self) -> None:
        """This worker accepts no more; the others need not wait for it."""
        self._counts[self._slot] = NOT_SERVING

    def is_my_turn(self) -> bool:
        """No serving worker has fewer connections than this one."""
        return self.mine <= min((count for count in self._counts if count > NOT_SERVING), default=0)
