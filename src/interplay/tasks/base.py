"""What all tasks share: the draw, the grid of steps, the check of fields."""

import ast
import inspect
import math
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from hashlib import sha256
from textwrap import dedent
from typing import NamedTuple

import torch
from torch import Tensor

from .. import edge


class Trials(NamedTuple):
    """Inputs (time, network, trial, n_in), targets and mask (time, network, trial, n_out); mask holds 0 or 1."""

    inputs: Tensor
    targets: Tensor
    mask: Tensor


TASKS: dict[str, type["Task"]] = {}  # by name, in the order in which they were defined


@dataclass(frozen=True, kw_only=True)
class Task:
    """A task; a subclass that says these is one of `tasks.TASKS`, and can be drawn, trained, kept and loaded.

    name   : what it is called, letters, digits and dashes; a name that is taken raises ValueError
    inputs, outputs: what each channel is called, tuples of text
    n_steps: Euler steps of a trial; `steps` gives those of a duration
    rows   : uniform numbers that a trial takes
    draw(u, generators, dtype): `Trials` of that dtype from u (row, network, trial), uniform in [0, 1), float64; what
             else is random is drawn from the generators, one a network
    Its fields, if it has any and is a dataclass, are numbers at least 0 or pairs (low, high) of them: ValueError.
    """

    dt: float = 0.5  # Euler step
    target: float = 0.5  # size of a target that is not 0
    n_in = property(lambda self: len(self.inputs), doc="Number of input channels.")
    n_out = property(lambda self: len(self.outputs), doc="Number of output channels.")

    def __init_subclass__(cls):
        if (name := cls.__dict__.get("name")) is None:  # a variant of a task that has one
            return
        if not re.fullmatch(r"[\w-]+", name):
            raise ValueError(f"name of a task is {name!r}, but must be letters, digits and dashes")
        same = [(each.__module__, each.__qualname__) for each in (TASKS.get(name, cls), cls)]
        if same[0] != same[1]:  # else a cell that runs again
            raise ValueError(f"task {name!r} is {'.'.join(same[0])} already: choose another name")
        TASKS[name] = cls

    @classmethod
    def code(cls) -> str:
        """Digest of what the class and its bases below `Task` define; what these call elsewhere is not seen.

        Raises ValueError for a method whose source cannot be read, as of a class typed at a prompt.
        """
        found = []
        for each in cls.__mro__[: cls.__mro__.index(Task)]:
            for name, held in sorted(vars(each).items()):
                function = getattr(held, "fget", getattr(held, "__func__", held))
                if not name.startswith("__"):
                    found += [name, _source(f"{cls.name}: {name}", function) if callable(function) else repr(held)]
        return sha256("\0".join(found).encode()).hexdigest()[:16]

    def trials(
        self, n_trials: int, generators: Sequence[torch.Generator], device="cpu", dtype: torch.dtype = torch.float32
    ) -> Trials:
        """Random trials, one network a generator, drawn where the generators live; dtype does not change a trial.

        Draws of a network: uniform numbers (row, trial), rows in the order of `draw`, then noise if the task has it.
        Raises ValueError for n_trials < 1, generators that are none or of another type, or trials of a wrong shape.
        """
        edge.number("n_trials", n_trials, 1, whole=True)
        generators = edge.several(generators)
        if not generators or not all(isinstance(each, torch.Generator) for each in generators):
            raise ValueError(f"generators is {generators!r}, but must hold one torch.Generator a network, at least one")
        drawn = Trials(*self.draw(self._uniform(n_trials, generators).to(device), generators, dtype))
        sizes = {"time": self.n_steps, "network": len(generators), "trial": n_trials}
        for what, part, channels in zip(Trials._fields, drawn, (self.n_in, self.n_out, self.n_out), strict=True):
            edge.shape(f"{what} of {self.name}", part, *sizes, "channel", **sizes, channel=channels)
        return drawn

    def _uniform(self, n_trials: int, generators: Sequence[torch.Generator]) -> Tensor:
        return _draw(torch.rand, (self.rows, n_trials), generators, torch.float64)

    def _noise(self, steps: int, n_trials: int, generators: Sequence[torch.Generator]) -> Tensor:
        return _draw(torch.randn, (steps, n_trials, 2), generators, torch.float32)

    def steps(self, duration: float | str) -> int:
        """Euler steps of a duration, or of the field of that name."""
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


def _source(name: str, function: Callable) -> str:
    """Source without comments where it stands alone, as written if not."""
    try:
        text = dedent(inspect.getsource(function))
    except (OSError, TypeError):
        raise ValueError(f"source of {name} cannot be read: define the task in a file or a notebook") from None
    with suppress(SyntaxError):  # of a part of an expression
        return ast.unparse(ast.parse(text))
    return text


def _draw(kind: Callable, size: tuple[int, ...], generators: Sequence[torch.Generator], dtype: torch.dtype) -> Tensor:
    """One draw a generator, stacked as networks along the second axis."""
    return torch.stack([kind(size, generator=each, device=each.device, dtype=dtype) for each in generators], dim=1)
