"""When to try again what failed: after 10 s, then twice as long each time, at most an hour."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Iterable

FIRST, LONGEST = 10.0, 3600.0  # seconds


class Retries:
    """Films, series and studies by a key, and when each is due again."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failed: dict[Hashable, tuple[float, float]] = {}  # the last pause, and its end

    def failed(self, key: Hashable) -> None:
        """Try it again later."""
        pause = min(2 * self._failed[key][0], LONGEST) if key in self._failed else FIRST
        self._failed[key] = pause, self._clock() + pause

    def give_up(self, key: Hashable) -> None:
        """Never try it again."""
        self._failed[key] = math.inf, math.inf

    def done(self, key: Hashable) -> None:
        """It has succeeded."""
        self._failed.pop(key, None)

    def is_due(self, key: Hashable) -> bool:
        """Whether it may be tried now."""
        return self._clock() >= self.when(key)

    def when(self, key: Hashable) -> float:
        """When it may be tried, on the clock; in the past for what has not failed."""
        return self._failed[key][1] if key in self._failed else -math.inf

    def next(self, keys: Iterable[Hashable]) -> float:
        """When the first of those that failed is due; inf where none will be."""
        return min((self.when(key) for key in keys if key in self._failed), default=math.inf)
