"""Helpers of the book *Randomness and Structure*; the science is read in the chapters."""

from importlib.metadata import version

__all__ = [
    "bridge",
    "experiments",
    "linear",
    "lowrank",
    "operative",
    "pathways",
    "rnn",
    "seeds",
    "tasks",
    "theory",
    "zoo",
]
__version__ = version("interplay")
