"""Registries of networks, losses, optimisers, schedules and metrics by name.

    LOSSES: Registry[Loss] = Registry("loss")

    @LOSSES.register("dice")
    def dice_loss(logits: Tensor, target: Tensor) -> Tensor: ...

    LOSSES["dice"](logits, target)

The type checker checks each entry against the type of its registry.
"""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterable, Iterator
from importlib import import_module
from pkgutil import iter_modules
from typing import Generic, TypeVar

from boneseg._util.text import nearest
from boneseg.errors import UsageError

T = TypeVar("T")


class Registry(Generic[T]):
    """Entries of one type by name, in the order of their registration.

    kind: what an entry is, in messages.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """A decorator that registers a function or class. Raises ValueError for a name in use."""

        def add(entry: T) -> T:
            if name in self._entries:
                raise ValueError(f"there is a {self.kind} named {name!r} already")
            self._entries[name] = entry
            return entry

        return add

    def __getitem__(self, name: str) -> T:
        """The entry of a name. Raises UsageError that lists the known names."""
        if name not in self._entries:
            hint = nearest(name, self.names)
            raise UsageError(
                f"no {self.kind} {name!r}{hint}; choose from {', '.join(self._entries)}"
            )
        return self._entries[name]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._entries)

    def items(self) -> ItemsView[str, T]:
        return self._entries.items()

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def import_modules(package: str, path: Iterable[str]) -> None:
    """Import every module of a package, so that each registers what it defines.

    Called by the package itself: `import_modules(__name__, __path__)`.
    """
    for module in iter_modules(path, f"{package}."):
        import_module(module.name)
