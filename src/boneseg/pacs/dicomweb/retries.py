"""Exponential backoff: retry after 10 s, then twice as long each time, at most an hour."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Iterable

FIRST, LONGEST = 10.0, 3600.0  # seconds


class Retries:
    """When films, series and studies that failed are due again, by a key."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failed: dict[Hashable, tuple[float, float]] = {}  # the last pause, and its end

    def failed(self, key: Hashable) -> None:
        """Schedule a retry."""
        pause = min(2 * self._failed[key][0], LONGEST) if key in self._failed else FIRST
        self._failed[key] = pause, self._clock() + pause

    def give_up(self, key: Hashable) -> None:
        """Never retry."""
        self._failed[key] = math.inf, math.inf

    def done(self, key: Hashable) -> None:
        """Forget a key that succeeded."""
        self._failed.pop(key, None)

    def is_due(self, key: Hashable) -> bool:
        """Whether a key may be tried now."""
        return self._clock() >= self.when(key)

    def when(self, key: Hashable) -> float:
        """When a key is due, on the clock; -inf for one that has not failed."""
        return self._failed[key][1] if key in self._failed else -math.inf

    def next(self, keys: Iterable[Hashable]) -> float:
        """When the first failed key is due; inf where there is none."""
        return min((self.when(key) for key in keys if key in self._failed), default=math.inf)
