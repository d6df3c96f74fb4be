"""Build the website at a scale.  What was executed before is used again, unless src/, the results or the lock changed.

jupyter-cache sees a change of a chapter's cells, and nothing else: its folder carries a digest of the rest in its name.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import address
import yaml

ROOT = Path(__file__).parents[2]


def key(root: Path = ROOT) -> str:
    """Digest of all that a chapter's output depends on beside its own cells."""
    sha = hashlib.sha256()
    files = [root / "requirements.lock", *(root / "src").rglob("*.py"), *(root / "results").rglob("*.nc")]
    for file in sorted(file for file in files if "egg-info" not in file.as_posix()):
        sha.update(f"{file.relative_to(root).as_posix()}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return sha.hexdigest()[:16]


def cache(scale: str, root: Path = ROOT) -> Path:
    """Folder of executed chapters at a scale; those of an older source are removed."""
    folder = root / "_build" / "cache" / f"{scale}-{key(root)}"
    for old in folder.parent.glob(f"{scale}-*"):
        if old != folder:
            shutil.rmtree(old)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def main() -> int:
    """`paper` builds _build/html from the kept results, `smoke` _build/test-site/_build/html from the tests' runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", choices=("smoke", "lite", "paper"), default="paper")
    scale = parser.parse_args().scale
    config = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
    config = address.configure(config, address.find())
    config["execute"]["cache"] = str(cache(scale))
    local = config["sphinx"]["local_extensions"]
    config["sphinx"]["local_extensions"] = {name: str(ROOT / where) for name, where in local.items()}
    chosen = ROOT / "_build" / f"config-{scale}.yml"
    chosen.write_text(yaml.safe_dump(config), "utf-8")
    out = ROOT if scale == "paper" else ROOT / "_build" / "test-site"
    out.mkdir(parents=True, exist_ok=True)
    # One thread: chapters run beside whatever else the machine does, and threads that contend are ten times slower.
    env = {"OMP_NUM_THREADS": "1"} | os.environ | {"INTERPLAY_SCALE": scale, "TQDM_DISABLE": "1"}
    if scale == "smoke":
        env["INTERPLAY_RESULTS"] = str(ROOT / "_build" / "smoke-results")
    book = Path(sys.executable).with_name("jupyter-book")
    options = ["-W", "-n", "--keep-going", "--config", str(chosen), "--toc", str(ROOT / "_toc.yml")]
    return subprocess.call([book, "build", str(ROOT), "--path-output", str(out), *options], cwd=ROOT, env=env)


if __name__ == "__main__":
    sys.exit(main())
