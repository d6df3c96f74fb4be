"""Tasks: flip-flop, Mante, Romo (Schuessler et al. 2020); context integration, sine waves (Krause et al. 2022).

A trial is a set of pulses and windows on a grid of Euler steps dt.  Times are in units of the neuronal time constant,
amplitudes are dimensionless; a duration lasts int(duration / dt) steps.  Tensors are (time, network, trial, channel).
Each network draws from its own generator alone: its trials do not depend on which others are simulated beside it.
Defaults are the settings of the authors' code, from which the papers' figures were made.
"""

from .base import Trials
from .krause import ContextIntegration, SineWave
from .schuessler import FlipFlop, Mante, Romo

__all__ = ["TASKS", "ContextIntegration", "FlipFlop", "Mante", "Romo", "SineWave", "Trials", "get"]

TASKS = {task.name: task for task in (FlipFlop, Mante, Romo)}


def get(name: str) -> type[FlipFlop] | type[Mante] | type[Romo]:
    """The task called `name`; raises ValueError for a name that is not there."""
    if name not in TASKS:
        raise ValueError(f"unknown task {name!r}: choose one of {', '.join(TASKS)}")
    return TASKS[name]
