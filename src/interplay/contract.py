"""What a chapter says: its sentences, each held by asserts on the data of the page."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from . import experiments


@contextmanager
def says(sentence: str, *, untouched: bool = True) -> Iterator[None]:
    """Hold the asserts of the block to a sentence of the page; print whether it holds.

    Where it does not, raise AssertionError naming it, at scale paper with results as kept and knobs `untouched`;
    at other scales, retrained, with another knob or in a Colab twin (`INTERPLAY_CONTRACT=print`) print *not here*.
    """
    try:
        yield
    except Exception as fault:
        changed = {"INTERPLAY_RETRAIN": "1", "INTERPLAY_CONTRACT": "print"}
        if untouched and experiments.scale() == "paper" and all(os.environ.get(k) != v for k, v in changed.items()):
            raise AssertionError(f"this page does not show what it says: {sentence}") from fault
        return print(f"not here: {sentence}")
    print(f"holds: {sentence}")
