"""Trials against the timing rules of the paper's code, read back from the tensors alone, on thousands of trials."""

import itertools
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from interplay import __main__, archive, experiments, rnn, tasks, zoo
from interplay.experiments import training
from interplay.tasks import FlipFlop, Mante, Romo

DTS = (0.1, 0.25, 0.3, 0.5, 1.0)
PAPER = {"flip-flop": 0.0625, "mante": 0.125 * 40 / 86, "romo": 0.5 * 20 * 0.25 / (2 * 39.5)}
LIKELY = 1e-4  # smallest p-value that passes; seeds are fixed, so that a pass stays one


def generators(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def drawn(task, n_trials=1000, seeds=(0, 1), **kind):
    """Arrays (trial, time, channel) of all networks, one after the other."""
    trials = task.trials(n_trials, generators(*seeds), **kind)
    for part, channels in zip(trials, (task.n_in, task.n_out, task.n_out), strict=True):
        assert part.shape == (task.n_steps, len(seeds), n_trials, channels) and part.dtype == torch.float32
    return [part.permute(1, 2, 0, 3).flatten(0, 1).numpy() for part in trials]


def steps(duration, dt):
    return int(round(duration / dt, 6))


def runs(trial):
    """Onset, length, channel and value of every run of a constant value other than 0, in (time, channel)."""
    found = []
    for channel, x in enumerate(trial.T):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], x, [0]])))
        found += [(a, b - a, channel, x[a]) for a, b in itertools.pairwise(edges) if x[a]]
    return sorted(found)


def hold_to_rules(task, inputs, targets, mask):
    """Flip-flop: mask and targets follow from the pulses; pulses never overlap; returns steps between onsets."""
    dt, between = task.dt, []
    pulse, delay = steps(task.pulse, dt), steps(task.delay, dt)
    low, high = (task.delay + each for each in task.interval)
    for u, z, m in zip(inputs, targets, mask, strict=True):
        pulses = runs(u)
        onsets = [onset for onset, *_ in pulses] + [task.n_steps]
        assert onsets[0] == steps(task.first, dt)
        assert ((u != 0).sum(1) <= 1).all()
        expected_m, expected_z = np.zeros_like(m), np.zeros_like(z)
        for (onset, length, channel, value), after in zip(pulses, onsets[1:], strict=True):
            assert length == min(pulse, task.n_steps - onset) and abs(value) == np.float32(task.amplitude)
            expected_m[onset + delay : after] = 1
            expected_z[onset + delay : after, channel] = np.sign(value) * task.target
        assert (m == expected_m).all()
        assert (z * m == expected_z).all() and (z[m == 0] == 0).all()
        gaps = np.diff(onsets[:-1])
        assert (gaps >= steps(low, dt)).all() and (gaps <= steps(high, dt)).all()
        assert task.n_steps - onsets[-2] <= steps(high, dt)  # the end cuts an interval, and never drops a pulse
        between += list(gaps)
    return np.array(between)


@pytest.mark.parametrize("dt", DTS)
def test_flip_flop_follows_the_rules(dt):
    hold_to_rules(FlipFlop(dt=dt), *drawn(FlipFlop(dt=dt)))


@settings(max_examples=30, deadline=None)
@given(
    dt=st.sampled_from(DTS),
    first=st.floats(0, 3),
    pulse=st.floats(1, 4),
    delay=st.floats(4.5, 8),
    low=st.floats(0, 5),
    wide=st.floats(0, 20),
    amplitude=st.floats(0.1, 3),
    seed=st.integers(0, 2**31),
)
def test_flip_flop_rules_hold_for_any_fields(dt, first, pulse, delay, low, wide, amplitude, seed):
    # sizes on the grid of steps, so that floor(a) + floor(b) and floor(a + b) agree in the reading
    fields = {"first": first, "pulse": pulse, "delay": delay}
    fields = {name: max(1, int(value / dt)) * dt for name, value in fields.items()}
    interval = (int(low / dt) * dt, int((low + wide) / dt) * dt)
    task = FlipFlop(dt=dt, interval=interval, amplitude=amplitude, **fields)
    hold_to_rules(task, *drawn(task, 20, (seed,)))


