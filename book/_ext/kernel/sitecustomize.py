"""What the kernel of a chapter runs first: it notes every file of the checkout that it reads, looks for or lists.

Python imports this module by itself in each process that has its folder on `PYTHONPATH`.  Events come from audit hooks
(PEP 578), which see modules, results and tables alike, whoever opens them; each file is noted with the digest of what
was there then, one line of JSON in the file `BUILD_RECORD`.
"""

import hashlib
import json
import os
import sys
from importlib.util import source_from_cache

UNSEEN = {".git", ".venv", "_build", "_ext", "__pycache__"}


def digest(path: str) -> str | None:
    """SHA-256 of a file's content or of a folder's names; None if nothing is there."""
    try:
        if os.path.isdir(path):
            content = "\0".join(sorted(set(os.listdir(path)) - UNSEEN)).encode()
        else:
            with open(path, "rb") as file:
                content = file.read()
    except OSError:
        return None
    return hashlib.sha256(content).hexdigest()


def matters(path: str, root: str, results: str) -> bool:
    """Whether what is read at `path` decides an output: results, modules that were run, other files of the checkout."""
    source = os.path.join(root, "src", "")
    if path.startswith(results + os.sep):
        return True
    if path.startswith(source) and path.endswith(".py"):  # as a module; what is only looked through is not run
        name = path[len(source) :].removesuffix(".py").replace(os.sep, ".").removesuffix(".__init__")
        return name in sys.modules
    inside = path[len(root) + 1 :].split(os.sep) if path.startswith(root + os.sep) else UNSEEN
    return UNSEEN.isdisjoint(inside) and not any(part.endswith(".egg-info") for part in inside)


def watch(record: str, root: str, results: str) -> None:
    """Note in `record` what this process reads below `root`, or below `results` wherever that is."""
    log, seen = os.open(record, os.O_WRONLY | os.O_APPEND | os.O_CREAT), set()
    source = os.path.join(root, "src", "")

    def note(path: str | bytes) -> None:
        path = os.path.abspath(os.fsdecode(path))
        path = source_from_cache(path) if path.endswith(".pyc") and "__pycache__" in path else path
        if path not in seen and matters(path, root, results):
            seen.add(path)
            os.write(log, json.dumps([path, digest(path)]).encode() + b"\n")

    def hook(event: str, arguments: tuple) -> None:
        if event == "open" and isinstance(arguments[0], str | bytes):
            if arguments[2] & (os.O_WRONLY | os.O_RDWR):
                seen.discard(os.path.abspath(os.fsdecode(arguments[0])))
            else:
                note(arguments[0])
        elif event == "os.rename":
            # Written by this run: what it reads from there later counts.
            seen.discard(os.path.abspath(os.fsdecode(arguments[1])))
        elif event in ("os.scandir", "interplay.archive.look") and isinstance(arguments[0], str | bytes):
            note(arguments[0])
        elif event == "os.listdir" and isinstance(arguments[0], str):
            inside = (os.path.abspath(arguments[0]) + os.sep).startswith(source)
            if not inside:  # there each import lists, to find its module
                note(arguments[0])

    sys.addaudithook(hook)


if "BUILD_RECORD" in os.environ:
    watch(os.environ["BUILD_RECORD"], os.environ["BUILD_ROOT"], os.environ["INTERPLAY_RESULTS"])
