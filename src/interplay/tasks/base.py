"""What all tasks share: the draw, the grid of steps, the check of fields."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import NamedTuple

import torch
from torch import Tensor


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
        if not isinstance(n_trials, Integral) or n_trials < 1:
            raise ValueError(f"n_trials is {n_trials!r}, but must be a whole number and at least 1")
        if not len(generators) or not all(isinstance(each, torch.Generator) for each in generators):
            raise ValueError(f"generators is {generators!r}, but must hold one torch.Generator a network, at least one")
        return self._trials(self._uniform(n_trials, generators).to(device), generators, dtype)

    def _uniform(self, n_trials: int, generators: Sequence[torch.Generator]) -> Tensor:
        size, kind = (self._rows, n_trials), {"dtype": torch.float64}
        return torch.stack([torch.rand(size, generator=each, device=each.device, **kind) for each in generators], dim=1)

    def _steps(self, duration: float | str) -> int:
        duration = getattr(self, duration) if isinstance(duration, str) else duration
        return math.floor(duration / self.dt + 1e-9)  # 0.3 / 0.1 is a little less than 3

    def _uniform_steps(self, low_high: tuple[float, float], u: Tensor, extra: float = 0.0) -> Tensor:
        return torch.floor((low_high[0] + (low_high[1] - low_high[0]) * u + extra) / self.dt + 1e-9).long()

    def __post_init__(self):
        self._demand("dt", 1e-3, high=1.0)
        for field in fields(self):
            one_step = dict.fromkeys(("pulse", "stimulus", "decision"), self.dt)
            at_least = (one_step | {"coherences": 1e-3}).get(field.name, 0.0)
            self._demand(
                field.name,
                at_least,
                pair=field.name not in ("coherences", "drifts") and isinstance(field.default, tuple),
            )

    def _demand(self, name: str, low: float, *, high: float = math.inf, pair: bool = False) -> None:
        value = getattr(self, name)
        several = value if isinstance(value, tuple) else (value,)
        good = several and all(isinstance(x, Real) and math.isfinite(x) and low <= x <= high for x in several)
        if not good or (pair and (len(several) != 2 or several[0] > several[1])):
            what = "a pair of finite numbers, low <= high," if pair else "finite and"
            allowed = f"from {low:g} to {high:g}" if high < math.inf else f"at least {low:g}"
            raise ValueError(f"{self.name}: {name} is {value!r}, but must be {what} {allowed}")
