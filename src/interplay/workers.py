"""Who computes the units of an experiment: this process, other processes here, or a Dask cluster.

Not in `__main__`: a worker that is started afresh cannot import from there.
"""

import logging
import multiprocessing
import os
import sys
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import Connection
from threading import RLock, Thread

import torch
from tqdm import tqdm

from . import archive, edge


@contextmanager
def workers(number: int, dask: str | None, threads: int | None) -> Iterator[Executor | None]:
    """Who does the work: None for this process, else local processes or a Dask cluster; on leaving, nothing is awaited.

    Raises ValueError if there cannot be that many workers or threads, or the cluster cannot be reached or asked;
    BrokenExecutor if a worker or the scheduler is lost.
    """
    edge.number("number of workers", number, 1)
    edge.number("number of threads", 1 if threads is None else threads, 1)
    if dask:
        with cluster(dask) as executor:
            yield executor
    elif number == 1:
        yield None
    else:
        share = threads or max(1, (os.cpu_count() or 1) // number)
        spawn = multiprocessing.get_context("spawn")  # a fork would take the threads of torch along
        end, until = spawn.Pipe(duplex=False)
        pool = ProcessPoolExecutor(number, spawn, begin, (share, end))
        try:
            yield pool
        except BrokenProcessPool as fault:
            raise BrokenExecutor(f"a worker ended in the middle of a unit ({fault})") from fault
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            until.close()


def begin(threads: int, end: Connection) -> None:
    """What a worker process does first: it ends, busy or not, when its parent closes the pipe or is killed."""
    torch.set_num_threads(threads)
    tqdm.set_lock(RLock())  # its own is shared between processes, and would be reported as leaked at such an end
    Thread(target=lambda: (end.poll(None), os._exit(1)), daemon=True).start()


@contextmanager
def cluster(address: str) -> Iterator[Executor]:
    """The workers of an existing Dask cluster as an executor."""
    try:
        import distributed
    except ImportError:
        raise ValueError("--dask needs the package distributed: pip install 'interplay[dask]'") from None
    try:
        client = distributed.Client(address, timeout=10, set_as_default=False)  # xarray would take its locks
    except (OSError, ValueError) as fault:
        raise ValueError(f"no Dask scheduler answers at {address!r}: give the address that it prints") from fault
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # it would print a lost scheduler's traceback
    with client:
        try:
            if not client.nthreads():
                print(
                    f"interplay: the Dask scheduler at {address} has no workers: waiting for the first, "
                    f"`dask worker {address}` starts one",
                    file=sys.stderr,
                )
            yield client.get_executor(pure=False)
        except distributed.KilledWorker as fault:
            raise BrokenExecutor("a unit ended several workers in the middle") from fault
        except Exception as fault:  # of many kinds, by version and moment
            ours = isinstance(fault, (ValueError, archive.ArchiveError))
            if ours or (client.status == "running" and not isinstance(fault, CancelledError)):
                raise
            raise BrokenExecutor(f"the Dask scheduler at {address} is gone or was started again") from fault
