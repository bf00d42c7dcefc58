"""The benchmark: ratios, verdicts, reports, and that every peer does the same job."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import machine, readme, report, runner
from bench.__main__ import update
from bench.gpu import __main__ as experiments
from bench.gpu import timings
from bench.peers import PEERS, Peer, find
from bench.peers.notebook import Loop
from bench.peers.ours import Ours
from bench.problem import Problem
from bench.results import agrees, bounds, collect, judge, ratios, slope, step_work
from bench.runner import Outcome
from bench.workloads import (
    CUDA_WORKLOADS,
    DEFAULT,
    JAX,
    RECIPE,
    TORCH,
    WORKLOADS,
    Target,
    Workload,
    curves,
    quick,
    thread_counts,
)
from mlp_xp import PRESETS, Config, Network, get_device
from mlp_xp.data import MNIST
from mlp_xp.data.loader import epoch_order

TRAIN = Workload(
    "toy",
    "a toy",
    "train",
    Problem(),
    (Target(Fraction(1, 2), ("jax_bytes",), "of JAX"), Target(Fraction(1), ("sklearn",), "of it")),
    peers=("jax_bytes", "torch_eager", "sklearn"),
)


def outcomes(*values: float, check: tuple[float, ...] = (1.0,)) -> list[Outcome]:
    return [Outcome(value, 0.5, 100.0, check) for value in values]


@pytest.fixture
def result() -> dict:
    measured = {
        "ours": outcomes(2e-6, 4e-6, 3e-6),
        "jax_bytes": outcomes(4e-6, 2e-6, 5e-6),
        "torch_eager": outcomes(1e-5, 1e-5, 1e-5, check=(1.5,)),
    }
    found = collect(TRAIN, 1, measured, {"sklearn": "sklearn is not installed"})
    # Results are shown as they are read back from the file.
    return json.loads(json.dumps(found))


@pytest.fixture
def whole(result: dict) -> dict:
    return {
        "date": "2000-01-01",
        "rounds": 3,
        "machine": {
            "processor": "a processor",
            "blas": {"internal_api": "openblas", "version": "0.3", "architecture": "Zen"},
            "variables": {"OPENBLAS_CORETYPE": "Zen"},
            "cores": 2,
            "memory_gb": 8.0,
            "governor": "not readable",
            "load": 0.0,
            "others": 0.25,
        },
        "versions": {"python": "3"},
        "roofline": {
            "1": {"float32_gflop_s": 50.0, "float64_gflop_s": 25.0, "copy_gb_s": {"256": 10.0}}
        },
        "results": [result],
        "curves": {},
        "scaling": {},
    }


def test_ratios_are_taken_round_by_round(result):
    assert ratios([2, 4, 3], [4, 2, 5]) == [0.5, 2, 0.6]
    assert result["peers"]["jax_bytes"]["ratios"] == pytest.approx([0.5, 2, 0.6])
    assert result["peers"]["jax_bytes"]["values"] == pytest.approx([4, 2, 5])


def test_a_round_without_its_pair_is_an_error():
    with pytest.raises(ValueError, match="shorter"):
        ratios([1, 2], [1])


def test_a_missed_target_says_by_how_much(result):
    missed, unknown = result["targets"]
    # The median of the ratios, 0.6, over the target's 0.5; not the ratio of the medians.
    assert missed["factor"] == pytest.approx(1.2)
    assert report.state(missed) == "missed, 1.20 times as much"
    assert report.state(unknown) == "no peer to compare with"
    assert report.state({"factor": 1.0}) == "reached"


def test_a_group_is_judged_by_its_fastest_peer_that_agrees():
    peers = {
        name: {"values": [value], "ratios": [1 / value], "agrees": same}
        for name, value, same in (("a", 3, True), ("b", 2, True), ("c", 1, False))
    }
    verdict = judge(Target(Fraction(1), ("a", "b", "c", "d")), peers)
    assert (verdict["against"], verdict["factor"]) == ("b", 0.5)


def test_an_absolute_target_has_no_peer():
    verdict = judge(Target(Fraction(200), (), "MB"), {"ours": {"values": [100, 500, 300]}})
    assert (verdict["against"], verdict["factor"]) == (None, 1.5)


def test_targets_read_as_written():
    targets = [str(target) for workload in WORKLOADS for target in workload.targets]
    written = {"≤ 0.85 of JAX", "≤ 1/2 of PyTorch, eager", "≤ 0.4 of the best peer", "≤ 200 MB"}
    assert written <= set(targets)


def test_another_result_is_not_the_same_job():
    assert agrees(TRAIN, [0.5, 0.25], [0.502, 0.25])
    assert not agrees(TRAIN, [0.5, 0.25], [0.504, 0.25])
    assert not agrees(TRAIN, [0.5], [0.5, 0.25])
    good_enough = replace(TRAIN, accuracy=97.08)
    assert agrees(good_enough, [97.5], [0.1, 97.08])
    assert not agrees(good_enough, [97.5], [97.07])
    assert not agrees(good_enough, [97.5], [])


def test_the_block_names_who_is_missing_and_who_differs(result):
    text = "\n".join(report.block(result))
    assert "scikit-learn         missing: sklearn is not installed" in text
    assert "NOT THE SAME RESULT: [1.5]" in text
    assert "target ≤ 0.5 of JAX" not in text
    assert "target ≤ 1/2 of JAX (JAX, bytes): missed, 1.20 times as much" in text
    assert "3.00 (2.00–4.00)" in text


def test_a_peer_that_is_not_installed_is_missing(monkeypatch):
    uninstalled = PEERS["tinygrad"]._replace(requires="no_such_module_anywhere")
    monkeypatch.setitem(PEERS, "tinygrad", uninstalled)
    monkeypatch.setattr(runner, "measure", lambda *_: outcomes(1.0)[0])
    workload = replace(TRAIN, peers=("tinygrad",))
    done, missing = runner.run_rounds(workload, 1, 2, MNIST, MNIST, lambda _: None)
    assert list(done) == ["ours"]
    assert len(done["ours"]) == 2
    assert missing == {"tinygrad": "no_such_module_anywhere is not installed"}


def test_a_peer_that_fails_is_missing_with_its_cause(monkeypatch):
    turns = []

    def measure(workload, name, *_):
        turns.append(name)
        return "no compiler" if name == "torch_eager" and len(turns) > 3 else outcomes(1.0)[0]

    monkeypatch.setattr(runner, "absent", lambda _: None)
    monkeypatch.setattr(runner, "measure", measure)
    workload = replace(TRAIN, peers=("jax_bytes", "torch_eager"))
    done, missing = runner.run_rounds(workload, 1, 3, MNIST, MNIST, lambda _: None)
    assert turns == ["ours", "jax_bytes", "torch_eager"] * 2 + ["ours", "jax_bytes"]
    assert {name: len(each) for name, each in done.items()} == {"ours": 3, "jax_bytes": 3}
    assert missing == {"torch_eager": "no compiler"}


def test_the_table_goes_between_the_markers(whole):
    text = f"before\n{readme.BEGIN}\nold\n{readme.END}\nafter\n"
    once = readme.insert(text, readme.section([whole]))
    assert once.startswith(f"before\n{readme.BEGIN}\n| workload |")
    assert once.endswith(f"\n{readme.END}\nafter\n")
    assert "old" not in once
    assert "| ≤ 1/2 of JAX | missed, 1.20 times as much |" in once
    assert readme.insert(once, readme.section([whole])) == once
    with pytest.raises(ValueError, match="the text needs the two lines"):
        readme.insert("no markers", "table")


def test_the_table_has_as_many_cells_in_every_row(whole):
    for reports, cells in (([whole], 8), ([whole, whole], 9)):
        rows = list(readme.table(readme.named(reports)))
        assert {row.count("|") for row in rows} == {cells + 1}
        assert len(rows) == 2 + len(whole["results"][0]["targets"])


def test_the_table_quotes_the_machine_where_a_row_is_worst(whole):
    other = json.loads(json.dumps(whole))
    other["machine"]["processor"] = "another processor"
    for name, one, factor in (("A", whole, 1.2), ("B", other, 0.9)):
        verdict = one["results"][0]["targets"][0]
        assert verdict["against"] == "jax_bytes"
        verdict["factor"] = factor
        one["curves"] = {"rows": steep(factor)}
        one["scaling"] = {"toy": {"title": f"on {name}", "cores": 2, "x": [1], "values": [[3]]}}
    for reports, name in (([whole, other], "A"), ([other, whole], "B")):
        text = readme.section(reports)
        assert f" | {name} | ≤ 1/2 of JAX | missed, 1.20 times as much |" in text
        assert f" | 1.20 | {name} | ≤ 1.05 | missed, exponent 1.20 |" in text
        assert "0.90 times" not in text
        assert "exponent 0.90" not in text
        assert f"\n\n{name}: Measured on 2000-01-01 on a processor, 2 cores" in text
        assert "on A | A | 2 | 1 |" in text or "on A | B | 2 | 1 |" in text


def steep(exponent: float) -> dict[str, Any]:
    return {
        "threads": 1,
        "x": [1],
        "work": [1e6],
        "seconds": {"ours": [0.1]},
        "slope": {"ours": exponent},
    }


def test_the_ideal_is_one_threads_time_divided_among_the_cores():
    curve = {"title": "toy", "cores": 2, "x": [1, 2, 3], "values": [[8, 9, 7], [5, 5, 6], [6]]}
    assert report.ideal(curve) == [8, 4, 4]
    assert list(report.scaling_block(curve))[3].split() == ["2", "5.00", "(5.00–6.00)", "4.00"]
    assert thread_counts(1) == (1, 2, 3, 4)
    assert thread_counts(7) == (1, 2, 3, 4, 6, 7)


def test_the_report_names_the_machine_and_every_target(whole):
    line = "Measured on a processor, 2 cores (openblas 0.3, Zen kernels, OPENBLAS_CORETYPE=Zen)"
    assert next(report.machine(whole)).startswith(line)
    whole["curves"] = {"rows": steep(1.2)}
    lines = list(report.targets(whole))
    assert len(lines) == 3
    assert "missed, exponent 1.20" in lines[-1]
    block = list(report.curve_block("rows", steep(1.2)))
    assert f"  target {report.LINEAR}: missed, exponent 1.20" in block


def test_the_picture(whole, tmp_path):
    pytest.importorskip("matplotlib")
    from bench.pictures import draw_results

    whole["curves"] = {"rows": {"x": [1, 2], "seconds": {"ours": [0.1, 0.2]}}}
    whole["scaling"] = {"toy": {"cores": 2, "x": [1, 2], "values": [[3, 4], [2, 2]]}}
    draw_results(whole, tmp_path / "results.png")
    assert (tmp_path / "results.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0123, "0.012"), (0.5, "0.50"), (12.34, "12.3"), (123.4, "123"), (1234.5, "1,234")],
)
def test_numbers_have_three_figures(value, text):
    assert report.number(value) == text


def test_work_of_a_step():
    problem = Problem(hidden=(3,), batch_size=2)
    operations, moved = step_work(problem)
    assert operations == 2 * 2 * (2 * 784 * 3 + 3 * 3 * 10)
    assert moved == 4 * (3 * 784 * 3 + 4 * 3 * 10)
    roof = {"float32_gflop_s": 1.0, "copy_gb_s": {"0.001": 9.0, "0.1": 2.0}}
    found = bounds(problem, roof)
    assert found["products"] == pytest.approx(operations / 1e3)
    assert found["memory"] == pytest.approx(moved / 2e3)


def test_slope_is_the_exponent():
    assert slope([1, 2, 4], [3, 12, 48]) == pytest.approx(2)


def test_rows_fill_every_batch():
    problems = [workload.problem for workload in (*WORKLOADS, *CUDA_WORKLOADS, *quick())]
    problems += [problem for points in curves().values() for problem in points.values()]
    for problem in problems:
        assert problem.rows % problem.batch_size == 0
        assert problem.rows <= 60_000
        assert problem.epochs >= 2


def test_a_problem_survives_its_command_line():
    for workload in (*WORKLOADS, *CUDA_WORKLOADS):
        assert Problem.from_json(workload.problem.to_json()) == workload.problem


@pytest.mark.parametrize("init", ["he", "notebook"])
def test_peers_start_from_our_weights_and_take_our_order(init):
    problem = Problem(hidden=(16, 8), init=init, rows=640, dtype="float64")
    network = Network.initialize(
        get_device("cpu"), problem.sizes, init=init, seed=0, dtype="float64"
    )
    for layer, (W, b) in zip(network.layers, problem.weights(), strict=True):
        np.testing.assert_array_equal(layer.W, W)
        np.testing.assert_array_equal(layer.b, b)
    for epoch in (1, 2):
        np.testing.assert_array_equal(problem.order(epoch).ravel(), epoch_order(0, epoch, 640))


def test_peers_take_the_steps_that_our_command_takes():
    plain = replace_fields(Config(), RECIPE)
    assert Config(hidden=(128,), batch_size=50, epochs=2, lr=0.5) == plain
    assert Config() == replace_fields(Config(), DEFAULT)
    by_name = {workload.name: workload for workload in WORKLOADS}
    theirs = by_name["notebook"].problem
    preset = Config.from_dict(PRESETS["notebook"])
    assert preset == replace(replace_fields(preset, theirs), shuffle=theirs.shuffle)
    assert preset.init == theirs.init
    # What the peers' scripts don't do, our defaults must not do either.
    for config in (Config(), preset):
        assert config.optimizer == "sgd"
        assert config.momentum == config.weight_decay == config.dropout == config.warmup == 0


def replace_fields(config: Config, problem: Problem) -> Config:
    names = ("hidden", "batch_size", "epochs", "optimizer", "lr", "momentum", "schedule", "dtype")
    return replace(config, **{name: getattr(problem, name) for name in names})


def train(peer: type[Peer], problem: Problem) -> tuple[list[float], Peer]:
    rng = np.random.default_rng(1)
    X = rng.integers(0, 256, (problem.rows, 784)).astype(np.uint8)
    y = rng.integers(0, 10, problem.rows)
    one = peer(problem, X, y)
    return [epoch.loss for epoch in one.train()], one


@pytest.mark.parametrize("schedule", ["constant", "linear"])
def test_the_notebooks_loop_and_ours_agree(schedule, tmp_path):
    problem = Problem(batch_size=1, rows=60, epochs=3, lr=0.01, dtype="float64", schedule=schedule)
    theirs, loop = train(Loop, problem)
    losses, mlp = train(Ours, problem)
    # They differ only by the loop's 1e-12 inside the logarithm.
    np.testing.assert_allclose(losses, theirs, rtol=1e-7)
    X = np.random.default_rng(2).integers(0, 256, (5, 784)).astype(np.uint8)
    np.testing.assert_allclose(mlp.predict(X), loop.predict(X), rtol=1e-6)
    for peer in (loop, mlp):
        peer.save(tmp_path / type(peer).__module__)
    assert len(list(tmp_path.iterdir())) == 2


def test_peers_predict_the_same_before_they_train():
    problem = Problem(hidden=(16,), rows=320)
    rng = np.random.default_rng(3)
    X, y = rng.integers(0, 256, (320, 784)).astype(np.uint8), np.arange(320) % 10
    theirs, loop, ours = (peer(problem, X, y).predict(X) for peer in (find("sklearn"), Loop, Ours))
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)
    np.testing.assert_allclose(loop, theirs, rtol=1e-4)


STEPS = {
    "sgd": {"lr": 0.05},
    "momentum": {"lr": 0.01, "momentum": 0.9},
    "adam": {"lr": 1e-3, "optimizer": "adam"},
}


@pytest.mark.filterwarnings("ignore:the training loss")  # need not fall here
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # an epoch a call
@pytest.mark.parametrize("step", STEPS)
def test_scikit_learn_and_ours_agree(step):
    problem = Problem(hidden=(16,), rows=320, epochs=3, dtype="float64", **STEPS[step])
    theirs, _ = train(find("sklearn"), problem)
    losses, _ = train(Ours, problem)
    # Its Adam adds epsilon before the square root's correction, not after it.
    np.testing.assert_allclose(losses, theirs, rtol=1e-5 if step == "adam" else 1e-9)


@pytest.fixture(params=[*JAX, *TORCH])
def framework(request, tmp_path, monkeypatch) -> Iterator[type[Peer]]:
    library = pytest.importorskip(PEERS[request.param].requires)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    yield find(request.param)
    if library.__name__ == "torch":  # which the peer set for the whole process
        library.set_flush_denormal(False)


@pytest.mark.full
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # its own, of itself
@pytest.mark.filterwarnings("ignore:the training loss")
@pytest.mark.parametrize("step", STEPS)
def test_frameworks_and_ours_agree(framework, step):
    problem = Problem(hidden=(16, 8), rows=320, epochs=3, **STEPS[step])
    theirs, peer = train(framework, problem)
    losses, mlp = train(Ours, problem)
    np.testing.assert_allclose(losses, theirs, rtol=1e-4)
    X = np.random.default_rng(2).integers(0, 256, (5, 784)).astype(np.uint8)
    np.testing.assert_allclose(peer.predict(X), mlp.predict(X), rtol=5e-3)


@pytest.mark.full
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # its own, of itself
def test_dropout_raises_a_peers_losses_as_it_does_ours(framework):
    problem = Problem(hidden=(64,), rows=320, epochs=20, dropout=0.5, **STEPS["adam"])
    dropped, kept = (
        np.mean(train(framework, each)[0]) for each in (problem, replace(problem, dropout=0.0))
    )
    ours, _ = train(Ours, problem)
    assert dropped > 1.1 * kept
    assert dropped == pytest.approx(np.mean(ours), rel=0.03)


def test_a_budget_ends_training_after_the_first_epoch_that_counts():
    problem = Problem(batch_size=1, rows=20, epochs=9, lr=0.01, budget=0.0)
    losses, _ = train(Loop, problem)
    assert len(losses) == 2


def test_what_others_use_is_what_the_processors_do_beside_the_benchmark(monkeypatch, tmp_path):
    ticks = os.sysconf("SC_CLK_TCK")
    monkeypatch.setattr(machine, "STAT", tmp_path / "stat")
    monkeypatch.setattr(machine.time, "monotonic", iter([100.0, 110.0, 120.0]).__next__)
    monkeypatch.setattr(machine.os, "times", lambda: spent)
    # user, nice, system, idle, waiting for disks, irq, softirq, steal, guest
    machine.STAT.write_text(f"cpu  {5 * ticks} 0 {ticks} 7 7 0 0 0 0 0\ncpu0 1 2\n")
    spent = (1.0, 0.0, 2.0, 1.0, 100.0)
    busy = machine.Busy()
    machine.STAT.write_text(f"cpu  {15 * ticks} {ticks} {ticks} 9 9 0 0 {4 * ticks} 0 0\n")
    spent = (2.0, 1.0, 6.0, 2.0, 110.0)
    assert busy.others() == 0.8  # 15 s more in all, 7 s of them its own, in 10 s
    machine.STAT.unlink()
    assert busy.others() is None


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux's /proc")
def test_memory_counts_what_a_process_starts():
    code = "import subprocess, sys; held = bytes(b'x' * 40_000_000); "
    child = [sys.executable, "-c", f"{code}input()"]
    parent = f"{code}subprocess.run({child!r})"
    with subprocess.Popen([sys.executable, "-c", parent], stdin=subprocess.PIPE) as process:
        until = time.monotonic() + 20
        while (found := runner.tree_mb(process.pid)) < 80 and time.monotonic() < until:
            time.sleep(0.05)
        process.communicate(b"\n")
    assert 80 <= found < 200
    assert runner.tree_mb(process.pid) == 0


def test_no_round_begins_when_time_is_up(monkeypatch):
    monkeypatch.setattr(runner, "absent", lambda _: None)
    monkeypatch.setattr(runner, "measure", lambda *_: outcomes(1.0)[0])
    done, _ = runner.run_rounds(TRAIN, 1, 5, MNIST, MNIST, lambda _: None, until=0.0)
    assert [len(each) for each in done.values()] == [1, 1, 1, 1]


def test_a_later_call_replaces_what_it_measured():
    def found(value: int, *keys: tuple[str, int]) -> dict[str, Any]:
        results = [{"workload": name, "threads": threads, "value": value} for name, threads in keys]
        curves: dict[str, Any] = {"curves": {}, "scaling": {}, "machine": {"others": 1 / value}}
        return {"rounds": value, "roofline": {1: value}, "results": results, **curves}

    before = json.loads(json.dumps(found(1, ("sgd-1", 1), ("sgd-8", 2), ("adam-wide", 1))))
    after = update(before, found(2, ("adam-wide", 1), ("sgd-8", 1)))
    assert [(r["workload"], r["threads"], r["value"]) for r in after["results"]] == [
        ("sgd-1", 1, 1), ("sgd-8", 1, 2), ("sgd-8", 2, 1), ("adam-wide", 1, 2)
    ]  # fmt: skip
    assert after["roofline"] == {"1": 2}
    assert after["machine"] == {"others": 1}  # the busier of the two


def test_a_gpus_targets_are_held_against_those_who_take_part():
    found = {
        str(target): workload.name for workload in CUDA_WORKLOADS for target in workload.targets
    }
    assert found == {
        "≤ 50 µs a step": "gpu-sgd-128",
        "≤ 1.5 s": "gpu-default",
        "≤ 1/5 of PyTorch, eager": "peers-sgd-128",
        "≤ 1 of JAX": "peers-sgd-128",
    }
    for workload in CUDA_WORKLOADS:
        assert workload.problem.device == "cuda"
        assert len({*workload.everyone}) == len(workload.everyone)
        for target in workload.targets:
            assert not target.peers or {*target.peers} & {*workload.peers}


@pytest.mark.filterwarnings("ignore:the training loss")
def test_a_peer_of_our_own_differs_in_one_setting(monkeypatch):
    problem = Problem(hidden=(16,), rows=64, epochs=2, device="cuda")
    on_cpu, _ = train(find("ours_cpu"), problem)
    assert on_cpu == train(Ours, replace(problem, device="cpu"))[0]
    monkeypatch.setattr(runner.os, "environ", {})
    assert runner.environment("cuda", 2, MNIST)["JAX_DEFAULT_MATMUL_PRECISION"] == "highest"
    assert "JAX_DEFAULT_MATMUL_PRECISION" not in runner.environment("cpu", 2, MNIST)


def test_a_workload_that_fails_costs_no_other_its_results(monkeypatch, tmp_path, capsys):
    def run_rounds(workload, *_):
        if workload.name == "gpu-sgd-1":
            raise SystemExit("gpu-sgd-1: failed")
        check = 2.0 if workload.name == "gpu-sgd-32" else 1.0
        return {"ours": outcomes(1e-6), "ours_cpu": outcomes(3e-6, check=(check,))}, {}

    host = {"processor": "", "blas": {"internal_api": "", "version": "", "architecture": ""}}
    host |= {"variables": {}, "cores": 1, "memory_gb": 1, "governor": "", "load": 0}
    about = {"date": "2000-01-01", "machine": host, "card": {"name": "A (card)"}, "versions": {}}
    about |= {"roofline": {}, "results": [], "curves": {}, "scaling": {}}
    monkeypatch.setattr(timings, "about_the_machine", lambda _: about)
    monkeypatch.setattr(timings, "run_rounds", run_rounds)
    names = "gpu-sgd-128,gpu-sgd-1,gpu-sgd-32"
    monkeypatch.setattr(sys, "argv", ["", "--out", str(tmp_path), "--only", names])
    with pytest.raises(SystemExit) as status:
        timings.main()
    differs = "not the same result: 784-128-10, float32, SGD, batch 32, on a GPU: mlp_xp, CPU"
    assert status.value.code == f"gpu-sgd-1: failed\n{differs}"
    found = json.loads((tmp_path / "2000-01-01-a-card.json").read_text())
    assert [result["workload"] for result in found["results"]] == ["gpu-sgd-128", "gpu-sgd-32"]
    assert [len(result["peers"]["ours_cpu"]["values"]) for result in found["results"]] == [3, 3]
    assert "≤ 50 µs a step" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--seconds", "0"])
    timings.main()
    assert "gpu-sgd-128, round 1: skipped, out of time" in capsys.readouterr().out


def test_an_experiment_that_fails_or_hangs_is_a_line(monkeypatch, tmp_path, capsys):
    hidden = tmp_path / "hidden" / "cupy.py"  # a real one mustn't be found here
    hidden.parent.mkdir()
    hidden.touch()
    monkeypatch.setenv("PYTHONPATH", str(hidden.parent))
    monkeypatch.setattr(experiments, "EXPERIMENTS", {"card": ("", 60), "nccl": ("", 0.01)})
    monkeypatch.setattr(sys, "argv", ["", str(tmp_path)])
    with pytest.raises(SystemExit) as status:
        experiments.main()
    assert status.value.code == 1
    found = json.loads((tmp_path / "experiments.json").read_text())
    assert [(each["experiment"], each["kind"]) for each in found] == [
        ("card", "FAIL"), ("card", "FIG"), ("nccl", "FAIL"), ("nccl", "FIG")
    ]  # fmt: skip
    assert f"{hidden} isn't CuPy" in found[0]["text"]
    assert found[2]["text"] == "took more than 0 s"
    printed = capsys.readouterr().out
    assert printed.count(f"FAIL  card       {found[0]['text']}") == 2  # and once more at the end
    assert printed.endswith("\n2 FAIL, 0 PASS\n")


TESTS_OF_A_GPU = """
import pytest
pytestmark = pytest.mark.cuda
def test_first(): open("ran", "w")
"""


def test_tests_for_which_there_is_no_time_are_skipped(tmp_path):
    (tmp_path / "test_gpu.py").write_text(TESTS_OF_A_GPU)
    (tmp_path / "test_other.py").write_text("import no_such_module_anywhere")
    for seconds, result in ((60, "1 passed, 1 skipped"), (0, "2 skipped")):
        command = [sys.executable, "-m", "pytest", "-p", "bench.gpu.pytest_plugin", "-rs"]
        done = subprocess.run(
            [*command, "-p", "no:cacheprovider"],
            cwd=tmp_path,
            env={
                **os.environ,
                "PYTHONPATH": str(runner.CHECKOUT),
                "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
                "TEST_SECONDS": str(seconds),
            },
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout
        assert result in done.stdout
        assert "no_such_module_anywhere is not installed" in done.stdout
    assert "no time left" in done.stdout


PYTHON = r"""#!/bin/sh
echo "ran: $*"
case "$*" in
    *-m\ pytest*) [ -n "$TEST_SECONDS" ] && exec sleep 60 ;;
    *"mlp_xp doctor"*) exit 3 ;;
    *--preset*) echo "test accuracy 97.08%" ;;
    *--names) printf 'gpu-a\ngpu-b\nthreads\npeers-a\n' ;;
    *p.absent*) exit 1 ;;