def test_flip_flop_draws_intervals_channels_and_signs_uniformly():
    task = FlipFlop(dt=0.5, t_max=1601.0)
    inputs, *_ = drawn(task, 100, (3,))
    pulses = [runs(trial)[:53] for trial in inputs]  # 53 pulses always fit, so that the end selects none
    between = np.concatenate([np.diff([p[0] for p in trial]) for trial in pulses])
    counts = np.bincount(between, minlength=61)
    assert counts[:20].sum() == counts[60:].sum() == 0  # from 10 to 30, in steps of 1/2
    assert stats.chisquare(counts[20:60]).pvalue > LIKELY
    kinds = np.array([[2 * p[2] + (p[3] > 0) for p in trial] for trial in pulses])
    assert stats.chisquare(np.bincount(kinds.ravel(), minlength=4)).pvalue > LIKELY
    followed = stats.contingency.crosstab(kinds[:, :-1].ravel(), kinds[:, 1:].ravel()).count
    assert stats.chi2_contingency(followed).pvalue > LIKELY


@pytest.mark.parametrize("dt", DTS)
def test_mante_follows_the_rules(dt):
    task = Mante(dt=dt)
    fixation, stimulus, delay, decision = (steps(part, dt) for part in (3, 20, 5, 20))
    inputs, targets, mask = drawn(replace(task, noise=0.0))
    assert task.n_steps == fixation + stimulus + delay + decision
    shown, answer = slice(fixation, fixation + stimulus), slice(fixation + stimulus + delay, None)
    window = np.zeros(task.n_steps, bool)
    window[shown] = True
    assert (inputs[:, ~window] == 0).all()
    assert (inputs[:, shown] == inputs[:, shown][:, :1]).all()
    context, coherence = inputs[:, fixation, :2], inputs[:, fixation, 2:]
    assert (np.sort(context, axis=1) == [0, 1]).all()
    assert set(np.unique(coherence)) == {s / n for s in (-1, 1) for n in (1, 2, 4, 8)}
    chosen = np.where(context[:, 1] == 1, coherence[:, 1], coherence[:, 0])
    assert (targets[:, answer, 0] == 0.5 * np.sign(chosen)[:, None]).all()
    assert (targets[:, : answer.start] == 0).all()
    assert (mask[:, shown.stop : answer.start] == 0).all()
    assert mask.sum() == len(mask) * (fixation + stimulus + decision)


def test_a_mante_amplitude_scales_the_context_alone():
    twice, once = (Mante(amplitude=size).test_trial().inputs for size in (2.0, 1.0))
    assert torch.equal(twice[..., :2], 2 * once[..., :2]) and torch.equal(twice[..., 2:], once[..., 2:])


@pytest.mark.parametrize("dt", [0.1, 0.5, 1.0])
def test_mante_noise_is_white_and_there_all_the_trial(dt):
    with_noise, without = (drawn(Mante(dt=dt, noise=noise), 400)[0] for noise in (0.05, 0.0))
    noise = (with_noise - without)[:, :, 2:]
    assert (with_noise[:, :, :2] == without[:, :, :2]).all()
    samples = noise.size
    assert np.std(noise, axis=(0, 2)) == pytest.approx(np.full(noise.shape[1], 0.05 / np.sqrt(dt)), rel=0.1)
    assert np.std(noise) == pytest.approx(0.05 / np.sqrt(dt), rel=5 / np.sqrt(samples))
    assert stats.kstest(noise.ravel()[:20000], stats.norm(scale=0.05 / np.sqrt(dt)).cdf).pvalue > LIKELY
    for a, b in ((noise[:, 1:], noise[:, :-1]), (noise[:, :, 0], noise[:, :, 1]), (noise[1:], noise[:-1])):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 5 / np.sqrt(a.size)


def test_mante_draws_both_coherences_and_the_context_uniformly_and_independently():
    inputs, *_ = drawn(Mante(noise=0.0), 60000, (5,))
    middle = inputs[:, 20]
    kinds = [np.unique(column, return_inverse=True)[1] for column in middle.T[1:]]  # context, evidence 1 and 2
    joint = np.bincount(np.ravel_multi_index(kinds, (2, 8, 8)), minlength=128)
    assert stats.chisquare(joint).pvalue > LIKELY


