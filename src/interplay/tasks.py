"""The three tasks of Schuessler et al. (2020): flip-flop, contextual integration (Mante), comparison (Romo).

A trial is a set of pulses and windows on a grid of Euler steps dt.  Times are in units of the neuronal time constant,
amplitudes are dimensionless; a duration lasts int(duration / dt) steps.  Tensors are (time, network, trial, channel).
Each network draws from its own generator alone: its trials do not depend on which others are simulated beside it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor


class Trials(NamedTuple):
    """Inputs (time, network, trial, n_in), targets and mask (time, network, trial, n_out); mask is 0 or 1, in floats."""

    inputs: Tensor
    targets: Tensor
    mask: Tensor


def _demand(task, low: float, *names: str, high: float = math.inf) -> None:
    for name in names:
        value = getattr(task, name)
        numbers = value if isinstance(value, tuple) else (value,)
        if not numbers or not all(isinstance(x, Real) and math.isfinite(x) and low <= x <= high for x in numbers):
            raise ValueError(f"{task.name} {name} is {value!r}, but must be finite and from {low:g} to {high:g}")


def _demand_range(task, name: str) -> None:
    value = getattr(task, name)
    if not (isinstance(value, tuple) and len(value) == 2 and value[0] <= value[1]):
        raise ValueError(f"{task.name} {name} is {value!r}, but must be a pair (low, high) with low <= high")


def _steps(duration: float, dt: float) -> int:
    return math.floor(duration / dt + 1e-9)  # 0.3 / 0.1 is a little less than 3


def _uniform(rows: int, n_trials: int, generators: Sequence[torch.Generator], device) -> Tensor:
    """Uniform numbers in [0, 1), (row, network, trial); always in float64, so that dtype does not change a trial."""
    if not isinstance(n_trials, Integral) or n_trials < 1:
        raise ValueError(f"n_trials is {n_trials!r}, but must be a whole number and at least 1")
    if not len(generators) or not all(isinstance(each, torch.Generator) for each in generators):
        raise ValueError(f"generators is {generators!r}, but must hold one torch.Generator a network, at least one")
    kind = {"dtype": torch.float64}
    drawn = [torch.rand(rows, n_trials, generator=each, device=each.device, **kind) for each in generators]
    return torch.stack(drawn, dim=1).to(device)


class _Task:
    """Names of a task and its sizes."""

    name: ClassVar[str]
    inputs: ClassVar[tuple[str, ...]]
    outputs: ClassVar[tuple[str, ...]]
    n_in = property(lambda self: len(self.inputs), doc="Number of input channels.")
    n_out = property(lambda self: len(self.outputs), doc="Number of output channels.")

    def _draw_steps(self, low_high: tuple[float, float], u: Tensor, extra: float = 0.0) -> Tensor:
        low, high = low_high
        return torch.floor((low + (high - low) * u + extra) / self.dt + 1e-9).long()

    def _clock(self, like: Tensor) -> Tensor:
        return torch.arange(self.n_steps, device=like.device)[:, None, None]


@dataclass(frozen=True)
class FlipFlop(_Task):
    """Remember channel and sign of the last pulse: four states, since the other output goes back to 0 (sheet, 3.1).

    dt, t_max, first: step, trial length, first onset; pulse: duration of a pulse; delay: from an onset to the first
    scored step; interval: (low, high) of the uniform draw that `delay` is added to, giving the time between onsets;
    amplitude, target: size of pulses and targets.  Raises ValueError for a field out of range, or pulses that overlap.
    """

    dt: float = 0.5
    t_max: float = 50.0
    first: float = 1.0
    pulse: float = 1.0
    delay: float = 5.0
    interval: tuple[float, float] = (5.0, 25.0)
    amplitude: float = 1.0
    target: float = 0.5
    name: ClassVar[str] = "flip-flop"
    inputs: ClassVar[tuple[str, ...]] = ("pulse 1", "pulse 2")
    outputs: ClassVar[tuple[str, ...]] = ("memory 1", "memory 2")
    n_steps = property(lambda self: _steps(self.t_max, self.dt), doc="Number of Euler steps of a trial.")
    chance = property(lambda self: self.target**2 / 4, doc="Expected loss of zero output: one of two outputs is set.")

    def __post_init__(self):
        _demand(self, 1e-6, "dt", high=1.0)
        _demand(self, self.dt, "pulse")
        _demand(self, 0.0, "first", "delay", "interval", "amplitude", "target")
        _demand_range(self, "interval")
        _demand(self, self.first + self.delay + self.dt, "t_max")
        _demand(self, self.pulse, "gap")

    @property
    def gap(self) -> float:
        """Shortest time between two onsets."""
        return self.delay + self.interval[0]

    def trials(
        self, n_trials: int, generators: Sequence[torch.Generator], device="cpu", dtype: torch.dtype = torch.float32
    ) -> Trials:
        """Random trials, one network a generator; draws: channels, signs, intervals of every pulse that may fit."""
        pulses = 1 + (self.n_steps - _steps(self.first, self.dt)) // _steps(self.gap, self.dt)
        u = _uniform(3 * pulses, n_trials, generators, device)
        channel, sign, interval = u.view(3, pulses, *u.shape[1:])
        steps = self._draw_steps(self.interval, interval, self.delay)
        return self._build((2 * channel).long(), 2 * torch.floor(2 * sign) - 1, steps, dtype)

    def test_trial(self) -> Trials:
        """The trial of Figure 1a: one network, one trial, of length 100."""
        interval = [16.55, 9.35, 14.80, 11.73, 12.17, 6.50, 13.06, 19.08, 13.19]
        channel, sign = [0, 0, 0, 1, 0, 1, 1, 0, 1], [-1.0, 1, 1, 1, -1, -1, -1, -1, 1]
        channel, sign, interval = (torch.tensor(row)[:, None, None] for row in (channel, sign, interval))
        steps = self._draw_steps((0.0, 1.0), interval.double(), self.delay)
        return replace(self, t_max=100.0)._build(channel, sign, steps, torch.float32)

    def _build(self, channel: Tensor, sign: Tensor, steps: Tensor, dtype: torch.dtype) -> Trials:
        """Trials from channel, sign and steps to the next onset of every pulse, each (pulse, network, trial)."""
        onset = _steps(self.first, self.dt) + steps.cumsum(0) - steps
        k = self._clock(onset)
        last = ((onset[:, None] <= k).sum(0) - 1).clamp_(min=0)  # pulse that each step belongs to
        since = (k - onset.gather(0, last))[..., None]  # negative before the first pulse
        cue = channel.gather(0, last)[..., None] == torch.arange(2, device=channel.device)
        cue = cue * sign.to(dtype).gather(0, last)[..., None]
        on = (since >= 0) & (since < _steps(self.pulse, self.dt))
        mask = (since >= _steps(self.delay, self.dt)).to(dtype) if self.delay else (since >= 0).to(dtype)
        return Trials(self.amplitude * cue * on, self.target * cue * mask, mask.repeat(1, 1, 1, 2))


@dataclass(frozen=True)
class Mante(_Task):
    """Report the sign of the cued one of two noisy evidence streams (sheet, 3.2).

    dt: step; fixation, stimulus, delay, decision: durations, in this order; coherences: sizes of the evidence, both
    signs; noise: std of the sensory white noise, noise / sqrt(dt) a step; amplitude, target: of context and target.
    Raises ValueError for a field out of range.
    """

    dt: float = 0.5
    fixation: float = 3.0
    stimulus: float = 20.0
    delay: float = 5.0
    decision: float = 20.0
    coherences: tuple[float, ...] = (0.125, 0.25, 0.5, 1.0)
    noise: float = 0.05
    amplitude: float = 1.0
    target: float = 0.5
    name: ClassVar[str] = "mante"
    inputs: ClassVar[tuple[str, ...]] = ("context 1", "context 2", "evidence 1", "evidence 2")
    outputs: ClassVar[tuple[str, ...]] = ("choice",)

    def __post_init__(self):
        _demand(self, 1e-6, "dt", high=1.0)
        _demand(self, self.dt, "stimulus", "decision")
        _demand(self, 0.0, "fixation", "delay", "noise", "amplitude", "target")
        _demand(self, 1e-6, "coherences")

    @property
    def windows(self) -> tuple[int, int, int, int]:
        """Steps of fixation, stimulus, delay and decision."""
        return tuple(_steps(part, self.dt) for part in (self.fixation, self.stimulus, self.delay, self.decision))

    n_steps = property(lambda self: sum(self.windows), doc="Number of Euler steps of a trial.")

    @property
    def chance(self) -> float:
        """Loss of zero output, the same in every trial."""
        fixation, stimulus, _, decision = self.windows
        return self.target**2 / 2 * decision / (fixation + stimulus + decision)

    def trials(
        self, n_trials: int, generators: Sequence[torch.Generator], device="cpu", dtype: torch.dtype = torch.float32
    ) -> Trials:
        """Random trials, one network a generator; draws: context, sizes and signs of both coherences, then noise."""
        u = _uniform(5, n_trials, generators, device)
        sizes = torch.tensor(self.coherences, device=u.device, dtype=dtype)
        coherence = sizes[(len(sizes) * u[1:3]).long()] * (2 * torch.floor(2 * u[3:5]) - 1).to(dtype)
        shape = (self.n_steps, n_trials, 2)
        noise = torch.stack([torch.randn(shape, generator=each, device=each.device) for each in generators], dim=1)
        return self._build((2 * u[0]).long(), coherence.movedim(0, -1), noise.to(u.device, dtype))

    def test_trial(self) -> Trials:
        """The trial of Figure 1b: coherences +1 and -1/2, context 2; its noise is drawn from seed 0."""
        noise = torch.randn(self.n_steps, 1, 1, 2, generator=torch.Generator().manual_seed(0))
        return self._build(torch.tensor([[1]]), torch.tensor([[[1.0, -0.5]]]), noise)

    def _build(self, context: Tensor, coherence: Tensor, noise: Tensor) -> Trials:
        """Trials from context (network, trial), coherence (network, trial, 2) and noise (time, network, trial, 2)."""
        fixation, stimulus, delay, _ = self.windows
        shown, answer = slice(fixation, fixation + stimulus), slice(fixation + stimulus + delay, None)
        cue = context[..., None] == torch.arange(2, device=context.device)
        inputs = noise.new_zeros(*noise.shape[:3], 4)
        inputs[shown, ..., :2] = self.amplitude * cue.to(noise.dtype)
        inputs[..., 2:] = self.noise / math.sqrt(self.dt) * noise
        inputs[shown, ..., 2:] += coherence
        targets = noise.new_zeros(*noise.shape[:3], 1)
        targets[answer] = self.target * torch.sign((coherence * cue).sum(-1, keepdim=True))
        mask = torch.ones_like(targets)
        mask[shown.stop : answer.start] = 0
        return Trials(inputs, targets, mask)


@dataclass(frozen=True)
class Romo(_Task):
    """Report which of two pulses, a random delay apart, was larger (sheet, 3.3).

    dt: step; fixation, pulse, decision_delay, decision: durations; delay: (low, high) of the uniform time between the
    pulses; amplitude: (low, high) of the uniform pulse sizes; gap: least difference of the two; target: size of the
    target.  The trial lasts as long as the longest delay needs.  Raises ValueError for a field out of range.
    """

    dt: float = 0.5
    fixation: float = 3.0
    pulse: float = 1.0
    delay: tuple[float, float] = (2.0, 8.0)
    decision_delay: float = 5.0
    decision: float = 10.0
    amplitude: tuple[float, float] = (0.5, 1.5)
    gap: float = 0.2
    target: float = 0.5
    name: ClassVar[str] = "romo"
    inputs: ClassVar[tuple[str, ...]] = ("stimulus",)
    outputs: ClassVar[tuple[str, ...]] = ("first larger", "second larger")

    def __post_init__(self):
        _demand(self, 1e-6, "dt", high=1.0)
        _demand(self, self.dt, "pulse", "decision")
        _demand(self, 0.0, "fixation", "delay", "decision_delay", "amplitude", "target")
        _demand_range(self, "delay")
        _demand_range(self, "amplitude")
        _demand(self, 0.0, "gap", high=self.amplitude[1] - self.amplitude[0])

    def _window(self, name: str) -> int:
        return _steps(getattr(self, name), self.dt)

    @property
    def n_steps(self) -> int:
        """Number of Euler steps of a trial, for the longest delay."""
        fixed = self._window("fixation") + self._window("decision_delay") + self._window("decision")
        return fixed + 2 * self._window("pulse") + _steps(self.delay[1], self.dt)

    @property
    def chance(self) -> float:
        """Expected loss of zero output: mean of the sum over the mean of the scored steps."""
        low, high = (each / self.dt + 1e-9 for each in self.delay)

        def area(x: float) -> float:  # integral of floor from 0 to x
            return math.floor(x) * (x - (math.floor(x) + 1) / 2)

        delay = (area(high) - area(low)) / (high - low) if high > low else math.floor(low)
        before, decision = self._window("fixation") + 2 * self._window("pulse") + delay, self._window("decision")
        return self.target**2 / 4 * decision / (before + decision)

    def trials(
        self, n_trials: int, generators: Sequence[torch.Generator], device="cpu", dtype: torch.dtype = torch.float32
    ) -> Trials:
        """Random trials, one network a generator; draws: delay, difference, smaller amplitude, order.

        Amplitudes obey U(low, high)^2 given |a1 - a2| >= gap without rejection: that region is two triangles of side
        `room`.  The difference d has density ~ (high - low - d), so high - low - d = room sqrt(u); given d, the smaller
        one is uniform over the high - low - d that is left; which comes first is a fair coin.
        """
        delay, difference, place, order = _uniform(4, n_trials, generators, device)
        low, high = self.amplitude
        left = (high - low - self.gap) * torch.sqrt(difference)
        small, large = low + left * place, low + left * place + (high - low - left)
        first = order < 0.5  # the first is larger
        pair = torch.stack([torch.where(first, large, small), torch.where(first, small, large)], dim=-1)
        return self._build(self._draw_steps(self.delay, delay), pair.to(dtype))

    def test_trial(self) -> Trials:
        """The trial of Figure 1c: delay 5, amplitudes 0.6 then 1.1."""
        return self._build(torch.tensor([[_steps(5.0, self.dt)]]), torch.tensor([[[0.6, 1.1]]]))

    def _build(self, delay: Tensor, pair: Tensor) -> Trials:
        """Trials from steps of delay (network, trial) and both amplitudes (network, trial, 2)."""
        pulse, fixation, k = self._window("pulse"), self._window("fixation"), self._clock(delay)
        onset = fixation + pulse + delay  # of the second pulse
        end = onset + pulse
        one, two = (k >= fixation) & (k < fixation + pulse), (k >= onset) & (k < end)
        answer = (k >= end + self._window("decision_delay")) & (k < end + self._window("decision_delay") + self._window("decision"))
        inputs = one * pair[..., 0] + two * pair[..., 1]
        larger = self.target * torch.stack([pair[..., 0] > pair[..., 1], pair[..., 0] < pair[..., 1]], dim=-1)
        mask = ((k < end) | answer).to(pair.dtype)[..., None].repeat(1, 1, 1, 2)
        return Trials(inputs[..., None], answer[..., None] * larger.to(pair.dtype), mask)


TASKS = {task.name: task for task in (FlipFlop, Mante, Romo)}


def get(name: str) -> type[FlipFlop] | type[Mante] | type[Romo]:
    """The task called `name`; raises ValueError for a name that is not there."""
    if name not in TASKS:
        raise ValueError(f"unknown task {name!r}: choose one of {', '.join(TASKS)}")
    return TASKS[name]
