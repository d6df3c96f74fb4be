"""The device that a chapter chose reaches what it trains and simulates.  Without a GPU a stand-in takes its place."""

import ast
import inspect
import re
from pathlib import Path
from unittest.mock import patch

import jupytext
import matplotlib.pyplot as plt
import pytest
import torch
import twins
from second_device import DEVICE, Elsewhere, Everywhere, second_device
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils._pytree import tree_map

from interplay import archive, experiments, operative, pathways, rnn, tasks
from interplay.seeds import generator, seed
from interplay.tasks import base

ROOT = Path(__file__).parents[1]
# Draws are made here, so that a GPU shows the networks of the page; what is kept chooses its device itself.
HERE = {"generator", "seeds.generator", "experiments.fetch", "experiments.compute", "experiments.run"}
LIVE = {
    "rnn": {"train", "simulate", "outputs", "steps"},
    "pathways": {"train"},
    "operative": {"outputs", "state_distance"},
    "sentiment": {"train", "evaluate", "against_rank"},
}


def code(chapter):
    return [cell.source for cell in jupytext.read(chapter).cells if cell.cell_type == "code"]


def takes_device(called: str, space: dict) -> bool:
    """Whether what a chapter calls, as it writes it, has a parameter for the device."""
    if called in HERE or called.endswith(".trials"):
        return called not in HERE
    try:
        function = eval(called, space) if re.fullmatch(r"[\w.]+", called) else None
        ours = function.__module__.startswith("interplay.")
        names = inspect.signature(function).parameters if ours else ()
    except (NameError, AttributeError, TypeError, ValueError):  # a name of the chapter, a method, a builtin
        return False
    return "device" in names or function is rnn.initialise


def calls(chapter: Path) -> list[tuple[str, ast.Call]]:
    """Calls of a chapter, with what is called; of `partial` what it will call."""
    tree = ast.parse("\n".join(code(chapter)))
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [(ast.unparse(one.args[0] if ast.unparse(one.func) == "partial" else one.func), one) for one in found]


def is_live(chapter: Path) -> bool:
    """Whether a chapter trains or simulates; what its code only names counts, too."""
    nodes = ast.walk(ast.parse("\n".join(code(chapter))))
    named = {(ast.unparse(node.value), node.attr) for node in nodes if isinstance(node, ast.Attribute)}
    return any((module, name) in named for module, names in LIVE.items() for name in names)


@pytest.mark.parametrize("chapter", twins.chapters(), ids=lambda chapter: chapter.stem)
def test_every_live_call_gets_the_device_of_its_chapter(chapter):
    text, space, tests = "\n".join(code(chapter)), {}, 0
    assert text.count("rnn.device()") == is_live(chapter), "one device a chapter, where it is needed"
    if is_live(chapter):
        assert re.search(r'^print\(.*\bon", device\)$', text, re.M), "the device is not printed"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import | ast.ImportFrom):
                exec(ast.unparse(node), space)
        for called, call in calls(chapter):
            if takes_device(called, space):
                given = [*call.args, *(keyword.value for keyword in call.keywords)]
                assert "device" in {name for value in given for name in names_in(value)}, ast.unparse(call)
                tests += 1
        assert tests or chapter.stem in ("oscillation", "sentiment-rank"), "nothing was looked at"  # these move tensors


def names_in(value: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(value) if isinstance(node, ast.Name)}


def made(cell: ast.Module) -> set[str]:
    """Names that the lines of a cell define: not those that run through a loop."""
    ours = [one for one in cell.body if isinstance(one, ast.Assign | ast.AugAssign | ast.FunctionDef | ast.ClassDef)]
    names = (node for one in ours for node in ast.walk(one) if isinstance(node, ast.Name))
    found = {node.id for node in names if isinstance(node.ctx, ast.Store)}
    return found | {one.name for one in ours if hasattr(one, "name")}


def needed(cells: list[str]) -> list[int]:
    """Cells that train, simulate or name the device, all that use what these define, and what those need."""
    trees = list(map(ast.parse, cells))
    calls = [f"{module}.{name}(" for module, names in LIVE.items() for name in names]
    on_it = {n for n, one in enumerate(trees) if "device" in names_in(one) or any(c in cells[n] for c in calls)}
    (choice,) = (n for n, cell in enumerate(cells) if "rnn.device()" in cell)

    def uses(later: int, earlier: int) -> bool:
        return earlier < later and bool(made(trees[earlier]) & (names_in(trees[later]) - made(trees[later])))

    def closed(chosen: set[int], follows) -> set[int]:
        while more := {n for n in range(len(cells)) if any(follows(n, k) for k in chosen)} - chosen:
            chosen = chosen | more
        return chosen

    after = closed(on_it - {choice}, uses)
    return sorted(closed(after | {0, choice}, lambda n, k: uses(k, n)))


AT_HOME = []  # not empty while what is kept, and missing, is computed


def at_home(function):
    """The function without the stand-in, on the CPU: what is kept is computed as ever, and much faster."""

    def wrapped(*args, **kwargs):
        args, kwargs = tree_map(lambda x: "cpu" if x == DEVICE else x, (args, kwargs))
        AT_HOME.append(function)
        try:
            with _disable_current_modes():
                return function(*args, **kwargs)
        finally:
            AT_HOME.pop()

    return wrapped