@pytest.mark.parametrize("dt", DTS)
def test_romo_follows_the_rules(dt):
    task = Romo(dt=dt)
    fixation, pulse, wait, decision = (steps(part, dt) for part in (3, 1, 5, 10))
    inputs, targets, mask = drawn(task)
    assert task.n_steps == fixation + 2 * pulse + steps(8, dt) + wait + decision
    for u, z, m in zip(inputs, targets, mask, strict=True):
        (one, length_1, _, a1), (two, length_2, _, a2) = runs(u)
        assert one == fixation and length_1 == length_2 == pulse
        assert steps(2, dt) <= two - one - pulse <= steps(8, dt)
        assert min(a1, a2) >= 0.5 and max(a1, a2) <= 1.5 and abs(a1 - a2) >= 0.2 - 1e-6
        end = two + pulse
        answer = slice(end + wait, end + wait + decision)
        expected_m, expected_z = np.zeros_like(m), np.zeros_like(z)
        expected_m[:end] = expected_m[answer] = 1
        expected_z[answer, 0 if a1 > a2 else 1] = 0.5
        assert answer.stop <= task.n_steps
        assert (m == expected_m).all() and (z == expected_z).all()


def test_romo_draws_amplitudes_uniformly_given_the_gap():
    inputs, *_ = drawn(Romo(delay=(2.0, 2.0)), 40000, (7,))
    a1, a2 = inputs[:, 6, 0].astype(float), inputs[:, 12, 0].astype(float)
    rng = np.random.default_rng(8)
    b = rng.uniform(0.5, 1.5, (200_000, 2))
    b1, b2 = b[abs(b[:, 0] - b[:, 1]) >= 0.2].T  # the authors' rejection, said as it stands
    for ours, rejected in ((a1, b1), (a2, b2), (a1 - a2, b1 - b2), (a1 + a2, b1 + b2)):
        assert stats.ks_2samp(ours, rejected).pvalue > LIKELY
    cells = [np.histogram2d(x, y, bins=10, range=[[0.5, 1.5]] * 2)[0] for x, y in ((a1, a2), (b1, b2))]
    inside = cells[1] > 0
    assert (cells[0][~inside] == 0).all()
    assert stats.chi2_contingency([cell[inside] for cell in cells]).pvalue > LIKELY
    exact = stats.kstest(abs(a1 - a2), lambda d: 1 - ((1 - d) / 0.8) ** 2)
    assert exact.pvalue > LIKELY


def test_romo_draws_delays_uniformly():
    inputs, *_ = drawn(Romo(), 4000, (9,))
    second = np.argmax(inputs[:, 8:, 0] > 0, axis=1)
    counts = np.bincount(second, minlength=17)
    assert counts[:4].sum() == counts[16:].sum() == 0  # 2 to 8, in steps of 1/2
    assert stats.chisquare(counts[4:16]).pvalue > LIKELY


@settings(max_examples=30, deadline=None)
@given(
    dt=st.sampled_from(DTS),
    low=st.floats(0, 2),
    wide=st.floats(0.01, 2),
    part=st.floats(0, 0.99),
    seed=st.integers(0, 99),
)
def test_romo_never_draws_below_the_gap_or_out_of_range(dt, low, wide, part, seed):
    task = Romo(dt=dt, amplitude=(low, low + wide), gap=part * wide, delay=(0.0, 3.0))
    first = steps(3, dt)
    inputs, _, mask = drawn(task, 50, (seed,))
    a1, last = inputs[:, first, 0], mask[:, :, 0].argmin(axis=1) - 1
    a2 = inputs[np.arange(50), last, 0]
    assert min(a1.min(), a2.min()) >= low - 1e-6 and max(a1.max(), a2.max()) <= low + wide + 1e-6
    assert (abs(a1 - a2) >= part * wide - 1e-5).all()


