"""Tasks: flip-flop, Mante, Romo (Schuessler et al. 2020); context integration, sine waves (Krause et al. 2022).

A trial is a set of pulses and windows on a grid of Euler steps dt.  Times are in units of the neuronal time constant,
amplitudes are dimensionless; a duration lasts int(duration / dt) steps.  Tensors are (time, network, trial, channel).
Each network draws from its own generator alone: its trials do not depend on which others are simulated beside it.
Defaults are the settings of the authors' code, from which the papers' figures were made.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from numbers import Integral, Real
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor


class Trials(NamedTuple):
    """Inputs (time, network, trial, n_in), targets and mask (time, network, trial, n_out); mask holds 0 or 1."""

    inputs: Tensor
    targets: Tensor
    mask: Tensor


@dataclass(frozen=True, kw_only=True)
class _Task:
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
        size, kind = (self._rows, n_trials), {"dtype": torch.float64}
        drawn = [torch.rand(size, generator=each, device=each.device, **kind) for each in generators]
        return self._trials(torch.stack(drawn, dim=1).to(device), generators, dtype)

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


@dataclass(frozen=True, kw_only=True)
class FlipFlop(_Task):
    """Remember channel and sign of the last pulse: four states, since the other output goes back to 0 (Fig 1a)."""

    t_max: float = 50.0  # length of a trial
    first: float = 1.0  # onset of the first pulse
    pulse: float = 1.0  # duration of a pulse
    delay: float = 5.0  # from an onset to the first scored step
    interval: tuple[float, float] = (5.0, 25.0)  # uniform draw; delay + draw is the time from onset to onset
    amplitude: float = 1.0  # of a pulse, of either sign
    name: ClassVar[str] = "flip-flop"
    inputs: ClassVar[tuple[str, ...]] = ("pulse 1", "pulse 2")
    outputs: ClassVar[tuple[str, ...]] = ("memory 1", "memory 2")
    n_steps = property(lambda self: self._steps("t_max"), doc="Number of Euler steps of a trial.")
    chance = property(lambda self: self.target**2 / 4, doc="Loss of zero output: one of two scored outputs is not 0.")
    _shortest = property(lambda self: self._steps(self.delay + self.interval[0]), doc="Steps from onset to onset.")
    _rows = property(lambda self: 3 * (1 + (self.n_steps - self._steps("first")) // self._shortest))

    def __post_init__(self):
        super().__post_init__()
        self._demand("interval", max(0.0, self.pulse - self.delay), pair=True)
        self._demand("t_max", self.first + self.delay + self.dt)

    def test_trial(self) -> Trials:
        """The trial of Figure 1a: one network, one trial, of length 100."""
        channel, sign = [0, 0, 0, 1, 0, 1, 1, 0, 1], [-1, 1, 1, 1, -1, -1, -1, -1, 1]
        interval = [16.55, 9.35, 14.80, 11.73, 12.17, 6.50, 13.06, 19.08, 13.19]
        channel, sign, interval = (torch.tensor(row)[:, None, None] for row in (channel, sign, interval))
        steps = self._uniform_steps((0, 1), interval.double(), self.delay)
        return replace(self, t_max=100.0)._build(channel, sign, steps, torch.float32)

    def _trials(self, u, generators, dtype):
        channel, sign, interval = u.view(3, -1, *u.shape[1:])
        steps = self._uniform_steps(self.interval, interval, self.delay)
        return self._build((2 * channel).long(), 2 * (2 * sign).long() - 1, steps, dtype)

    def _build(self, channel, sign, steps, dtype):  # of each pulse, with steps to the next one: (pulse, network, trial)
        onset = self._steps("first") + steps.cumsum(0) - steps
        k = torch.arange(self.n_steps, device=onset.device)[:, None, None]
        last = ((onset[:, None] <= k).sum(0) - 1).clamp_(min=0)  # the pulse that a step belongs to
        since = (k - onset.gather(0, last))[..., None]  # negative before the first pulse
        cue = channel.gather(0, last)[..., None] == torch.arange(2, device=channel.device)
        cue = cue * sign.to(dtype).gather(0, last)[..., None]
        on, mask = (since >= 0) & (since < self._steps("pulse")), (since >= self._steps("delay")).to(dtype)
        return Trials(self.amplitude * cue * on, self.target * cue * mask, mask.repeat(1, 1, 1, 2))


@dataclass(frozen=True, kw_only=True)
class Mante(_Task):
    """Report the sign of the cued one of two noisy streams of evidence (Fig 1b)."""

    fixation: float = 3.0  # durations, in this order
    stimulus: float = 20.0
    delay: float = 5.0  # not scored
    decision: float = 20.0
    coherences: tuple[float, ...] = (0.125, 0.25, 0.5, 1.0)  # sizes of the evidence, of either sign
    noise: float = 0.05  # of the evidence, during the whole trial: std noise / sqrt(dt) a step
    amplitude: float = 1.0  # of the context
    name: ClassVar[str] = "mante"
    inputs: ClassVar[tuple[str, ...]] = ("context 1", "context 2", "evidence 1", "evidence 2")
    outputs: ClassVar[tuple[str, ...]] = ("choice",)
    n_steps = property(lambda self: self._scored + self._steps("delay"), doc="Number of Euler steps of a trial.")
    chance = property(
        lambda self: self.target**2 / 2 * self._steps("decision") / self._scored, doc="Loss of zero output."
    )
    _scored = property(lambda self: sum(self._steps(part) for part in ("fixation", "stimulus", "decision")))
    _rows = 5

    def test_trial(self) -> Trials:
        """The trial of Figure 1b: coherences +1 and -1/2, context 2; its noise is drawn from seed 0."""
        noise = torch.randn(self.n_steps, 1, 1, 2, generator=torch.Generator().manual_seed(0))
        return self._build(torch.tensor([[1]]), torch.tensor([[[1.0, -0.5]]]), noise)

    def _trials(self, u, generators, dtype):
        sizes = torch.tensor(self.coherences, device=u.device, dtype=dtype)
        coherence = sizes[(len(sizes) * u[1:3]).long()] * (2 * (2 * u[3:]).long() - 1)
        size = (self.n_steps, u.shape[-1], 2)
        noise = torch.stack([torch.randn(size, generator=each, device=each.device) for each in generators], dim=1)
        return self._build((2 * u[0]).long(), coherence.movedim(0, -1), noise.to(u.device, dtype))

    def _build(self, context, coherence, noise):  # (network, trial), (network, trial, 2), (time, network, trial, 2)
        start, end = self._steps("fixation"), self._steps("fixation") + self._steps("stimulus")
        shown, answer = slice(start, end), slice(end + self._steps("delay"), None)
        cue = context[..., None] == torch.arange(2, device=context.device)
        inputs = noise.new_zeros(*noise.shape[:3], 4)
        inputs[shown, ..., :2] = self.amplitude * cue.to(noise.dtype)
        inputs[..., 2:] = self.noise / math.sqrt(self.dt) * noise
        inputs[shown, ..., 2:] += coherence
        targets = noise.new_zeros(*noise.shape[:3], 1)
        targets[answer] = self.target * torch.sign((coherence * cue).sum(-1, keepdim=True))
        mask = torch.ones_like(targets)
        mask[end : answer.start] = 0
        return Trials(inputs, targets, mask)


@dataclass(frozen=True, kw_only=True)
class Romo(_Task):
    """Report which of two pulses, a random delay apart, was larger; a trial fits the longest delay (Fig 1c)."""

    fixation: float = 3.0  # durations, in this order, with a second pulse after the delay
    pulse: float = 1.0
    delay: tuple[float, float] = (2.0, 8.0)  # uniform
    decision_delay: float = 5.0  # not scored
    decision: float = 10.0
    amplitude: tuple[float, float] = (0.5, 1.5)  # of both pulses, uniform given the gap
    gap: float = 0.2  # least difference of the two
    name: ClassVar[str] = "romo"
    inputs: ClassVar[tuple[str, ...]] = ("stimulus",)
    outputs: ClassVar[tuple[str, ...]] = ("first larger", "second larger")
    _rows = 4

    def __post_init__(self):
        super().__post_init__()
        self._demand("gap", 0.0, high=self.amplitude[1] - self.amplitude[0])

    @property
    def n_steps(self) -> int:
        """Number of Euler steps of a trial, for the longest delay."""
        return sum(map(self._steps, ("fixation", "pulse", self.delay[1], "pulse", "decision_delay", "decision")))

    @property
    def chance(self) -> float:
        """Expected loss of zero output: mean of the sum over mean of the number of scored steps."""
        low, high = (each / self.dt + 1e-9 for each in self.delay)
        area = [math.floor(x) * (x - (math.floor(x) + 1) / 2) for x in (low, high)]  # integral of floor from 0 to x
        delay = (area[1] - area[0]) / (high - low) if high > low else math.floor(low)
        before, decision = self._steps("fixation") + 2 * self._steps("pulse") + delay, self._steps("decision")
        return self.target**2 / 4 * decision / (before + decision)

    def test_trial(self) -> Trials:
        """The trial of Figure 1c: delay 5 (or the nearest allowed), amplitudes 0.6 then 1.1."""
        delay = min(max(5.0, self.delay[0]), self.delay[1])
        return self._build(torch.tensor([[self._steps(delay)]]), torch.tensor([[[0.6, 1.1]]]))

    def _trials(self, u, generators, dtype):
        """Amplitudes obey U(low, high)^2 given |a1 - a2| >= gap, without rejection: that region is two triangles.

        The difference d has density ~ high - low - d between gap and high - low, so high - low - d is sqrt(u) times its
        largest value; given d, the smaller amplitude is uniform over what d leaves free; which is first is a fair coin.
        """
        delay, difference, place, order = u
        low, high = self.amplitude
        left = (high - low - self.gap) * torch.sqrt(difference)
        pair = torch.stack([low + left * place, high - left * (1 - place)], dim=-1)
        pair = torch.where(order[..., None] < 0.5, pair.flip(-1), pair)
        return self._build(self._uniform_steps(self.delay, delay), pair.to(dtype))

    def _build(self, delay, pair):  # steps of delay (network, trial), both amplitudes (network, trial, 2)
        pulse, fixation, k = (
            self._steps("pulse"),
            self._steps("fixation"),
            torch.arange(self.n_steps, device=delay.device),
        )
        k = k[:, None, None]
        second = fixation + pulse + delay  # onset
        end, since = second + pulse, k - second - pulse - self._steps("decision_delay")
        one, two = (k >= fixation) & (k < fixation + pulse), (k >= second) & (k < end)
        answer = (since >= 0) & (since < self._steps("decision"))
        larger = (pair > pair.flip(-1)).to(pair.dtype)
        inputs = one * pair[..., 0] + two * pair[..., 1]
        mask = ((k < end) | answer).to(pair.dtype)[..., None].repeat(1, 1, 1, 2)
        return Trials(inputs[..., None], self.target * answer[..., None] * larger, mask)


@dataclass(frozen=True, kw_only=True)
class ContextIntegration(_Task):
    """Integrate the cued one of two noisy streams until a bound is reached (Krause et al. 2022, after Mante 2013).

    The target follows the noisy input itself.  Half the trials have each context; within it the drifts of the two
    streams are dealt out as evenly as they go, independently of each other.  Times in units of 10 ms.
    """

    dt: float = 0.1
    target: float = 1.0  # the bound, of either sign: once there the target stays
    burn: float = 65.0  # context alone; then the streams
    stimulus: float = 75.0
    drifts: tuple[float, ...] = (0.009, 0.036, 0.15)  # sizes, of either sign
    noise: float = 10**0.5  # of both streams: std noise * sqrt(dt) a step
    gain: float = 0.2  # of the integral
    amplitude: float = 1.0  # of the context
    name: ClassVar[str] = "context-integration"
    inputs: ClassVar[tuple[str, ...]] = ("stream 1", "stream 2", "context 1", "context 2", "silent")
    outputs: ClassVar[tuple[str, ...]] = ("evidence",)
    n_steps = property(lambda self: self._steps("burn") + self._steps("stimulus"), doc="Euler steps of a trial.")
    _rows = 2

    def conditions(self, n_trials: int, generators: Sequence[torch.Generator]) -> tuple[Tensor, Tensor]:
        """Context (network, trial), 0 or 1, and drifts (network, trial, 2) of the trials drawn next; draws nothing."""
        copies = [each.clone_state() for each in generators]
        kind = {"dtype": torch.float64}
        return self._dealt(
            torch.stack([torch.rand(2, n_trials, generator=each, device=each.device, **kind) for each in copies], 1)
        )

    def _dealt(self, u):
        context = (torch.arange(u.shape[-1], device=u.device) % 2).expand(u.shape[1:])
        sizes = torch.tensor([*self.drifts, *(-drift for drift in self.drifts)], device=u.device)
        turn = (u + context).argsort(-1).argsort(-1)  # shuffled places within a context, its first half being context 0
        first = (u.shape[-1] + 1) // 2
        place = torch.where(context > 0, turn - first, turn)
        return context, sizes[place % len(sizes)].movedim(0, -1)

    def _trials(self, u, generators, dtype):
        context, drift = self._dealt(u)
        size = (self._steps("stimulus"), u.shape[-1], 2)
        noise = torch.stack([torch.randn(size, generator=each, device=each.device) for each in generators], dim=1)
        burn = self._steps("burn")
        inputs = torch.zeros(self.n_steps, *context.shape, 5, device=u.device, dtype=dtype)
        inputs[burn:, ..., :2] = (drift + self.noise * math.sqrt(self.dt) * noise.to(u.device)).to(dtype)
        inputs[..., 2:4] = self.amplitude * torch.nn.functional.one_hot(context, 2).to(dtype)
        seen = inputs[..., :2].gather(-1, context[None, ..., None].expand(self.n_steps, -1, -1, 1))
        y = (self.gain * self.dt * seen).cumsum(0)
        there = (y.abs() >= self.target).cummax(0).values
        reached = y.gather(0, there.to(torch.uint8).argmax(0, keepdim=True)).sign() * self.target
        return Trials(inputs, torch.where(there, reached, y), torch.ones_like(y))


@dataclass(frozen=True, kw_only=True)
class SineWave(_Task):
    """Turn a constant input into a sine wave of the frequency it stands for (Krause et al. 2022, after Sussillo 2013).

    Trials deal out the frequencies as evenly as they go.  Times in units of 10 ms, frequencies in Hz.
    """

    dt: float = 0.1
    target: float = 1.0  # amplitude of the wave
    t_max: float = 50.0
    frequencies: tuple[float, float] = (1.0, 6.0)  # lowest and highest
    number: int = 51  # of frequencies, evenly spaced; the input of number j (from 1) is j / number + offset
    offset: float = 0.25
    name: ClassVar[str] = "sine-wave"
    inputs: ClassVar[tuple[str, ...]] = ("frequency",)
    outputs: ClassVar[tuple[str, ...]] = ("wave",)
    n_steps = property(lambda self: self._steps("t_max"), doc="Number of Euler steps of a trial.")
    _rows = 1

    def __post_init__(self):
        super().__post_init__()
        self._demand("number", 2)

    def conditions(self, n_trials: int, generators: Sequence[torch.Generator]) -> Tensor:
        """Number of the frequency, from 0, of the trials drawn next (network, trial); draws nothing."""
        copies = [each.clone_state() for each in generators]
        kind = {"dtype": torch.float64}
        return self._dealt(
            torch.stack([torch.rand(1, n_trials, generator=each, device=each.device, **kind) for each in copies], 1)
        )

    def _dealt(self, u):
        return u[0].argsort(-1).argsort(-1) % self.number

    def _trials(self, u, generators, dtype):
        which = self._dealt(u).double()
        low, high = self.frequencies
        hertz = low + (high - low) * which / (self.number - 1)
        t = 0.01 * self.dt * torch.arange(1, self.n_steps + 1, device=u.device, dtype=torch.float64)  # seconds
        wave = self.target * torch.sin(2 * math.pi * t[:, None, None] * hertz)
        level = ((which + 1) / self.number + self.offset).expand(self.n_steps, *which.shape)
        return Trials(*(x[..., None].to(dtype) for x in (level, wave, torch.ones_like(wave))))


TASKS = {task.name: task for task in (FlipFlop, Mante, Romo)}


def get(name: str) -> type[FlipFlop] | type[Mante] | type[Romo]:
    """The task called `name`; raises ValueError for a name that is not there."""
    if name not in TASKS:
        raise ValueError(f"unknown task {name!r}: choose one of {', '.join(TASKS)}")
    return TASKS[name]