def carried(function):
    """Trains or simulates what is on the second device on its numbers: fast; that it could there has tests below."""

    def here(x):
        return x.inner if isinstance(x, Elsewhere) else x

    def wrapped(networks, given, **how):
        if AT_HOME:
            return function(networks, given, **how)

        def drawn(*epoch):
            with Everywhere():
                return tree_map(there, given(*epoch))

        def there(x):
            assert x.device == DEVICE
            return here(x)

        inputs = drawn if callable(given) else here(given)
        with _disable_current_modes():
            done = function(tree_map(there, networks), inputs, **tree_map(here, how))
        back = tree_map(lambda x: Elsewhere(x) if isinstance(x, torch.Tensor) else x, done)
        return done._replace(weights=back.weights) if isinstance(done, rnn.Training) else back

    return wrapped


@pytest.mark.parametrize("chapter", filter(is_live, twins.chapters()), ids=lambda chapter: chapter.stem)
def test_what_a_chapter_computes_live_is_on_a_second_device(chapter, monkeypatch):
    choose, cells, space = rnn.device, code(chapter), {}
    monkeypatch.setattr(rnn, "device", lambda name=None: choose(name or "auto") if name or AT_HOME else DEVICE)
    for module, name in ((experiments, "fetch"), (archive, "fetch")):
        monkeypatch.setattr(module, name, at_home(getattr(module, name)))
    for module, name in ((rnn, "train"), (rnn, "simulate"), (pathways, "train")):
        monkeypatch.setattr(module, name, carried(getattr(module, name)))
    with second_device(), patch.dict(base.TASKS):  # which a page's own task joins
        for n in needed(cells):
            exec(compile(cells[n], f"{chapter.name}, code cell {n + 1}", "exec"), space)
    plt.close("all")
    assert space["device"] == DEVICE


def test_the_second_device_does_not_mix():
    with second_device() as there:
        a = torch.ones(3, device=there)
        assert float((a + a).sum()) == 6
        with pytest.raises(RuntimeError, match="two devices"):
            a + torch.ones(3)
        with pytest.raises(RuntimeError, match="numpy"):
            a.numpy()
        assert (a * torch.tensor([2.0, 3, 4], device=there)).cpu().numpy().tolist() == [2, 3, 4]


@pytest.mark.parametrize("kind", operative.KINDS)
def test_operative_dimensions_stay_on_their_device(kind):
    W, X = torch.randn(12, 12, generator=generator("W")), torch.randn(30, 12, generator=generator("X"))

    def draw():
        return generator("basis") if kind == "random" else None

    U, s = operative.dimensions(W, X, kind, draw())
    with second_device() as there:
        found = operative.dimensions(W.to(there), X.to(there), kind, draw())
        assert all(part.device == there for part in found)
        assert torch.equal(found[0].cpu(), U) and torch.equal(found[1].cpu(), s)


def test_training_is_the_same_on_a_second_device():
    task, at = tasks.FlipFlop(), {}

    def trained(device):
        draws = [generator("here", k) for k in range(2)]
        start = rnn.initialise([0.0, 0.9], 8, task.n_in, task.n_out, [seed("a"), seed("b")], device=device)
        return rnn.train(
            start, lambda _: task.trials(4, draws, device), epochs=3, lr=0.01, dt=task.dt, snapshots=[0, 3]
        )

    at["here"] = trained("cpu")
    with second_device() as there:
        at["there"] = trained(there)
        assert at["there"].weights.W.device == there
        for one, other in zip(at["here"].weights, at["there"].weights):
            assert torch.equal(one, other.cpu())
        assert torch.equal(at["here"].loss, at["there"].loss)
        assert torch.equal(at["here"].snapshots[3], at["there"].snapshots[3])


def test_simulating_is_the_same_on_a_second_device():
    start = rnn.initialise([0.9], 8, 2, 1, [seed("a")])
    inputs, h0, noise = (
        torch.randn(size, generator=generator("drive", len(size))) for size in ((9, 1, 3, 2), (1, 8), (9, 1, 3, 8))
    )
    found = rnn.simulate(start, inputs, dt=0.2, h0=h0, noise=noise, keep_states=True)
    with second_device() as there:
        moved = rnn.Weights(*(w.to(there) for w in start)), inputs.to(there)
        other = rnn.simulate(*moved, dt=0.2, h0=h0.to(there), noise=noise.to(there), keep_states=True)
        assert all(torch.equal(one, two.cpu()) for one, two in zip(found, other, strict=True))


def test_pathways_stay_on_their_device():
    def trained(device):
        drawn = pathways.initialise((2, 3), 30, [1], dtype=torch.float64, device=device)
        small = [pathways.reduce(pathway, 1) for pathway in drawn]
        assert all(W.device.type == str(device) for pathway in (*drawn, *small) for W in pathway)
        done = pathways.train(small, pathways.target(), epochs=3)
        return *done.pathways[1], done.loss, pathways.in_modes(done.maps)

    here = trained("cpu")
    with second_device() as there:
        assert all(torch.equal(one, two.cpu()) for one, two in zip(here, trained(there), strict=True))
