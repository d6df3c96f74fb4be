"""Context integration and sine waves (Krause et al. 2022): the settings of the authors' code."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from .base import Task, Trials


@dataclass(frozen=True, kw_only=True)
class ContextIntegration(Task):
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
    n_steps = property(lambda self: self.steps("burn") + self.steps("stimulus"), doc="Euler steps of a trial.")
    rows = 2

    def conditions(self, n_trials: int, generators: Sequence[torch.Generator]) -> tuple[Tensor, Tensor]:
        """Context (network, trial), 0 or 1, and drifts (network, trial, 2) of the trials drawn next; draws nothing."""
        return self._dealt(self._uniform(n_trials, [each.clone_state() for each in generators]))

    def _dealt(self, u):
        context = (torch.arange(u.shape[-1], device=u.device) % 2).expand(u.shape[1:])
        sizes = [*self.drifts, *(-drift for drift in self.drifts)]
        sizes = torch.tensor(sizes, device=u.device, dtype=torch.float32)
        turn = (u + context).argsort(-1).argsort(-1)  # shuffled places within a context, its first half being context 0
        first = (u.shape[-1] + 1) // 2
        place = torch.where(context > 0, turn - first, turn)
        return context, sizes[place % len(sizes)].movedim(0, -1)

    def draw(self, u, generators, dtype):
        context, drift = self._dealt(u)
        noise = self._noise(self.steps("stimulus"), u.shape[-1], generators)
        burn = self.steps("burn")
        inputs = torch.zeros(self.n_steps, *context.shape, 5, device=u.device, dtype=dtype)
        inputs[burn:, ..., :2] = (drift + self.noise * math.sqrt(self.dt) * noise.to(u.device)).to(dtype)
        inputs[..., 2:4] = self.amplitude * torch.nn.functional.one_hot(context, 2).to(dtype)
        seen = inputs[..., :2].gather(-1, context[None, ..., None].expand(self.n_steps, -1, -1, 1))
        y = (self.gain * self.dt * seen).cumsum(0)
        there = (y.abs() >= self.target).cummax(0).values
        reached = y.gather(0, there.to(torch.uint8).argmax(0, keepdim=True)).sign() * self.target
        return Trials(inputs, torch.where(there, reached, y), torch.ones_like(y))


@dataclass(frozen=True, kw_only=True)
class SineWave(Task):
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
    n_steps = property(lambda self: self.steps("t_max"), doc="Number of Euler steps of a trial.")
    rows = 1

    def __post_init__(self):
        super().__post_init__()
        self._demand("number", 2)

    def conditions(self, n_trials: int, generators: Sequence[torch.Generator]) -> Tensor:
        """Number of the frequency, from 0, of the trials drawn next (network, trial); draws nothing."""
        return self._dealt(self._uniform(n_trials, [each.clone_state() for each in generators]))

    def _dealt(self, u):
        return u[0].argsort(-1).argsort(-1) % self.number

    def draw(self, u, generators, dtype):
        which = self._dealt(u).double()
        low, high = self.frequencies
        hertz = low + (high - low) * which / (self.number - 1)
        t = 0.01 * self.dt * torch.arange(1, self.n_steps + 1, device=u.device, dtype=torch.float64)  # seconds
        wave = self.target * torch.sin(2 * math.pi * t[:, None, None] * hertz)
        level = ((which + 1) / self.number + self.offset).expand(self.n_steps, *which.shape)
        return Trials(*(x[..., None].to(dtype) for x in (level, wave, torch.ones_like(wave))))
