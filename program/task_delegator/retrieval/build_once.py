"""Thread-safe cache that builds each value once and keeps the last few."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from ..system import Lock

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class BuildOnce(Generic[K, V]):
    """Values by key, each made once however many threads ask; the last few are held.

    Args:
        make: a key's value.
        most: how many are held; those that were not asked for longest go.
    """

    def __init__(self, make: Callable[[K], V], most: int) -> None:
        self._make = make
        self._most = most
        self._lock = Lock()  # held for an instant
        self._values: OrderedDict[K, V] = OrderedDict()
        self._making: dict[K, Lock] = {}

    def __len__(self) -> int:
        """Return how many values are held."""
        return len(self._values)

    def held(self) -> dict[K, V]:
        """Return the values that are held, the one asked for last at the end."""
        with self._lock:
            return dict(self._values)

    def __call__(self, key: K) -> V:
        """Return the key's value; who asks for one that is being made waits."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
            making = self._making.setdefault(key, Lock())
        with making:
            made = self.held()
            return made[key] if key in made else self._hold(key, self._make(key))

    def _hold(self, key: K, value: V) -> V:
        with self._lock:
            self._making.pop(key, None)
            self._values[key] = value
            if len(self._values) > self._most:
                self._values.popitem(last=False)
        return value