@pytest.mark.parametrize("name", PAPER)
def test_a_network_draws_from_its_own_generator_alone(name):
    task = tasks.get(name)()
    together = task.trials(7, generators(4, 5, 6))
    for network, seed in enumerate((4, 5, 6)):
        alone = task.trials(7, generators(seed))
        assert all(torch.equal(a[:, network], b[:, 0]) for a, b in zip(together, alone, strict=True))
    assert not torch.equal(together.inputs[:, 0], together.inputs[:, 1])
    one = generators(4)
    first, second = task.trials(7, one), task.trials(7, one)
    assert torch.equal(first.inputs[:, 0], together.inputs[:, 0]) and not torch.equal(first.inputs, second.inputs)
    double = task.trials(7, generators(4, 5, 6), dtype=torch.float64)
    for a, b in zip(together, double, strict=True):
        assert b.dtype == torch.float64 and torch.allclose(a.double(), b, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", PAPER)
@pytest.mark.parametrize("change", [{}, {"dt": 0.1}, {"dt": 0.3}, {"dt": 1.0}, {"target": 0.8}])
def test_chance_is_the_loss_of_silence(name, change):
    task = replace(tasks.get(name)(), **change)
    if not change:
        assert task.chance == pytest.approx(PAPER[name], rel=1e-6)
    _, targets, mask = (part.double() for part in task.trials(20000 if name == "romo" else 500, generators(11)))
    measured = 0.5 * (mask * targets**2).sum() / mask.sum()
    assert measured.item() == pytest.approx(task.chance, rel=1e-3 if name == "romo" else 1e-6)


def test_romo_chance_with_a_fixed_delay_is_exact():
    task = Romo(delay=(4.3, 4.3))
    _, targets, mask = task.trials(3, generators(1))
    assert 0.5 * (mask * targets**2).sum().item() / mask.sum().item() == pytest.approx(task.chance, rel=1e-6)


def test_test_trial_of_flip_flop():
    inputs, targets, mask = FlipFlop().test_trial()
    assert inputs.shape == targets.shape == mask.shape == (200, 1, 1, 2)
    pulses = [(onset * 0.5, length, channel, value) for onset, length, channel, value in runs(inputs[:, 0, 0].numpy())]
    onsets, channels, signs = (1, 22.5, 36.5, 56, 72.5, 89.5), (0, 0, 0, 1, 0, 1), (-1, 1, 1, 1, -1, -1)
    assert pulses == [(t, 2, c, s) for t, c, s in zip(onsets, channels, signs, strict=True)]
    ((t, _, c, value), *_) = runs(targets[:, 0, 0].numpy())
    assert (t, c, value) == (12, 0, -0.5) and mask[:12].sum() == 0


def test_test_trial_of_mante():
    inputs, targets, mask = Mante().test_trial()
    quiet = Mante(noise=0.0).test_trial().inputs[:, 0, 0]
    assert inputs.shape == (96, 1, 1, 4) and targets.shape == mask.shape == (96, 1, 1, 1)
    assert (quiet[6:46] == torch.tensor([0, 1, 1, -0.5])).all() and (quiet[:6] == 0).all() and (quiet[46:] == 0).all()
    assert (targets[56:] == -0.5).all() and (targets[:56] == 0).all()
    noise = inputs[:, 0, 0] - quiet
    assert torch.equal(inputs, Mante().test_trial().inputs) and 0.05 < noise[:, 2:].std() < 0.09


def test_test_trial_of_romo():
    inputs, targets, mask = Romo().test_trial()
    assert inputs.shape == (56, 1, 1, 1) and targets.shape == mask.shape == (56, 1, 1, 2)
    assert runs(inputs[:, 0, 0].numpy()) == [(6, 2, 0, np.float32(0.6)), (18, 2, 0, np.float32(1.1))]
    assert runs(targets[:, 0, 0].numpy()) == [(30, 20, 1, 0.5)]
    assert runs(mask[:, 0, 0, :1].numpy()) == [(0, 20, 0, 1.0), (30, 20, 0, 1.0)]


def test_a_duration_of_three_steps_has_three_steps():
    inputs, *_ = Romo(dt=0.1, pulse=0.3).test_trial()  # 0.3 / 0.1 is less than 3 in floating point
    assert [length for _, length, *_ in runs(inputs[:, 0, 0].numpy())] == [3, 3]


def test_sizes_and_names():
    sizes = {
        name: (task().n_in, task().n_out, task().n_steps) for name, task in zip(tasks.BOOK, map(tasks.get, tasks.BOOK))
    }
    krause = {"context-integration": (5, 1, 1400), "sine-wave": (1, 1, 500)}
    assert sizes.items() >= (krause | {"flip-flop": (2, 2, 100), "mante": (4, 1, 96), "romo": (1, 2, 56)}).items()
    assert all(len(task.inputs) == task().n_in and len(task.outputs) == task().n_out for task in map(tasks.get, sizes))


INF, NAN = float("inf"), float("nan")


@pytest.mark.parametrize(
    ("kind", "fields"),
    [(kind, {"dt": dt}) for kind in (FlipFlop, Mante, Romo) for dt in (0.0, -0.5, NAN, INF, 1.5, "0.5")]
    + [(kind, {"target": value}) for kind in (FlipFlop, Mante, Romo) for value in (-0.5, NAN, INF, None)]
    + [
        (FlipFlop, {name: value})
        for name in ("first", "pulse", "delay", "t_max", "amplitude")
        for value in (-1.0, NAN, INF)
    ]
    + [(FlipFlop, {"interval": value}) for value in ((5.0,), (25.0, 5.0), (-1.0, 5.0), (5.0, INF), 5.0, [5.0, 6.0], ())]
    + [(FlipFlop, {"pulse": 0.2}), (FlipFlop, {"t_max": 6.0}), (FlipFlop, {"interval": (0.0, 9.0), "delay": 0.5})]
    + [
        (Mante, {name: value})
        for name in ("fixation", "stimulus", "delay", "noise", "amplitude")
        for value in (-1.0, NAN)
    ]
    + [(Mante, {"coherences": value}) for value in ((), (0.0, 1.0), (-0.5,), (NAN,), 3j)]
    + [(Mante, {"decision": 0.2}), (Mante, {"stimulus": 0.0})]
    + [
        (Romo, {name: value})
        for name in ("fixation", "pulse", "decision_delay", "decision", "gap")
        for value in (-1.0, INF)
    ]
    + [(Romo, {name: value}) for name in ("delay", "amplitude") for value in ((2.0, 1.0), (-1.0, 1.0), (1.0, NAN), 2.0)]
    + [(Romo, {"gap": 1.1}), (Romo, {"pulse": 0.4})],
)
def test_a_bad_field_is_named(kind, fields):
    with pytest.raises(
        ValueError, match=r"^(flip-flop|mante|romo): \w+ is .+, but must be .*(at least|from)"
    ) as raised:
        kind(**fields)
    message = str(raised.value)
    assert "\n" not in message and any(f" {name} is " in message for name in (*fields, "interval"))


@pytest.mark.parametrize("name", PAPER)
def test_bad_draws_are_named(name):
    task = tasks.get(name)()
    for n_trials in (0, -3, 2.5):
        with pytest.raises(ValueError, match=f"n_trials is {n_trials}, but must be a whole number and at least 1"):
            task.trials(n_trials, generators(1))
    for bad in ([], [None], [7]):
        with pytest.raises(ValueError, match="one torch.Generator a network"):
            task.trials(4, bad)


def test_an_unknown_task_is_named():
    with pytest.raises(
        ValueError,
        match="unknown task 'flipflop': choose one of context-integration, sine-wave, flip-flop, mante, romo",
    ):
        tasks.get("flipflop")


@pytest.fixture
def registry():
    """The registry, as it was when the test is over."""
    before = dict(tasks.TASKS)
    yield tasks.TASKS
    tasks.TASKS.clear()
    tasks.TASKS.update(before)


def three_bits():
    @dataclass(frozen=True, kw_only=True)
    class ThreeBits(tasks.Task):
        """Remember the sign of the last pulse in each of three channels."""

        period: float = 5.0
        name, inputs, outputs, rows = "three-bits", ("a", "b", "c"), ("A", "B", "C"), 6
        n_steps = property(lambda self: self.rows * self.steps("period"))

        def draw(self, u, generators, dtype):
            sign = 2 * torch.floor(6 * u).remainder(2) - 1
            pulse = torch.nn.functional.one_hot((3 * u).long(), 3) * sign[..., None]
            last = (torch.arange(1, 7, device=u.device)[:, None, None, None] * (pulse != 0)).cummax(0).values
            held = torch.cat([0 * pulse[:1], pulse]).gather(0, last)
            long = [x.repeat_interleave(self.steps("period"), 0).to(dtype) for x in (pulse, self.target * held)]
            long[0][(torch.arange(self.n_steps) % self.steps("period")) > 1] = 0
            return tasks.Trials(*long, torch.ones_like(long[1]))

    return ThreeBits


def test_a_task_of_ones_own_is_trained_kept_and_loaded_and_enters_no_list(registry, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("INTERPLAY_RESULTS", str(tmp_path))
    listed = (experiments.names(), [experiments.experiment(name).units("paper") for name in ("training", "sweep")])
    task = three_bits()
    assert three_bits() is tasks.get("three-bits") and task.__name__ == "ThreeBits"  # a cell may run again
    trials = tasks.get("three-bits")().trials(50, generators(0, 1))
    assert trials.targets.shape == (60, 2, 50, 3) and set(trials.targets.unique().tolist()) == {-0.5, 0.0, 0.5}
    changed = trials.targets.diff(dim=0).ne(0)
    assert (trials.inputs[1:][changed].abs() == 1).all() and changed.any()

    monkeypatch.setitem(training.TABLE["scales"]["smoke"]["epochs"], "flip-flop", 120)
    network = zoo.load("three-bits", g=0.7, sample=3, at="smoke")
    zero = float(rnn.loss(0 * trials.targets, trials.targets, trials.mask)[0])
    assert network.loss < 0.7 * zero
    (path,) = tmp_path.rglob("*.nc")
    assert path.relative_to(tmp_path).parts == ("smoke", "own", "three-bits_N32_WMv_s3_g0.7.nc")
    monkeypatch.setattr(training, "compute", None)
    again = zoo.load("three-bits", g=0.7, sample=3, at="smoke", train=False)
    assert torch.equal(again.after.W, network.after.W)
    assert listed == (
        experiments.names(),
        [experiments.experiment(name).units("paper") for name in ("training", "sweep")],
    )
    assert "own" not in experiments.names() and zoo.index("smoke").empty
    assert __main__.main(["status", "--scale", "smoke"]) == 0 and "three-bits" not in capsys.readouterr().out


def test_what_a_task_of_ones_own_draws_decides_its_result_and_what_the_book_draws_is_as_it_was(
    registry, tmp_path, monkeypatch
):
    """A cell that runs again with another `draw` has another digest, with other comments the same."""
    monkeypatch.setenv("INTERPLAY_RESULTS", str(tmp_path))
    text = """
from interplay import tasks
import torch
class Sign(tasks.Task):
    name, inputs, outputs, rows, n_steps = "sign", ("u",), ("z",), 1, 4
    def draw(self, u, generators, dtype):
        x = (u - 0.5)[..., None].to(dtype).expand(4, -1, -1, -1)
        return tasks.Trials(x, x.sign(), torch.ones_like(x))
"""
    found, held = [], {"__name__": "cell"}
    for k, (old, new) in enumerate([("0.5", "0.5"), ("x = (", "x =  (  # a comment\n            "), ("0.5", "0.25")]):
        file = tmp_path / f"cell_{k}.py"
        file.write_text(text.replace(old, new))
        exec(compile(file.read_text(), str(file), "exec"), held)
        found.append(tasks.get("sign").code())
        if k < 2:
            assert zoo.load("sign", g=0.7, sample=0, at="smoke").loss > 0
            monkeypatch.setattr(training, "compute", None)  # it is kept from now on
    assert found[0] == found[1] != found[2]
    differ = f'made with {{"task_code": "{found[0]}"}}, not {{"task_code": "{found[2]}"}}'
    with pytest.raises(archive.ArchiveError, match=differ):
        zoo.load("sign", g=0.7, sample=0, at="smoke")
    exec(text, held)
    with pytest.raises(
        ValueError, match="source of sign: draw cannot be read: define the task in a file or a notebook"
    ):
        zoo.load("sign", g=0.7, sample=0, at="smoke")
    assert not any(
        "task_code" in unit for name in ("training", "sweep") for unit in experiments.experiment(name).units("paper")
    )


def test_a_task_that_takes_a_name_or_gives_wrong_shapes_is_refused(registry):
    with pytest.raises(ValueError, match="task 'romo' is interplay.tasks.schuessler.Romo already: choose another"):

        class Mine(tasks.Task):
            name = "romo"

    with pytest.raises(ValueError, match="name of a task is 'a/b', but must be letters"):

        class Other(tasks.Task):
            name = "a/b"

    class Flat(three_bits()):
        def draw(self, u, generators, dtype):
            inputs, targets, mask = super().draw(u, generators, dtype)
            return tasks.Trials(inputs, targets, mask[..., 0])

    assert tasks.get("three-bits") is not Flat and tasks.get("romo") is Romo
    with pytest.raises(ValueError, match=r"mask of three-bits is \(60, 1, 4\), but must be \(60, 1, 4, 3\)"):
        Flat().trials(4, generators(0))