esac
"""


@pytest.mark.skipif(sys.platform != "linux", reason="GPUs are tested on Linux")
def test_every_section_runs_whatever_the_others_do(tmp_path):
    checkout, out = tmp_path / "checkout", tmp_path / "out"
    for folder in ("mlp_xp", "tests", "bench/gpu", "bench/peers"):
        (checkout / folder).mkdir(parents=True)
    for file in ("pyproject.toml", "bench/__main__.py"):
        (checkout / file).touch()
    script = (runner.CHECKOUT / "bench" / "gpu.sh").read_text()
    (checkout / "bench" / "gpu.sh").write_text(script.replace("\ntests 80\n", "\ntests 1\n"))
    python = tmp_path / "python"
    python.write_text(PYTHON)
    python.chmod(0o755)
    before = sorted(checkout.rglob("*"))
    command = ["bash", str(checkout / "bench" / "gpu.sh"), str(out), str(python)]
    environment = {**os.environ, "PATH": "/usr/bin:/bin"}  # without compute-sanitizer
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    table = [re.split(" {2,}", line) for line in (out / "summary.txt").read_text().splitlines()]
    assert [row[:2] for row in table[1:]] == [
        ["experiments", "passed"],
        ["tests", "FAILED: out of time"],
        ["doctor", "FAILED: status 3"],
        ["notebook", "passed"],
        ["timings", "passed"],
        ["cpu", "passed"],
        ["peers", "skipped"],
        ["sanitizer", "skipped"],
    ]
    assert table[-2][-1] == "neither PyTorch nor JAX is installed"
    assert table[-1][-1] == "compute-sanitizer is not installed"
    assert done.stdout.endswith((out / "summary.txt").read_text())
    assert "--seconds 75 --only gpu-a,gpu-b" in (out / "timings.txt").read_text()
    assert sorted(checkout.rglob("*")) == before


def test_a_folder_with_files_of_ones_own_is_left_alone(tmp_path):
    mine = tmp_path / "scratch" / "notebook" / "thesis.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    script = runner.CHECKOUT / "bench" / "gpu.sh"
    command = ["bash", str(script), str(tmp_path), sys.executable]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "isn't empty, and holds no results of this script" in done.stderr
    assert mine.read_text() == "mine"
