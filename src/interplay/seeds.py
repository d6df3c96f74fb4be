"""Every network draws from its own generator, seeded from what it is: experiment, task, g, sample."""

import zlib

import numpy as np
import torch


def seed(*labels: str | float) -> np.random.SeedSequence:
    """The seed of what the labels name, e.g. seed("weights", "romo", 256, 0.9, 3): no two names share a stream."""
    text = [label if isinstance(label, str) else repr(float(label)) for label in labels]
    return np.random.SeedSequence([zlib.crc32(label.encode()) for label in text])


def generator(*labels: str | float, device: str | torch.device = "cpu") -> torch.Generator:
    """A torch generator on `device`, seeded by `seed(*labels)`."""
    state = int(seed(*labels).generate_state(1, np.uint64)[0] >> 1)
    return torch.Generator(device).manual_seed(state)
