"""Whether a claim's range was fixed before a result could decide it: `python -m tests.sealed` writes `sealed.json`.

Ranges are read from every commit of `claims/`, of which the first were modules: these are imported with the rest of the
package absent.  Dates are of authors, as a rebase changes those of committers.
"""

import json
import math
import re
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from unittest import mock

import h5py
import yaml

from interplay import archive, experiments, ledger
from interplay.measures import MEASURES

ROOT = Path(__file__).parents[1]
FILE = ledger.FOLDER / "sealed.json"
OLD = """
import importlib, json, math, pkgutil, sys, types
from importlib import abc, machinery
from unittest import mock

class Absent(abc.MetaPathFinder, abc.Loader):
    def find_spec(self, name, path, target=None):
        ours = name.startswith("interplay") and not name.startswith("interplay.claims")
        if ours or name.split(".")[0] in ("torch", "xarray", "scipy"):
            return machinery.ModuleSpec(name, self, is_package=True)
    def create_module(self, spec):
        return mock.MagicMock(__path__=[], __spec__=spec, __name__=spec.name)
    def exec_module(self, module):
        pass

sys.modules["interplay"] = package = types.ModuleType("interplay")
package.__path__ = [sys.argv[1] + "/src/interplay"]
sys.meta_path.insert(0, Absent())
claims = importlib.import_module("interplay.claims")
parts = [importlib.import_module(f"interplay.claims.{part.name}") for part in pkgutil.iter_modules(claims.__path__)]
ends = lambda claim: [x if math.isfinite(x) else None for x in (float(claim.low), float(claim.high))]
print(json.dumps({claim.id: ends(claim) for part in parts for claim in getattr(part, "CLAIMS", [])}))
"""


def git(*asked: str) -> str:
    return subprocess.run(["git", *asked], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def ranges(commit: str) -> dict[str, list[float | None]]:
    """Claim -> its accepted range in a commit."""
    with tempfile.TemporaryDirectory() as place:
        pack = subprocess.run(
            ["git", "archive", commit, "src/interplay/claims"], cwd=ROOT, capture_output=True, check=True
        )
        subprocess.run(["tar", "-x", "-C", place], input=pack.stdout, check=True)
        if not (files := sorted(Path(place).rglob("*.yaml"))):
            told = subprocess.run([sys.executable, "-c", OLD, place], capture_output=True, text=True, check=True)
            return json.loads(told.stdout)
        with mock.patch.object(ledger, "_check"):  # measures and pages are not those of then
            whole = [yaml.load(file.read_text("utf-8"), ledger._Loader) for file in files]
            found = [claim for one in whole for claim in ledger._expand(one, {}, {})]
        return {claim["id"]: [x if math.isfinite(x) else None for x in ledger.accepted(claim)] for claim in found}


def moved(before: list[float | None], after: list[float | None]) -> bool:
    """Whether an end is another number; an end that no value could pass, such as 0 of a norm, was left out later."""
    both = [ends for ends in zip(before, after) if None not in ends]
    return any(not math.isclose(x, y, rel_tol=1e-6, abs_tol=2e-9) for x, y in both)


def history(until: str) -> tuple[dict, dict, list]:
    """Claim -> commit since which its range stands, and the range; and what changed: claim, commit, before, after."""
    since, last, changes = {}, {}, []
    for commit in git("log", "--reverse", "--format=%h", "--abbrev=7", until, "--", "src/interplay/claims").split():
        for name, ends in ranges(commit).items():
            if name in last and moved(last[name], ends):
                changes.append({"id": name, "commit": commit, "from": last[name], "to": ends})
            if name not in last or moved(last[name], ends):
                since[name] = commit
            last[name] = ends
    return since, last, changes


def added() -> dict[str, str]:
    """File of results -> day on which it was first committed."""
    found, day = {}, ""
    log = git("log", "--reverse", "--diff-filter=A", "--name-only", "--format=%aI", "--", "results")
    for line in log.split():
        day = line if re.match(r"\d{4}-", line) else day
        found.setdefault(line, day)
    return found


def first_result(claim: dict, days: dict[str, str]) -> tuple[str, str]:
    """Day of the first kept result that a claim reads, computed or, if that was earlier, committed; its experiment."""
    ((name, labels),) = claim["measure"].items()
    files = set()

    def variable(file, unit, of):
        files.add(file)
        return read(file, json.dumps(unit), of)

    experiments.kept.cache_clear()
    with mock.patch.object(archive, "variable", variable):
        MEASURES[name](**labels)
    found = []
    for file in files:
        with h5py.File(file) as kept:
            created = kept.attrs["created"].replace("Z", "+00:00")
        place = str(file.relative_to(archive.folder().parent))
        found.append((min(created, days.get(place, created)), file.parent.name))
    return min(found)


VARIABLE = archive.variable


@cache
def read(file: Path, unit: str, variable: str):
    return VARIABLE(file, json.loads(unit), variable)


def sealed(until: str) -> dict:
    """Claim -> commit and day of its range, day of the first kept result, whose it is; and the changes of ranges."""
    (since, _, changes), days, found = history(until), added(), {}
    for claim in ledger.read():
        if commit := since.get(claim["id"]):
            day, of = first_result(claim, days)
            on = git("show", "-s", "--format=%aI", commit).strip()
            found[claim["id"]] = {"fixed": commit, "on": on, "first": day, "of": of}
    return {"until": until, "rows": found, "changed": changes}


if __name__ == "__main__":
    whole = sealed(git("merge-base", "HEAD", "main").strip()[:7])
    for name, before in json.loads(FILE.read_text("utf-8"))["rows"].items():  # it may be measured on later results now
        row = whole["rows"].get(name)
        if row and before["fixed"] == row["fixed"] and before["first"] < row["first"]:
            row |= {"first": before["first"], "of": before["of"]}
    lines = ",\n".join(
        f"  {json.dumps(name, ensure_ascii=False)}: {json.dumps(row)}" for name, row in whole["rows"].items()
    )
    changed = ",\n".join(f"  {json.dumps(one, ensure_ascii=False)}" for one in whole["changed"])
    FILE.write_text(
        f'{{\n "until": "{whole["until"]}",\n "rows": {{\n{lines}\n }},\n "changed": [\n{changed}\n ]\n}}\n', "utf-8"
    )
