"""The public edge: what a function is given is checked here before any work, with one sentence that names it.

Every check raises ValueError: "<name> is <value>, but must be <what is allowed>".
"""

from collections.abc import Container
from math import inf, isfinite
from numbers import Integral, Real
from typing import Any

import torch

FLOATS = (torch.float32, torch.float64)  # in half precision a small step does not move a weight


def number(name: str, value: Any, low=-inf, high=inf, *, above=-inf, below=inf, whole: bool = False) -> Any:
    """A finite number in a range, also one of NumPy or a tensor of one element, as Python's own."""
    plain = value.item() if getattr(value, "ndim", None) == 0 else value
    good = isinstance(plain, Integral if whole else Real) and isfinite(plain)
    if not (good and low <= plain <= high and above < plain < below):
        bounds = {"at least": low, "at most": high, "above": above, "below": below}
        said = [f"{word} {bound:g}" for word, bound in bounds.items() if isfinite(bound)]
        raise ValueError(
            f"{name} is {plain!r}, but must be {' and '.join(['a whole number' if whole else 'finite', *said])}"
        )
    return plain


def one_of(name: str, value: Any, allowed: Container) -> Any:
    """A value that is allowed."""
    if value not in allowed:
        raise ValueError(f"unknown {name} {value!r}: choose one of {', '.join(map(str, allowed))}")
    return value


def shape(name: str, array: Any, *axes: str, **known: int) -> dict[str, int]:
    """Sizes by the names of the axes, none empty; a name that is known, or comes twice, has one size."""
    found = dict(known)
    fits = array.ndim == len(axes) and 0 not in array.shape
    if not (fits and all(found.setdefault(axis, size) == size for axis, size in zip(axes, array.shape, strict=True))):
        wanted = ", ".join(str(known.get(axis, axis)) for axis in axes)
        raise ValueError(f"shape of {name} is {tuple(array.shape)}, but must be ({wanted}), no axis empty")
    return found
