"""Speed against plain implementations.  Both sides of a benchmark run in turn, in one process, medians are compared."""

import os
import platform
import statistics
import time
from collections.abc import Callable

import torch

REPEATS = 5


def in_turn(*sides: Callable[[], object], repeats: int = REPEATS) -> list[float]:
    """Median seconds of each side; every round runs every side once, after one round that does not count."""
    taken: list[list[float]] = [[] for _ in sides]
    for turn in range(repeats + 1):
        for side, times in zip(sides, taken, strict=True):
            start = time.perf_counter()
            side()
            if turn:
                times.append(time.perf_counter() - start)
    return [statistics.median(times) for times in taken]


def matrix_product(n: int = 2048) -> tuple[Callable[[], object], float]:
    """A float32 matrix product (n, n) times (n, n), and its floating-point operations: the limit of this machine."""
    a, b, out = torch.randn(n, n), torch.randn(n, n), torch.empty(n, n)
    return lambda: torch.mm(a, b, out=out), 2.0 * n**3


def processor() -> str:
    """Name of the processor, and how many of its cores this process may use."""
    try:
        with open("/proc/cpuinfo") as lines:  # noqa: PTH123
            name = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores"


def row(seconds: float, reference_seconds: float, share_of_limit: float | None, settings: dict) -> dict:
    """One benchmark as `benchmarks/results.json` keeps it, its name aside; no known limit, no share."""
    return {
        "seconds": seconds,
        "reference_seconds": reference_seconds,
        "ratio": reference_seconds / seconds,
        "share_of_limit": share_of_limit,
        "threads": torch.get_num_threads(),
        "settings": settings | {"torch": torch.__version__, "processor": processor()},
    }
