"""Flip-flop, Mante and Romo (Schuessler et al. 2020, Figure 1): the settings of the authors' code."""

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from .base import Task, Trials


@dataclass(frozen=True, kw_only=True)
class FlipFlop(Task):
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
    n_steps = property(lambda self: self.steps("t_max"), doc="Number of Euler steps of a trial.")
    chance = property(lambda self: self.target**2 / 4, doc="Loss of zero output: one of two scored outputs is not 0.")
    _shortest = property(lambda self: self.steps(self.delay + self.interval[0]), doc="Steps from onset to onset.")
    rows = property(lambda self: 3 * (1 + (self.n_steps - self.steps("first")) // self._shortest))

    def __post_init__(self):
        super().__post_init__()
        self._demand("interval", max(0.0, self.pulse - self.delay))
        self._demand("t_max", self.first + self.delay + self.dt)

    def test_trial(self) -> Trials:
        """The trial of Figure 1a: one network, one trial, of length 100."""
        channel, sign = [0, 0, 0, 1, 0, 1, 1, 0, 1], [-1, 1, 1, 1, -1, -1, -1, -1, 1]
        interval = [16.55, 9.35, 14.80, 11.73, 12.17, 6.50, 13.06, 19.08, 13.19]
        channel, sign = (torch.tensor(row)[:, None, None] for row in (channel, sign))
        steps = self._uniform_steps((0, 1), torch.tensor(interval, dtype=torch.float64)[:, None, None], self.delay)
        return replace(self, t_max=100.0)._build(channel, sign, steps, torch.float32)

    def draw(self, u, generators, dtype):
        channel, sign, interval = u.view(3, -1, *u.shape[1:])
        steps = self._uniform_steps(self.interval, interval, self.delay)
        return self._build((2 * channel).long(), 2 * (2 * sign).long() - 1, steps, dtype)

    def _build(self, channel, sign, steps, dtype):  # of each pulse, with steps to the next one: (pulse, network, trial)
        onset = self.steps("first") + steps.cumsum(0) - steps
        k = torch.arange(self.n_steps, device=onset.device)[:, None, None]
        last = ((onset[:, None] <= k).sum(0) - 1).clamp_(min=0)  # the pulse that a step belongs to
        since = (k - onset.gather(0, last))[..., None]  # negative before the first pulse
        cue = channel.gather(0, last)[..., None] == torch.arange(2, device=channel.device)
        cue = cue * sign.to(dtype).gather(0, last)[..., None]
        on, mask = (since >= 0) & (since < self.steps("pulse")), (since >= self.steps("delay")).to(dtype)
        return Trials(self.amplitude * cue * on, self.target * cue * mask, mask.repeat(1, 1, 1, 2))


@dataclass(frozen=True, kw_only=True)
class Mante(Task):
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
    n_steps = property(lambda self: self._scored + self.steps("delay"), doc="Number of Euler steps of a trial.")
    _scored = property(lambda self: sum(map(self.steps, ("fixation", "stimulus", "decision"))))
    _answered = property(lambda self: self.steps("decision") / self._scored, doc="Part of what is scored.")
    chance = property(lambda self: self.target**2 / 2 * self._answered, doc="Loss of zero output.")
    rows = 5

    def test_trial(self) -> Trials:
        """The trial of Figure 1b: coherences +1 and -1/2, context 2; its noise is drawn from seed 0."""
        noise = torch.randn(self.n_steps, 1, 1, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float32)
        return self._build(torch.tensor([[1]]), torch.tensor([[[1.0, -0.5]]], dtype=torch.float32), noise)

    def draw(self, u, generators, dtype):
        sizes = torch.tensor(self.coherences, device=u.device, dtype=dtype)
        coherence = sizes[(len(sizes) * u[1:3]).long()] * (2 * (2 * u[3:]).long() - 1)
        noise = self._noise(self.n_steps, u.shape[-1], generators)
        return self._build((2 * u[0]).long(), coherence.movedim(0, -1), noise.to(u.device, dtype))

    def _build(self, context, coherence, noise):  # (network, trial), (network, trial, 2), (time, network, trial, 2)
        start, end = self.steps("fixation"), self.steps("fixation") + self.steps("stimulus")
        shown, answer = slice(start, end), slice(end + self.steps("delay"), None)
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
class Romo(Task):
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
    rows = 4

    def __post_init__(self):
        super().__post_init__()
        self._demand("gap", 0.0, self.amplitude[1] - self.amplitude[0])

    @property
    def n_steps(self) -> int:
        """Number of Euler steps of a trial, for the longest delay."""
        return sum(map(self.steps, ("fixation", "pulse", self.delay[1], "pulse", "decision_delay", "decision")))

    @property
    def chance(self) -> float:
        """Expected loss of zero output: mean of the sum over mean of the number of scored steps."""
        low, high = (each / self.dt + 1e-9 for each in self.delay)
        area = [math.floor(x) * (x - (math.floor(x) + 1) / 2) for x in (low, high)]  # integral of floor from 0 to x
        delay = (area[1] - area[0]) / (high - low) if high > low else math.floor(low)
        before, decision = self.steps("fixation") + 2 * self.steps("pulse") + delay, self.steps("decision")
        return self.target**2 / 4 * decision / (before + decision)

    def test_trial(self) -> Trials:
        """The trial of Figure 1c: delay 5 (or the nearest allowed), amplitudes 0.6 then 1.1."""
        delay = min(max(5.0, self.delay[0]), self.delay[1])
        return self._build(torch.tensor([[self.steps(delay)]]), torch.tensor([[[0.6, 1.1]]], dtype=torch.float32))

    def draw(self, u, generators, dtype):
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
        pulse, fixation = self.steps("pulse"), self.steps("fixation")
        k = torch.arange(self.n_steps, device=delay.device)[:, None, None]
        second = fixation + pulse + delay  # onset
        end, since = second + pulse, k - second - pulse - self.steps("decision_delay")
        one, two = (k >= fixation) & (k < fixation + pulse), (k >= second) & (k < end)
        answer = (since >= 0) & (since < self.steps("decision"))
        larger = (pair > pair.flip(-1)).to(pair.dtype)
        inputs = one * pair[..., 0] + two * pair[..., 1]
        mask = ((k < end) | answer).to(pair.dtype)[..., None].repeat(1, 1, 1, 2)
        return Trials(inputs[..., None], self.target * larger * answer[..., None], mask)
