"""Executed chapters, kept in _build/runs/SCALE: each is executed anew when anything changed that its run depended on.

That is its own cells, the lock, the environment set here, and every file of the checkout that its kernel read, looked
for or listed, as `kernel/sitecustomize.py` noted: the modules of `interplay` that it loaded, and the results it opened.
"""

import hashlib
import json
import multiprocessing
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from unittest.mock import patch

import jupytext
import nbformat
from kernel.sitecustomize import digest
from nbclient import NotebookClient
from nbclient.exceptions import DeadKernelError
from nbmake.nb_result import NotebookError, NotebookResult
from nbmake.nb_run import NotebookRun
from traitlets.config import Config

ROOT = Path(__file__).parents[2]
TIMEOUT = 900  # seconds a cell
# The site's figures are drawn sharp at any size, and the same each time; a twin's stay PNG.
FIGURES = """
c.InlineBackend.figure_formats = {"svg"}
c.InlineBackend.rc = {"svg.hashsalt": "book"}
c.InlineBackend.print_figure_kwargs = {"bbox_inches": "tight", "metadata": {"Date": None}}
"""
# Of the machine's variables these can change what a chapter prints or draws, or what its kernel loads.
UNSAFE = re.compile(
    r"(PYTHON|IPYTHON|JUPYTER|MPL|MATPLOTLIB|INTERPLAY_(?!DATA$)|LC_|LANG|TZ$|TQDM|TORCH|OMP_|MKL_|NUMEXPR_|COLUMNS$|LINES$"
    r"|NO_COLOR$|FORCE_COLOR$)"
)


def environment(scale: str, root: Path = ROOT) -> dict[str, str]:
    """The variables of a build: the machine's, but for those that decide what a chapter shows, which are set here."""
    results = root / ("_build/smoke-results" if scale == "smoke" else "results")
    return {name: value for name, value in os.environ.items() if not UNSAFE.match(name)} | {
        "INTERPLAY_SCALE": scale,
        "INTERPLAY_RESULTS": str(results),
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "MPLCONFIGDIR": str(root / "_build/matplotlib"),
        "OMP_NUM_THREADS": "1",  # chapters run side by side, and threads that contend are ten times slower
        "PYTHONHASHSEED": "0",
        "PYTHONPATH": str(root / "src"),
        "PYTHONUTF8": "1",
        "TQDM_DISABLE": "1",
        "TZ": "UTC",
    }


def world(scale: str, root: Path = ROOT) -> str:
    """Digest of what all chapters depend on: the environment set here, the lock, the Python."""
    ours = {
        name: value.replace(str(root), "") for name, value in environment(scale, root).items() if UNSAFE.match(name)
    }
    ours |= {"python": sys.version, "lock": digest(str(root / "requirements.lock")), "figures": FIGURES}
    return hashlib.sha256(json.dumps(ours, sort_keys=True).encode()).hexdigest()


def place(source: Path, scale: str, root: Path = ROOT) -> Path:
    """Where the run of a chapter is kept."""
    return root / "_build/runs" / scale / f"{source.stem}.ipynb"


def cells(notebook: nbformat.NotebookNode) -> list[tuple[str, dict]]:
    return [(cell.source, dict(cell.metadata)) for cell in notebook.cells if cell.cell_type == "code"]


def kept(source: Path, scale: str, root: Path = ROOT) -> nbformat.NotebookNode | None:
    """The run of a chapter if one is kept and nothing changed that it depended on; else None."""
    if not (file := place(source, scale, root)).exists():
        return None
    run = nbformat.read(file, 4)
    made = run.metadata.pop("made")
    current = made["world"] == world(scale, root) and cells(run) == cells(jupytext.read(source))
    return run if current and all(digest(str(root / name)) == was for name, was in made["files"].items()) else None


