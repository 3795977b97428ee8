"""Which models compute where several want the same cores: each may always run once, and more only on cores left over.

More threads that compute than cores would take turns of some milliseconds, each with the other's values in the caches,
and a model of many instances would get more turns than its share. Knows neither models nor queues.
"""

import queue
import threading


class CoreShares:
    """The cores, and who computes on them. Used by the threads of all instances.

    Args:
        cores: how many there are.
    """

    def __init__(self, cores: int) -> None:
        self._cores = cores
        self._used = 0
        self._waiting: list[CoreShare] = []
        self.lock = threading.Lock()

    def share(self, threads: int) -> "CoreShare":
        """That of a model whose runs have so many threads each."""
        return CoreShare(self, threads)

    def take(self, share: "CoreShare") -> bool:
        """Let a run of this model begin, if it may; to be called with the lock."""
        others = self._used - share.used
        if share.used and others:
            is_turn_of_another = any(one.used < share.used for one in self._waiting)
            if is_turn_of_another or self._used + share.threads > self._cores:
                return False
        share.used += share.threads
        self._used += share.threads
        return True

    def give_back(self, share: "CoreShare") -> None:
        """A run of this model is over: others may begin, the one that has least first; to be called with the lock."""
        share.used -= share.threads
        self._used -= share.threads
        while self._waiting:
            first = min(self._waiting, key=lambda one: one.used)
            if not self.take(first):
                return
            self._waiting.remove(first)
            first.wake_one()

    def wait(self, share: "CoreShare") -> None:
        """Note that an instance of this model waits until a run may begin; to be called with the lock."""
        self._waiting.append(share)


class CoreShare:
    """One model's part of the cores.

    Attributes:
        threads: of a run.
        used: threads of its runs that are under way.
    """

    def __init__(self, shares: CoreShares, threads: int) -> None:
        self._shares = shares
        self._granted: queue.SimpleQueue[None] = queue.SimpleQueue()  # cheaper than a condition
        self.threads = threads
        self.used = 0

    def try_begin(self) -> bool:
        """Begin a run, if it may begin now; whoever began one says when it is over."""
        with self._shares.lock:
            return self._shares.take(self)

    def begin(self) -> None:
        """Wait until a run may begin, and begin it."""
        with self._shares.lock:
            if self._shares.take(self):
                return
            self._shares.wait(self)
        self._granted.get()

    def end(self) -> None:
        """A run is over."""
        with self._shares.lock:
            self._shares.give_back(self)

    def wake_one(self) -> None:
        """An instance that waits has begun."""
        self._granted.put(None)


def all_cores() -> CoreShare:
    """That of a model that shares with nobody, and so never waits: on a device of its own."""
    return CoreShares(1).share(1)
