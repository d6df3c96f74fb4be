"""The ledger: every claim of the papers, what was measured here with its 95 % interval, and the verdict.

Claims are data, in `claims/*.yaml`; `measures` says how they are measured.  A row holds if the mean over samples lies
in the range that was accepted beforehand; a claim that differs stays.  A result that is not there, or cannot be read,
decides nothing: such a row is "undecided", and says why.
"""

import inspect
import itertools
import json
import math
from collections.abc import Iterator
from pathlib import Path
from string import Template

import jsonschema
import numpy as np
import yaml

from . import intervals
from .archive import CHECKOUT, ArchiveError
from .experiments import LabelError, kept
from .measures import MEASURES, Ratio

FOLDER = Path(__file__).parent / "claims"
SCHEMA = json.loads((FOLDER / "schema.json").read_text("utf-8"))
CODE = json.loads((FOLDER / "authors_code.json").read_text("utf-8"))["runs"]
NUMBERS = ("value", "low", "high", "samples", "missing", "verdict")  # of a reference, the last where one is judged
NOT_ITS_CODE = "the figure is not what its published code gives"


class LedgerError(ValueError):
    """A fault in a file of claims; the message names file and line."""


class Entry(dict):
    """A mapping of a YAML file that knows where it stands."""

    place = ""


class _Loader(yaml.CSafeLoader):  # five times as fast as SafeLoader
    def construct_entry(self, node: yaml.MappingNode) -> Entry:
        names = [key.value for key, _ in node.value]
        self.flatten_mapping(node)
        entry = Entry(self.construct_mapping(node, deep=True))
        entry.place = f"{node.start_mark.name}:{node.start_mark.line + 1}"
        if len(set(names)) < len(names):
            raise LedgerError(f"{entry.place}: a name stands here twice")
        return entry


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _Loader.construct_entry)


def read(folder: Path = FOLDER) -> list[Entry]:
    """Every claim of the files in a folder, in order of their names; raises LedgerError for the first fault."""
    found = {}
    for path in sorted(folder.glob("*.yaml")):
        try:
            with path.open(encoding="utf-8") as text:
                whole = yaml.load(text, _Loader)
        except yaml.MarkedYAMLError as fault:
            raise LedgerError(f"{path}:{fault.problem_mark.line + 1}: {fault.problem}") from None
        for claim in _expand(whole, {}, {}):
            if claim["id"] in found:
                raise LedgerError(f"{claim.place}: the id {claim['id']!r} is also that of {found[claim['id']].place}")
            found[claim["id"]] = claim
    return list(found.values())


def _expand(entry: Entry, fields: dict, names: dict) -> Iterator[Entry]:
    """The claims of an entry: its `rows`, or itself, once for each combination of the items of its `for`.

    A group's fields are those of its rows that say nothing else.  An item of `for` that is a mapping gives several
    names; a name that is a field is that field of the row.
    """
    lists = entry.get("for", {}).items()
    items = [[one if isinstance(one, dict) else {name: one} for one in each] for name, each in lists]
    own = {name: value for name, value in entry.items() if name not in ("for", "rows")}
    for chosen in itertools.product(*items):
        here = names | {name: value for item in chosen for name, value in item.items()}
        mine = fields | own | {name: here[name] for item in chosen for name in item if name in SCHEMA["properties"]}
        if "rows" in entry:
            for row in entry["rows"]:
                yield from _expand(row, mine, here)
            continue
        try:
            claim = Entry(_fill(mine, here))
        except KeyError as fault:
            raise LedgerError(f"{entry.place}: no `for` gives the name ${fault.args[0]}") from None
        claim.place = entry.place
        _check(claim)
        yield claim


def _fill(value, names: dict):
    """The same with every $name in it filled in; a text that is nothing but a name becomes what it stands for."""
    if isinstance(value, dict):
        return {key: _fill(one, names) for key, one in value.items()}
    if isinstance(value, list):
        return [_fill(one, names) for one in value]
    if not isinstance(value, str):
        return value
    return names[value[1:]] if value[1:] in names and value[0] == "$" else Template(value).substitute(names)


