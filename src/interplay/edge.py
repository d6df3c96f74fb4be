"""The public edge: what a function is given is checked here before any work, with one sentence that names it.

Every check raises ValueError: "<name> is <value>, but must be <what is allowed>", and gives back what is worked with.
"""

import warnings
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from math import inf, isfinite
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

FLOATS = (torch.float32, torch.float64)  # in half precision a small step does not move a weight


def number(name: str, value: Any, low=-inf, high=inf, *, above=-inf, below=inf, whole=False, unit: str = "") -> Any:
    """A finite number in a range, also one of NumPy or a tensor of one element, as Python's own."""
    plain = value.item() if getattr(value, "ndim", None) == 0 else value
    good = isinstance(plain, Integral if whole else Real) and isfinite(plain)
    if not (good and low <= plain <= high and above < plain < below):
        bounds = {"at least": low, "at most": high, "above": above, "below": below}
        bounds = {"exactly": low} if low == high else bounds
        said = [f"{word} {bound:g}" for word, bound in bounds.items() if isfinite(bound)]
        wanted = " and ".join(["a whole number" if whole else "finite", *said]) + unit
        raise ValueError(f"{name} is {plain!r}, but must be {wanted}")
    return plain


def several(value: Any) -> list:
    """A list of what is given; of one, where that is not a sequence."""
    many = isinstance(value, Iterable) and not isinstance(value, str | dict) and getattr(value, "ndim", 1)
    return list(value) if many else [value]


def euler_step(dt: Any, name: str = "Euler step dt") -> float:
    """An Euler step, one rule for tasks and networks."""
    return number(name, dt, 1e-3, 1, unit=" neuronal time constants")


def one_of(name: str, value: Any, allowed: Collection) -> Any:
    """A value that is allowed."""
    if value not in allowed:
        raise ValueError(f"unknown {name} {value!r}: choose one of {', '.join(map(str, allowed))}")
    return value


def plain(value: Any) -> Tensor:
    """A tensor, also of an array; where and as it is, but a copy of one of inference mode, which autograd refuses."""
    value = value if isinstance(value, Tensor) else torch.as_tensor(value)
    return value.clone() if value.is_inference() and not torch.is_inference_mode_enabled() else value


def array(value: Any) -> np.ndarray:
    """A float64 array of numbers, arrays or a tensor, of whatever precision, device and gradient."""
    return np.asarray(value.double().numpy(force=True) if isinstance(value, Tensor) else value, float)


def tensor(name: str, value: Any, *axes: str, widen: bool = False, **known: int) -> Tensor:
    """A tensor of float32 or float64, also from an array, its axes as in `shape`; `widen` makes float32 of others."""
    value = plain(value)
    value = value.float() if widen and value.dtype not in FLOATS and not value.is_complex() else value
    one_of(f"dtype of {name}", value.dtype, FLOATS)
    if axes:
        shape(name, value, *axes, **known)
    return value


def shape(name: str, array: Any, *axes: str, **known: int) -> dict[str, int]:
    """Sizes by the names of the axes, none empty; a name that is known, or comes twice, has one size.

    A first name "..." stands for any number of axes.
    """
    sizes, found = tuple(array.shape), dict(known)
    named = axes[1:] if axes[0] == "..." else axes
    last = sizes[len(sizes) - len(named) :] if axes[0] == "..." else sizes
    fits = len(last) == len(named) and 0 not in sizes
    if not (fits and all(found.setdefault(axis, size) == size for axis, size in zip(named, last, strict=True))):
        wanted = ", ".join(str(known.get(axis, axis)) for axis in axes)
        raise ValueError(f"shape of {name} is {sizes}, but must be ({wanted}), no axis empty")
    return found


def diverged(history: Tensor, names: Sequence[str]) -> dict[str, int]:
    """The first epoch of every network whose loss (epoch, network) was not finite, said in a warning."""
    when = {name: int(gone.int().argmax()) for name, gone in zip(names, ~history.isfinite().mT) if gone.any()}
    if when:
        warnings.warn("diverged: " + "; ".join(f"{name} at epoch {k}" for name, k in when.items()), stacklevel=3)
    return when


@contextmanager
def whole_precision() -> Iterator[None]:
    """Without autocast, whatever mode the caller is in; also as a decorator."""
    with torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
        yield
