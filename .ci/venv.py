"""Makes .venv for this checkout and this Python, where it is not there yet; or says in one sentence why it cannot.

    python3 .ci/venv.py [TORCH_INDEX]

.venv/ready, written last, keeps whose it is: a copied or moved checkout or another Python makes it anew, a change of
the lock installs on top.  Any Python from 3.6 on reads this file, so that an old one is told and does not stumble.
"""

import hashlib
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.request import Request, urlopen

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
READY = VENV / "ready"
LOCK = ROOT / "requirements.lock"


def unfit():
    """Why this book cannot be built here, None if it can; PyTorch's wheels decide most of it."""
    system, machine, version = platform.system(), platform.machine(), platform.python_version()
    if sys.version_info < (3, 11):  # noqa: UP036
        return f"Python 3.11 or newer is needed, {sys.executable} is {version}: name another, like PYTHON=python3.13"
    if (system, machine) == ("Darwin", "x86_64"):
        return "PyTorch is no longer made for Macs with Intel processors: use Linux, or a Mac with an Apple processor"
    if system not in ("Linux", "Darwin"):
        return f"Linux or macOS is needed, this is {system}: on Windows use WSL"
    if sys.maxsize < 2**32 or machine not in ("x86_64", "aarch64", "arm64"):
        return f"PyTorch is made for 64-bit processors of Intel's and ARM's kinds, this Python is for {machine}"
    if system == "Linux" and platform.libc_ver()[0] != "glibc":
        return "PyTorch is made for Linux with glibc, which this one does not have"
    signs = [sign for sign in ":[]?*" if sign in str(ROOT)]
    if signs:
        return (
            f"the path {ROOT} has {' and '.join(signs)} in it, which Python or Sphinx stumble over: rename the folder"
        )
    return None


def silent(index):
    """Why an index has no PyTorch, None if it has: pip would pass over it in silence, and fetch CUDA elsewhere."""
    if not index.startswith("http"):
        return None if Path(index.replace("file://", "") + "/torch").is_dir() else "there is no such folder"
    try:
        urlopen(Request(index.rstrip("/") + "/torch/", headers={"User-Agent": "pip"}), timeout=30).close()
    except (OSError, ValueError) as fault:  # an HTTP status and a refused connection are OSErrors
        return str(fault).strip("<>")
    return None


def owner():
    """Whose .venv is: the checkout's folder and the Python; and what is to be in it."""
    content = LOCK.read_bytes() + (ROOT / "pyproject.toml").read_bytes()
    return [f"folder {ROOT}", f"python {platform.python_version()}", f"sha256 {hashlib.sha256(content).hexdigest()}"]


def works():
    """Whether the .venv that is there has a Python that starts."""
    try:
        return subprocess.call([str(VENV / "bin/python"), "-c", ""], stderr=subprocess.DEVNULL) == 0
    except OSError:
        return False


def install(index):
    """Install what the lock names, and the checkout itself; whether that could be done."""
    steps = [["-r", str(LOCK)], ["--no-deps", "-e", str(ROOT)]]
    if index:  # torch from there, and from nowhere else
        torch = [line.strip() for line in LOCK.read_text().splitlines() if line.startswith("torch==")]
        steps.insert(0, ["--no-deps", "--index-url", index, *torch])
    pip = [str(VENV / "bin/python"), "-m", "pip", "install", "--quiet", "--no-compile", "--disable-pip-version-check"]
    return all(subprocess.call(pip + step) == 0 for step in steps)


def main(index):
    """What went wrong, in one sentence; None if .venv is as it should be."""
    fault = unfit()
    if fault:
        return fault
    ours, there = owner(), READY.read_text().splitlines() if READY.exists() else []
    if ours == there and works():
        return None
    why = silent(index) if index else None
    if why:
        return f"no PyTorch can be had from TORCH_INDEX={index} ({why}): name another index, or none"
    if ours[:2] == there[:2] and works():
        READY.unlink()
    else:
        if VENV.is_symlink():
            VENV.unlink()
        elif VENV.exists():
            shutil.rmtree(str(VENV))
        base = getattr(sys, "_base_executable", sys.executable)  # not that of the .venv that is gone
        if subprocess.call([base, "-m", "venv", str(VENV)]):
            return f"{base} could not make {VENV}, for the reason above"
    if not install(index):
        return "the packages could not be installed, for the reason above; say make again, what was fetched is kept"
    READY.write_text("\n".join(ours) + "\n")
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else ""))