def _check(claim: Entry) -> None:
    """Raise LedgerError, in one sentence, for what the schema, the measures or the site do not allow."""
    if fault := jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(SCHEMA).iter_errors(dict(claim))):
        where = "".join(f"{part}: " for part in fault.path)
        raise LedgerError(f"{claim.place}: {where}{fault.message}")
    ((name, labels),) = claim["measure"].items()
    if name not in MEASURES:
        raise LedgerError(f"{claim.place}: unknown measure {name!r}: the page of claims lists those there are")
    try:
        inspect.signature(MEASURES[name]).bind(**labels)
    except TypeError as fault:
        raise LedgerError(f"{claim.place}: {name}: {fault}") from None
    if np.greater(*accepted(claim)):
        raise LedgerError(f"{claim.place}: the range is upside down: {words(claim)}")
    page, label = claim["figure"].split(".html#")
    chapter = CHECKOUT / "book" / f"{page}.md"
    if chapter.parent.exists() and not (chapter.exists() and label in chapter.read_text("utf-8")):
        raise LedgerError(f"{claim.place}: the site has no figure {claim['figure']}")


def accepted(claim: dict) -> tuple[float, float]:
    """The accepted range of the mean, both ends included."""
    low = math.nextafter(claim["above"], math.inf) if "above" in claim else claim.get("low", -math.inf)
    return low, claim.get("high", math.inf)


def words(claim: dict) -> str:
    """The accepted range as the page shows it."""
    low, high = (f"{claim[end]:.10g}" if end in claim else "" for end in ("low", "high"))
    if low and high:
        return low if low == high else f"{low} to {high}"
    return f"at least {low}" if low else f"at most {high}" if high else f"above {claim['above']:.10g}"


def summary(measured) -> tuple[float, tuple[float, float], int, int]:
    """Value, 95 % interval, number of samples, and of those without a value, of what a measure gives."""
    if isinstance(measured, Ratio):
        sets = [np.ravel(one).astype(float) for one in measured[:2]]
        known = [one[np.isfinite(one)] for one in sets]
        value, ends = known[0].mean() / known[1].mean(), intervals.ratio(*known)
        there, number = (sum(map(len, each)) for each in (known, sets))
        return value - measured.less, tuple(np.subtract(ends, measured.less)), there, number - there
    values = np.asarray(measured)
    if values.dtype == bool:  # networks are counted
        each = values.size / len(values)
        ends = intervals.share(int(values.sum()), values.size)
        return values.mean() * each, (ends[0] * each, ends[1] * each), len(values), 0
    samples = values.ravel().astype(float)
    known = samples[np.isfinite(samples)]
    return known.mean() if len(known) else math.nan, intervals.mean(known), len(known), len(samples) - len(known)


def judge(claim: dict, measured) -> dict:
    """A row of the ledger, from a claim and what its measure gave."""
    value, (low, high), samples, missing = summary(measured)
    least, most = accepted(claim)
    holds = least <= value <= most
    row = blank(claim) | {"samples": samples, "missing": missing}
    if math.isnan(value):
        return row | {"reason": "no sample has a value"}
    row |= {"value": float(value), "verdict": "holds" if holds else "differs"}
    if samples > 1 and not isinstance(measured, Ratio) and np.asarray(measured).dtype != bool:
        row["within"] = sum(bool(least <= one <= most) for one in np.ravel(measured))
    row |= {} if holds else {"note": claim.get("note", ""), "cause": claim.get("cause")}
    if not math.isnan(low):
        inside, outside = least <= low and high <= most, high < least or most < low
        place = "firmly" if inside else "clearly differs" if outside else "at the edge"
        row |= {"low": float(low), "high": float(high), "interval": place}
    return row


