"""`python -m benchmarks [NAME ...]`: run benchmarks, print a table, write `benchmarks/results.json`."""

import json
import sys
from pathlib import Path

from . import linear, operative, pathways, training

BENCHMARKS = (
    training.BENCHMARKS | linear.BENCHMARKS | operative.BENCHMARKS | pathways.BENCHMARKS
)  # name: function that gives `benchmarks.row`
KEPT = Path(__file__).with_name("results.json")


def main(names: list[str]) -> None:
    """Run the benchmarks of these names, or all; rows of others that were kept stay."""
    if unknown := set(names) - set(BENCHMARKS):
        sys.exit(f"unknown benchmark {min(unknown)!r}: choose one of {', '.join(BENCHMARKS)}")
    kept = {row["name"]: row for row in json.loads(KEPT.read_text())} if KEPT.exists() else {}
    print(f"{'':34} {'seconds':>9} {'reference':>9} {'ratio':>7} {'of limit':>9} {'threads':>8}")
    for name in names or BENCHMARKS:
        row = kept[name] = {"name": name} | BENCHMARKS[name]()
        share = "" if row["share_of_limit"] is None else f"{row['share_of_limit']:.0%}"
        times = f"{row['seconds']:9.4f} {row['reference_seconds']:9.4f} {row['ratio']:7.1f}"
        print(f"{name:34} {times} {share:>9} {row['threads']:8}", flush=True)
        KEPT.write_text(json.dumps([kept[known] for known in BENCHMARKS if known in kept], indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
