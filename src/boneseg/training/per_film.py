"""What each film of a batch has for itself: computed as if it were alone.

    films = PerFilm(films.split(1))
    outputs = network(films)              # PerFilm: the network sees one film, 1 x C x H x W
    first, *others = outputs.parts

PyTorch rounds a film in other ways in a batch of another size: libraries choose another kernel, and
sums over a batch have another order. Film by film, nothing depends on the rest of the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from boneseg.errors import UsageError


class PerFilm(Tensor):
    """A tensor for each film; PyTorch's functions take and return those of one film after another.

    Its shape, dtype and device are those of one of its `parts`, which are alike.
    """

    parts: tuple[Tensor, ...]

    def __new__(cls, parts: Sequence[Tensor]) -> PerFilm:
        one = parts[0]
        made = Tensor._make_wrapper_subclass(cls, one.shape, dtype=one.dtype, device=one.device)
        made.parts = tuple(parts)
        return made

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., object],
        types: Sequence[type],
        args: tuple[object, ...] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        if not torch.is_grad_enabled():
            raise UsageError(
                "run.batch_invariant: the network computes a part of itself without gradients or "
                "in an autograd.Function, which is not possible film by film"
            )
        named = dict(kwargs or {})
        found = []
        for film in range(_count([*args, *named.values()])):
            theirs = {name: _of_film(value, film) for name, value in named.items()}
            found.append(func(*(_of_film(value, film) for value in args), **theirs))
        return _joined(found)

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]  # PyTorch's is no class method
        cls, func: object, types: object, args: object = (), kwargs: object = None
    ) -> object:
        raise TypeError(f"{func}: has no films")  # it holds no values of its own


def parts_of(tensor: Tensor, count: int = 1) -> tuple[Tensor, ...]:
    """The parts of a PerFilm; `count` times the tensor if it is none."""
    return tensor.parts if isinstance(tensor, PerFilm) else (tensor,) * count


def _count(values: object) -> int:
    """The number of films of values that are nested in lists and tuples; 0 if they have none."""
    if isinstance(values, PerFilm):
        return len(values.parts)
    if isinstance(values, list | tuple):
        return max(map(_count, values), default=0)
    return 0


def _of_film(value: object, film: int) -> object:
    """The value of one film, also nested in lists and tuples."""
    if isinstance(value, PerFilm):
        return value.parts[film]
    if type(value) is list:
        return [_of_film(each, film) for each in value]
    if type(value) is tuple:
        return tuple(_of_film(each, film) for each in value)
    return value


def _joined(found: Sequence[object]) -> object:
    """The results of all films as one; those that are no tensors, such as a shape, are alike."""
    tensors = [each for each in found if isinstance(each, Tensor)]
    if tensors:
        return PerFilm(tensors)
    several = [each for each in found if isinstance(each, list | tuple)]
    if several and not isinstance(several[0], torch.Size):
        return type(several[0])([_joined(each) for each in zip(*several, strict=True)])
    return found[0]
