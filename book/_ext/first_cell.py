# @title Set up: choose, and install the book's helpers where they are missing
import importlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

SCALE = "paper"  # @param ["paper", "lite", "smoke"]
RETRAIN = False  # @param {type: "boolean"}

REPOSITORY, COMMIT = "", ""
READS, SIZE = [], ""  # the kept results that this chapter opens, and what they weigh
CARD = ""  # what it would take to compute them anew


def missing():
    """Whether there is no package; what a broken install or a folder of its name left behind is none."""
    found = importlib.util.find_spec("interplay")
    return found is None or found.origin is None


def do(*command):
    told = subprocess.run(command, capture_output=True, text=True)
    if told.returncode:
        why = (told.stderr.strip() or "no reason given").splitlines()[-1]
        raise RuntimeError(
            f"The book's helpers are not installed ({why}): check the network, then run this cell again."
        )


if missing():
    sys.modules.pop("interplay", None)
    if not REPOSITORY:
        raise RuntimeError("The book's helpers are not installed: run `pip install -e .` in the book's checkout.")
    home = Path(f"book-{COMMIT[:12]}").resolve()
    if not home.exists():  # it is there whole or not at all
        print(f"Fetching the book's helpers and the results that this chapter opens ({SIZE}) ...")
        part = home.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        leave = ["!/results/", "!/notebooks/", "!/tests/", "!/book/_static/"]
        git = ["git", "-C", str(part)]
        do("git", "init", "--quiet", str(part))
        do(*git, "remote", "add", "origin", REPOSITORY)
        do(*git, "sparse-checkout", "set", "--no-cone", "/*", *leave, *(f"/results/paper/{name}/" for name in READS))
        do(*git, "fetch", "--quiet", "--depth", "1", "--filter=blob:none", "origin", COMMIT)
        do(*git, "checkout", "--quiet", "FETCH_HEAD")
        part.rename(home)
    # The bounds are wide on purpose: the torch and numpy that are there stay.
    do(sys.executable, "-m", "pip", "install", "--quiet", "-e", str(home))
    sys.path.insert(0, str(home / "src"))
    importlib.invalidate_caches()

os.environ |= {"INTERPLAY_SCALE": SCALE, "INTERPLAY_RETRAIN": str(int(RETRAIN))}
os.environ["INTERPLAY_CONTRACT"] = "print"  # the last cell says which sentences hold here, and does not raise
print(f"Scale {SCALE}; results are", "computed anew." if RETRAIN else "read where they are kept, else computed.", CARD)
