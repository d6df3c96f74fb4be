"""The device that a chapter chose reaches what it trains and simulates.  Without a GPU a stand-in takes its place."""

import ast
from pathlib import Path

import jupytext
import matplotlib.pyplot as plt
import pytest
import torch
import twins
from second_device import second_device
from torch.utils._python_dispatch import _disable_current_modes

from interplay import experiments, operative, rnn, tasks
from interplay.seeds import generator, seed

ROOT = Path(__file__).parents[1]
# Draws are made here, so that a GPU shows the networks of the page; what is too small for one stays here, too.
SMALL = {"oscillation", "operative-dimensions"}


def code(chapter):
    return [cell.source for cell in jupytext.read(chapter).cells if cell.cell_type == "code"]


def live(chapter):
    """Calls of a chapter that take a device, and whether they get the chapter's."""
    tree = ast.parse("\n".join(code(chapter)))
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        called = ast.unparse(call.func)
        loads = called == "partial" and ast.unparse(call.args[0]) == "zoo.load"
        if loads or called in ("rnn.initialise", "zoo.load") or called.endswith(".trials"):
            given = [*call.args, *(keyword.value for keyword in call.keywords)]
            yield ast.unparse(call), any(ast.unparse(value) == "device" for value in given)


QUICK = [twins.BOOK / f"{name}.md" for name in ("training", "low-rank-changes", "zoo")]


@pytest.mark.parametrize("chapter", twins.chapters(), ids=lambda chapter: chapter.stem)
def test_every_live_call_gets_the_device_of_its_chapter(chapter):
    text = "\n".join(code(chapter))
    trains = any(call in text for call in ("rnn.train(", "rnn.simulate(", "rnn.outputs("))
    assert text.count("rnn.device()") == (trains and chapter.stem not in SMALL)
    if trains and chapter.stem not in SMALL:
        assert 'on", device)' in text, "the device is not printed"
        for call, gets in live(chapter):
            assert gets, call


def at_home(function):
    """The function without the stand-in: what is kept is computed as ever, and much faster."""

    def wrapped(*args, **kwargs):
        with _disable_current_modes():
            return function(*args, **kwargs)

    return wrapped


@pytest.mark.parametrize("chapter", QUICK, ids=lambda chapter: chapter.stem)
def test_chapters_run_on_a_second_device(chapter, monkeypatch):
    choose = rnn.device
    with second_device() as there:
        monkeypatch.setattr(rnn, "device", lambda name=None: there if name is None else choose(name))
        monkeypatch.setattr(experiments, "fetch", at_home(experiments.fetch))
        space, loaded = {}, False
        for n, source in enumerate(code(chapter)):
            loaded |= "experiments.load(" in source
            if loaded and chapter.stem == "training" and "rnn." not in source:
                continue  # the kept networks of the sweeps, which take minutes to make at scale smoke
            exec(compile(source, f"{chapter.name}, code cell {n + 1}", "exec"), space)
        plt.close("all")
    assert space["device"] == there


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
