"""`python -m interplay`: run experiments, say what is there, print the ledger of claims."""

import argparse
import json
import math
import os
import sys
from concurrent.futures import BrokenExecutor

from . import archive, experiments
from .workers import workers


def main(argv: list[str] | None = None) -> int:
    """Parse the command line and do what it says; 2 and one sentence where that cannot be done."""
    parser = argparse.ArgumentParser(prog="python -m interplay", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    run = verbs.add_parser("run", help="compute what is missing of an experiment, and keep it")
    run.add_argument("name", help=f"all, or one of {', '.join(experiments.names())}")
    run.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    run.add_argument("--threads", type=int, help="threads of each worker (as many as fit)")
    where = run.add_mutually_exclusive_group()
    where.add_argument("--workers", type=int, default=1, metavar="N", help="local processes to share the work (1)")
    where.add_argument("--dask", metavar="ADDRESS", help="scheduler of a Dask cluster, such as tcp://10.0.0.1:8786")
    status = verbs.add_parser("status", help="what is kept, what is missing, how long that will take")
    for verb in (run, status):
        verb.add_argument("--scale", default=None, help=f"one of {', '.join(experiments.SCALES)}")
    claims = verbs.add_parser("claims", help="print the ledger of claims; 4 if some could not be decided")
    claims.add_argument("begin", nargs="?", default="", help="only those whose id begins so, such as C8")
    claims.add_argument("--json", action="store_true", help="as a list of objects")
    asked = parser.parse_args(argv)
    code = 0
    try:
        if asked.verb == "run":
            names = list(experiments.names()) if asked.name == "all" else [asked.name]
            at, _ = experiments.scale(asked.scale), [experiments.experiment(name) for name in names]
            with workers(asked.workers, asked.dask, asked.threads) as executor:
                for name in names:
                    experiments.run(
                        name, at, executor, device=asked.device, threads=asked.threads or (1 if asked.dask else None)
                    )
        elif asked.verb == "status":
            print_status(experiments.scale(asked.scale))
        else:
            code = print_claims(asked.begin, asked.json)
        sys.stdout.flush()
    except BrokenPipeError:  # who read has seen enough: `status | head`; as of a process that SIGPIPE ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (ValueError, archive.ArchiveError) as fault:
        print(f"interplay: {fault}", file=sys.stderr)
        return 2
    except BrokenExecutor as fault:
        print(f"interplay: {fault}; what was finished is kept, the same command goes on from there", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print("interplay: stopped; what was finished is kept, the same command goes on from there", file=sys.stderr)
        return 130
    return code


def print_status(at: str) -> None:
    """A line an experiment: units kept and in all, the time the rest will take on one worker; and what is damaged."""
    print(f"scale {at}, results in {archive.folder()}")
    for name in experiments.names():
        kept, total, seconds, faults = experiments.status(name, at)
        left = "time unknown" if math.isnan(seconds) else f"{seconds / 60:.0f} min left"
        print(f"{name:27} {kept:4} of {total:4} units  {'complete' if kept == total else left}")
        for fault in faults:
            print(f"  {fault}")


def print_claims(begin: str, as_json: bool) -> int:
    """The ledger, as a table or as JSON; 4, and on stderr a line a reason, if rows could not be decided."""
    from . import ledger

    rows = ledger.rows(begin)
    if as_json:
        print(json.dumps(rows, indent=1))
    else:
        for row in rows:
            print(f"{row['id']:24} {row['verdict']:10} {row['interval'] or '':16} {row['claim']}")
    undecided: dict[str, list[str]] = {}
    for row in rows:
        if row["verdict"] == "undecided":
            undecided.setdefault(row["reason"], []).append(row["id"])
    for reason, ids in undecided.items():
        print(f"interplay: {len(ids)} undecided, as {reason}: {', '.join(ids)}", file=sys.stderr)
    return 4 if undecided else 0


if __name__ == "__main__":
    sys.exit(main())