def blank(claim: dict) -> dict:
    """A row before it is decided."""
    row = {name: claim[name] for name in ("id", "source", "claim")} | dict.fromkeys(("value", "low", "high"))
    row |= {"samples": 0, "missing": 0, "within": None, "expected": words(claim)}
    row["range"] = [end if math.isfinite(end) else None for end in accepted(claim)]
    row |= {"verdict": "undecided", "interval": None, "reason": "", "figure": claim["figure"], "note": ""}
    row |= {"cause": None, "fixed": claim.get("fixed", ""), "by_code": ""}
    return row | {"references": {of: x for of, x in claim.get("references", {}).items() if not isinstance(x, dict)}}


def authors_code(variable: str, task: str, g: float, over: dict | None = None, missing=False) -> np.ndarray | Ratio:
    """A variable of the runs of the authors' code that kept it (run,), NaN where a run has none.

    With `over`, labels to change, their Ratio; with `missing`, whether a run has none; LabelError if there is no run.
    """
    of = [run[variable] for run in CODE if (run["task"], run["g"]) == (task, g) and variable in run]
    if not of:
        raise LabelError(f"no run of the authors' code has {variable} of {task} at g = {g}")
    found = np.isnan(np.array(of, float)) if missing else np.array(of, float)
    return Ratio(found, authors_code(**{"variable": variable, "task": task, "g": g} | over)) if over else found


def _references(claim: dict) -> dict:
    """Numbers beside a row: of the figure, of other networks trained here, and of runs of the authors' code."""
    ((name, labels),) = claim["measure"].items()
    given = dict(claim.get("references", {}))
    if "book_networks" in given:
        given["book_networks"] = float(summary(MEASURES[name](**labels | given["book_networks"]))[0])
    if "code" in given:
        value, ends, *counts = summary(authors_code(**given["code"]))
        numbers = (None if math.isnan(x) else float(x) for x in (value, *ends))
        given["code"] = dict(zip(NUMBERS, (*numbers, *counts)))
    if changed := given.pop("published_rate", None):
        there = MEASURES[name](**labels | changed)
        row = judge(claim, there) | {"references": dict(given)}
        given["published_rate"] = {of: row[of] for of in NUMBERS} | {"by_code": _by_code(claim, row, there)}
    return given


def _by_code(claim: dict, row: dict, measured) -> str:
    """NOT_ITS_CODE of a row that differs, if intervals here and of the code overlap and that of both has no figure."""
    code = row["references"].get("code") if "published_rate" not in row["references"] else None
    ends = (row["low"], row["high"], code["low"], code["high"]) if code else (None,)
    if row["verdict"] != "differs" or None in ends or ends[0] > ends[3] or ends[2] > ends[1]:
        return ""
    runs = authors_code(**claim["references"]["code"])
    several = isinstance(measured, Ratio)
    both = Ratio(*map(np.append, measured[:2], runs[:2]), measured.less) if several else np.append(measured, runs)
    low, high = summary(both)[1]
    figure = row["references"].get("figure")
    least, most = accepted(claim) if figure is None else (figure, figure)  # of one without a number, its range
    return NOT_ITS_CODE if high < least or most < low else ""


def rows(begin: str = "", folder: Path = FOLDER) -> list[dict]:
    """The rows whose ids begin so, in the order of the papers; raises LedgerError for a fault in a file of claims."""
    claims, found = [claim for claim in read(folder) if claim["id"].startswith(begin)], []
    if not claims:
        raise ValueError(f"no claim begins with {begin!r}")
    kept.cache_clear()  # what has changed since is read again
    for claim in claims:
        ((name, labels),) = claim["measure"].items()
        try:
            measured = MEASURES[name](**labels)
            row = judge(claim, measured) | {"references": _references(claim)}
            found.append(row | {"by_code": _by_code(claim, row, measured)})
        except ArchiveError as fault:
            found.append(blank(claim) | {"reason": str(fault)})
        except LabelError as fault:
            raise LedgerError(f"{claim.place}: {fault}") from None
    return found
