"""Matrix products on a CPU by oneDNN instead of MKL, where that costs no precision."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch


@contextmanager
def leave_to_round() -> Iterator[None]:
    """Within it, oneDNN does float32 matrix products on a CPU, and may round the factors to bfloat16."""
    setting = torch.backends.mkldnn.matmul
    before, setting.fp32_precision = setting.fp32_precision, "bf16"
    try:
        yield
    finally:
        setting.fp32_precision = before


@functools.cache
def is_precise() -> bool:
    """Whether oneDNN, with leave to round, is as precise as float32 here: measured, on one product of each kind.

    Only processors with units for bfloat16 matrices (AMX) make use of the leave.
    """
    if not hasattr(torch.backends.mkldnn, "matmul"):  # before PyTorch 2.9
        return False
    draw = torch.Generator().manual_seed(0)
    a, b = (torch.randn(2, n, 256, generator=draw) for n in (32, 256))
    with leave_to_round():
        return all((x @ y - x.double() @ y.double()).abs().max() < 1e-3 for x, y in ((a, b), (a, b.mT), (a.mT, a)))


@contextmanager
def products() -> Iterator[None]:
    """Within it, float32 matrix products on a CPU go to oneDNN, where it loses no precision; else stay with MKL.

    On processors whose AVX-512 MKL leaves unused it is up to twice as fast.
    """
    with leave_to_round() if is_precise() else nullcontext():
        yield