def execute(source: Path, scale: str, timeout: int = TIMEOUT, root: Path = ROOT) -> NotebookResult:
    """Run a chapter; the run is kept if no cell raised, wrote to stderr, or is a figure and gave no picture."""
    (file := place(source, scale, root)).parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as own:
        variables = environment(scale, root) | {
            "BUILD_RECORD": f"{own}/record",
            "BUILD_ROOT": str(root),
            "IPYTHONDIR": f"{own}/ipython",  # nobody's start-up files, no history
            "JUPYTER_RUNTIME_DIR": f"{own}/jupyter",
            "PYTHONPATH": os.pathsep.join([str(root / "src"), str(Path(__file__).parent / "kernel")]),
        }
        (Path(own) / "ipython/profile_default").mkdir(parents=True)
        (Path(own) / "ipython/profile_default/ipython_kernel_config.py").write_text(FIGURES, "utf-8")
        work = Path(own) / file.name
        nbformat.write(jupytext.read(source), work)
        # The kernel is spoken to through files of its own folder, not through ports that others could listen to.
        client = partial(NotebookClient, config=Config(KernelManager={"transport": "ipc", "ip": f"{own}/at"}))
        with patch.dict(os.environ, variables, clear=True), patch("nbmake.nb_run.NotebookClient", client):
            done = NotebookRun(work, timeout).execute()
        noted = dict(map(json.loads, (Path(own) / "record").read_text("utf-8").splitlines()))
    for cell in done.nb.cells:
        cell.metadata.pop("execution", None)  # when it ran
    done.error = done.error or fault(done.nb)
    if done.error is None:
        files = {os.path.relpath(path, root): was for path, was in sorted(noted.items())}
        done.nb.metadata["made"] = {"world": world(scale, root), "files": files}
        part = file.with_suffix(f".{os.getpid()}.part")
        nbformat.write(done.nb, part)
        part.replace(file)
    return done


def fault(run: nbformat.NotebookNode) -> NotebookError | None:
    """The first cell that raised nothing and yet did not do what it should."""
    for index, cell in enumerate(run.cells):
        outputs = cell.get("outputs", [])
        said = "".join(out.text for out in outputs if out.output_type == "stream" and out.name == "stderr")
        shown = {kind for out in outputs for kind in out.get("data", {}) if not kind.startswith("text/plain")}
        if said:
            return NotebookError(f"wrote to stderr: {said.strip().splitlines()[-1]}", f"{cell.source}\n{said}", index)
        if "figure" in cell.metadata.get("mystnb", {}) and not shown:
            return NotebookError("is a figure, and gave no picture", cell.source, index)
    return None


def where(source: Path, run: nbformat.NotebookNode, index: int) -> str:
    """Chapter, line and number of the code cell at `index` of its run."""
    number = sum(cell.cell_type == "code" for cell in run.cells[: index + 1])
    lines = source.read_text("utf-8").splitlines()
    starts = [n for n, line in enumerate(lines, 1) if line.lstrip("`~:").startswith("{code-cell}")]
    return f"{source.parent.name}/{source.name}:{starts[number - 1]} (code cell {number})"


def attempt(source: Path, scale: str, root: Path = ROOT) -> tuple[float, str]:
    """Seconds that a chapter took, and what went wrong with it, in words; in a process of its own."""
    start = time.monotonic()
    try:
        done = execute(source, scale, root=root)
    except DeadKernelError as fault:
        return time.monotonic() - start, f"{source.parent.name}/{source.name}: {fault}"
    if done.error is None:
        return time.monotonic() - start, ""
    trace = re.sub(r"\x1b\[[\d;]*m", "", done.error.trace)
    summary = re.sub(r"\x1b\[[\d;]*m", "", done.error.summary)
    return time.monotonic() - start, f"{trace}\n{where(source, done.nb, done.error.failing_cell_index)}: {summary}"


def update(sources: Iterable[Path], scale: str) -> list[str]:
    """Execute the chapters that are stale, two at a time, the longest first; what went wrong, in words."""
    stale = sorted((one for one in sources if kept(one, scale) is None), key=lambda one: -one.stat().st_size)
    faults = []
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        running = {pool.submit(attempt, source, scale): source for source in stale}
        for future in as_completed(running):
            seconds, said = future.result()
            print(f"{running[future].name}: {'FAILED' if said else 'executed'} in {seconds:.0f} s", flush=True)
            faults += [said] * bool(said)
    return faults
