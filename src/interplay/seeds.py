"""Every network draws from its own generator, seeded from what it is: experiment, task, g, sample."""

import hashlib
import zlib

import numpy as np
import torch


def seed(*labels: str | float) -> np.random.SeedSequence:
    """The seed of what the labels name, e.g. seed("weights", "romo", 256, 0.9, 3); every number counts as a float.

    Names that differ have different streams but by accident (a CRC-32 a label: one pair in 4e9) or by empty labels at
    the end.  Numbers are what they print as: 0.3 and 0.1 * 3 are two labels, 0.3 and numpy.float64(0.3) are one.
    """
    text = [label if isinstance(label, str) else repr(float(label)) for label in labels]
    return np.random.SeedSequence([zlib.crc32(label.encode()) for label in text])


def generator(*labels: str | float, device: str | torch.device = "cpu") -> torch.Generator:
    """A torch generator on `device`, seeded by `seed(*labels)`."""
    state = int(seed(*labels).generate_state(1, np.uint64)[0] >> 1)
    return torch.Generator(device).manual_seed(state)


def fingerprint(*drawn: torch.Tensor | np.ndarray) -> str:
    """What came of a seed, to be held to later: the start of the SHA-256 of the numbers, one tensor after the other."""
    whole = b"".join((one.numpy(force=True) if isinstance(one, torch.Tensor) else one).tobytes() for one in drawn)
    return hashlib.sha256(whole).hexdigest()[:16]
