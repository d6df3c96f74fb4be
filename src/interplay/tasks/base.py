"""What all tasks share: the draw, the grid of steps, the check of fields."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import torch
from torch import Tensor

from .. import edge


class Trials(NamedTuple):
    """Inputs (time, network, trial, n_in), targets and mask (time, network, trial, n_out); mask holds 0 or 1."""

    inputs: Tensor
    targets: Tensor
    mask: Tensor


@dataclass(frozen=True, kw_only=True)
class Task:
    """What the tasks share: the draw, the grid of steps, the check of fields (ValueError for one out of range)."""

    dt: float = 0.5  # Euler step
    target: float = 0.5  # size of a target that is not 0
    n_in = property(lambda self: len(self.inputs), doc="Number of input channels.")
    n_out = property(lambda self: len(self.outputs), doc="Number of output channels.")

    def trials(
        self, n_trials: int, generators: Sequence[torch.Generator], device="cpu", dtype: torch.dtype = torch.float32
    ) -> Trials:
        """Random trials, one network a generator, drawn where the generators live; dtype does not change a trial.

        Draws of a network: uniform numbers (row, trial), rows in the order of `_trials`, then noise if the task has it.
        Raises ValueError for n_trials < 1, or generators that are none or of another type.
        """
        edge.number("n_trials", n_trials, 1, whole=True)
        if not len(generators) or not all(isinstance(each, torch.Generator) for each in generators):
            raise ValueError(f"generators is {generators!r}, but must hold one torch.Generator a network, at least one")
        return self._trials(self._uniform(n_trials, generators).to(device), generators, dtype)

    def _uniform(self, n_trials: int, generators: Sequence[torch.Generator]) -> Tensor:
        return _draw(torch.rand, (self._rows, n_trials), generators, torch.float64)

    def _noise(self, steps: int, n_trials: int, generators: Sequence[torch.Generator]) -> Tensor:
        return _draw(torch.randn, (steps, n_trials, 2), generators, torch.float32)

    def _steps(self, duration: float | str) -> int:
        duration = getattr(self, duration) if isinstance(duration, str) else duration
        return math.floor(duration / self.dt + 1e-9)  # 0.3 / 0.1 is a little less than 3

    def _uniform_steps(self, low_high: tuple[float, float], u: Tensor, extra: float = 0.0) -> Tensor:
        return torch.floor((low_high[0] + (low_high[1] - low_high[0]) * u + extra) / self.dt + 1e-9).long()

    def __post_init__(self):
        edge.euler_step(self.dt, f"{self.name}: dt")
        at_least = dict.fromkeys(("pulse", "stimulus", "decision"), self.dt) | {"coherences": 1e-3}
        for field in fields(self):
            self._demand(field.name, at_least.get(field.name, 0.0))

    def _demand(self, name: str, low: float, high: float = math.inf) -> None:
        value, many = getattr(self, name), isinstance(self.__dataclass_fields__[name].default, tuple)
        pair, said = many and name not in ("coherences", "drifts"), f"{self.name}: {name}"
        if many and not (isinstance(value, tuple) and (len(value) == 2 if pair else value)):
            what = "a pair (low, high)" if pair else "a tuple"
            raise ValueError(f"{said} is {value!r}, but must be {what} of numbers at least {low:g}")
        for x in (several := value if many else (value,)):
            edge.number(said, x, low, high)
        if pair:
            edge.number(said, several[1], several[0])


def _draw(kind: Callable, size: tuple[int, ...], generators: Sequence[torch.Generator], dtype: torch.dtype) -> Tensor:
    """One draw a generator, stacked as networks along the second axis."""
    return torch.stack([kind(size, generator=each, device=each.device, dtype=dtype) for each in generators], dim=1)
