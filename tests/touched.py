"""Plugin of pytest for `make check`: only the tests that a change touches, the nearest first, for some seconds.

A test file is touched if it differs from main, or imports a module that does, itself or through others.
"""

import ast
import signal
import subprocess
import time
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("src", "book/_ext", ".ci", ".")
START = time.monotonic()


def changed() -> set[Path]:
    """Files that differ from where this branch left main, and those that git does not know yet."""
    git = ["git", "-C", ROOT]
    base = subprocess.run(
        [*git, "merge-base", "HEAD", "main"], capture_output=True, text=True, check=False
    ).stdout.strip()
    told = [[*git, "diff", "--name-only", base or "HEAD"], [*git, "ls-files", "--others", "--exclude-standard"]]
    return {ROOT / name for words in told for name in subprocess.check_output(words, text=True).splitlines()}


@cache
def imports(file: Path) -> frozenset[Path]:
    """Files of this checkout that a Python file imports, reads or names; all in its folder of a lazy package."""
    rooms, found = [ROOT / room for room in ROOMS], {file.with_suffix(".yaml")}  # a table beside its module
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            wanted = [(room, alias.name) for room in rooms for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = f"{node.module}." if node.module else ""
            below = [file.parents[node.level - 1]] if node.level else rooms
            wanted = [(room, name) for room in below for name in (module, *(module + a.name for a in node.names))]
        else:
            wanted = []
            text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
            found |= {room / text for room in (ROOT, file.parent) if text.endswith((".py", ".yaml", ".json"))}
        for room, name in wanted:
            path = room.joinpath(*filter(None, name.split(".")))
            found |= {path.with_name(f"{path.name}.py"), path / "__init__.py"}
    if file.name == "__init__.py" and "import_module" in file.read_text("utf-8"):  # when it is asked
        found |= set(file.parent.glob("*.py"))
    return frozenset(one for one in found if one.is_file() and one != file)


@cache
def distances() -> dict[Path, int]:
    """Test files that the change touches, with the number of imports between the two."""
    seeds, found = changed(), {}
    tests = set((ROOT / "tests").glob("test_*.py")) - {ROOT / "tests/test_site.py"}  # which asks for a built site
    for test in sorted(tests):
        seen, edge, steps = {test}, {test}, 0
        while edge and not edge & seeds:
            edge = {below for file in edge if file.suffix == ".py" for below in imports(file)} - seen
            seen, steps = seen | edge, steps + 1
        if edge:
            found[test] = steps
    return found


def pytest_addoption(parser):
    parser.addoption("--seconds", type=float, default=20, help="end, and say what was not finished, after this time")


def pytest_ignore_collect(collection_path, config):
    return (collection_path.suffix in (".py", ".md") and collection_path not in distances()) or None


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: distances()[item.path])


ENDED = set()  # tests that the end of the time broke off: what they say then is due to that


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    left = START + item.config.option.seconds - time.monotonic()

    def stop(*_):
        ENDED.add(item)
        pytest.skip(f"not finished in {item.config.option.seconds:.0f} s: make test")

    if left <= 0:
        stop()
    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, left, 1)  # again, where a library swallows it


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown():
    signal.setitimer(signal.ITIMER_REAL, 0)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if item in ENDED and report.failed:
        report.outcome, report.longrepr = "skipped", (str(item.path), 0, "Skipped: broken off in its middle: make test")
    return report


def pytest_sessionfinish(session, exitstatus):
    if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:  # of a change that touches none
        session.exitstatus = pytest.ExitCode.OK
