"""`python -m interplay`: run experiments, say what is there, print the ledger of claims."""

import argparse
import json
import math
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
    claims = verbs.add_parser("claims", help="print the ledger of claims")
    claims.add_argument("--json", action="store_true", help="as a list of objects")
    asked = parser.parse_args(argv)
    try:
        if asked.verb == "run":
            names = experiments.names() if asked.name == "all" else [asked.name]
            at, _ = experiments.scale(asked.scale), [experiments.experiment(name) for name in names]
            with workers(asked.workers, asked.dask, asked.threads) as executor:
                for name in names:
                    experiments.run(
                        name, at, executor, device=asked.device, threads=asked.threads or (1 if asked.dask else None)
                    )
        elif asked.verb == "status":
            print_status(experiments.scale(asked.scale))
        else:
            print_claims(asked.json)
    except (ValueError, archive.ArchiveError) as fault:
        print(f"interplay: {fault}", file=sys.stderr)
        return 2
    except BrokenExecutor as fault:
        print(f"interplay: {fault}; what was finished is kept, the same command goes on from there", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print("interplay: stopped; what was finished is kept, the same command goes on from there", file=sys.stderr)
        return 130
    return 0


def print_status(at: str) -> None:
    """A line an experiment: units kept and in all, the time the rest will take on one worker; and what is damaged."""
    print(f"scale {at}, results in {archive.folder()}")
    for name in experiments.names():
        kept, total, seconds, faults = experiments.status(name, at)
        left = "time unknown" if math.isnan(seconds) else f"{seconds / 60:.0f} min left"
        print(f"{name:27} {kept:4} of {total:4} units  {'complete' if kept == total else left}")
        for fault in faults:
            print(f"  {fault}")


def print_claims(as_json: bool) -> None:
    """The ledger, as a table or as JSON."""
    from . import claims

    ledger = claims.ledger()
    if as_json:
        print(json.dumps(ledger, indent=1))
        return
    for row in ledger:
        print(f"{row['id']:5} {row['verdict']:15} {row['claim']}")


if __name__ == "__main__":
    sys.exit(main())
