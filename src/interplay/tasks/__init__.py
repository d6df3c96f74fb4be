"""Tasks: flip-flop, Mante, Romo (Schuessler et al. 2020); context integration, sine waves (Krause et al. 2022).

A trial is a set of pulses and windows on a grid of Euler steps dt.  Times are in units of the neuronal time constant,
amplitudes are dimensionless; a duration lasts int(duration / dt) steps.  Tensors are (time, network, trial, channel).
Each network draws from its own generator alone: its trials do not depend on which others are simulated beside it.
Defaults are the settings of the authors' code, from which the papers' figures were made.  A task of one's own is a
subclass of `Task`.
"""

from .. import edge
from .base import TASKS, Task, Trials
from .krause import ContextIntegration, SineWave
from .schuessler import FlipFlop, Mante, Romo

__all__ = ["BOOK", "TASKS", "ContextIntegration", "FlipFlop", "Mante", "Romo", "SineWave", "Task", "Trials", "get"]

BOOK = tuple(TASKS)  # the book's own: a reader's come after them


def get(name: str) -> type[Task]:
    """The task called `name`; raises ValueError for a name that is not there."""
    return TASKS[edge.one_of("task", name, TASKS)]
