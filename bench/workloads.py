"""What is measured, against whom, and what this project aims for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Literal

from bench.peers import OURS
from bench.problem import Problem

JAX = ("jax_bytes", "jax_floats", "jax_epoch")  # "JAX" is whichever of the three is the fastest
TORCH = ("torch_eager", "torch_compiled")
FRAMEWORKS = (*JAX, *TORCH, "sklearn")
# scikit-learn and torch.compile, which compiles for up to half a minute, take part in as many rows
# as half an hour allows, and in every one that is held against "the best peer".
TRAINERS = (*JAX, "torch_eager")
# Without torch_compiled, which compiles for longer than the whole job takes.
SCRIPTS = ("jax_bytes", "torch_eager", "sklearn")

UNITS = {
    "train": ("µs a step", 1e6),
    "predict": ("ms", 1e3),
    "process": ("s", 1),
    "memory": ("MB", 1),
}


@dataclass(frozen=True)
class Target:
    """At most this multiple of the fastest of `peers`; without peers, an absolute limit."""

    at_most: Fraction
    peers: tuple[str, ...]
    name: str = ""

    def __str__(self) -> str:
        fraction = self.at_most.numerator == 1 < self.at_most.denominator
        number = str(self.at_most) if fraction else f"{float(self.at_most):g}"
        return f"≤ {number} {self.name}"


@dataclass(frozen=True)
class Workload:
    """One thing to measure.

    train and predict are timed inside the process, without its start; process is the wall-clock
    time of a whole process, memory its peak. For these two, `arguments` are those of
    `python -m mlp_xp train`, and `accuracy` is the least that counts as done, in percent.
    """

    name: str
    title: str
    kind: Literal["train", "predict", "process", "memory"]
    problem: Problem
    targets: tuple[Target, ...] = ()
    peers: tuple[str, ...] = FRAMEWORKS
    arguments: tuple[str, ...] = ()
    accuracy: float | None = None
    once: bool = False
    """Whether one round is enough: for what takes long, or hardly varies."""
    tolerance: float = 5e-3
    """The relative difference from our losses up to which a peer has done the same job.

    Rounding in float32 alone moves them by 1.3e-3 at batch 1, where in float64 all agree to 1e-8;
    another order of the rows moves them by 1.4e-2.
    """

    @property
    def everyone(self) -> tuple[str, ...]:
        """This project first, then its peers."""
        return (OURS, *self.peers)

    @property
    def inside(self) -> bool:
        """Whether it is timed inside the process."""
        return self.kind in ("train", "predict")


def _target(at_most: str, of: str) -> Target:
    peers = {
        "JAX": JAX,
        "PyTorch": TORCH,
        "PyTorch, eager": ("torch_eager",),
        "the best peer": FRAMEWORKS,
        "the notebook's loop": ("notebook",),
    }
    return Target(Fraction(at_most), peers[of], f"of {of}")


AS_JAX = (_target("1", "JAX"), _target("1/2", "PyTorch, eager"))
OPTIMIZERS = {
    "SGD": {"lr": 0.1},
    "momentum 0.9": {"lr": 0.01, "momentum": 0.9},
    "Adam": {"optimizer": "adam", "lr": 0.001},
}


def _step(
    name: str,
    optimizer: str,
    batch_size: int,
    steps: int,
    hidden: tuple[int, ...] = (128,),
    targets: tuple[Target, ...] = AS_JAX,
    also: tuple[str, ...] = (),
    **changes: Any,
) -> Workload:
    """A step of training: its optimizer, rows and hidden layers, the steps of an epoch, and who
    takes part beside JAX and eager PyTorch."""
    settings = {**OPTIMIZERS[optimizer], "hidden": hidden, "batch_size": batch_size, **changes}
    # The first 1.5 seconds of a long training.
    problem = Problem(rows=batch_size * steps, epochs=100, budget=1.5, **settings)
    sizes = "-".join(map(str, problem.sizes))
    title = f"{sizes}, float32, {optimizer}, batch {batch_size}"
    if problem.dropout:
        title += f", dropout {problem.dropout}"
    return Workload(name, title, "train", problem, targets, (*TRAINERS, *also))


# Of seventeen recipes tried with JAX, batch 32 to 200 and 2 to 5 epochs, the one with the fewest
# epochs among those that reach 97.08 % from each of three seeds. Every script follows it, from the
# same weights; scikit-learn, which can't change the rate within an epoch, uses the epoch's mean.
RECIPE = Problem(batch_size=50, epochs=2, lr=0.5, schedule="linear")
DEFAULT = Problem(hidden=(256,), epochs=10, lr=0.3, schedule="linear")  # mlp_xp's own settings

# Peers can't have our masks. Their own moved the losses by up to 0.6 %; without dropout the first
# would be 8 % lower, the second 10 %.
DROPOUT = replace(
    _step("dropout", "Adam", 128, 250, (256,), dropout=0.2), tolerance=2e-2
)  # fmt: skip

WORKLOADS = (
    _step(
        "sgd-1", "SGD", 1, 6_000, lr=0.01, also=("notebook",),
        targets=(_target("17/20", "JAX"), _target("1/2", "PyTorch, eager")),
    ),
    _step("sgd-8", "SGD", 8, 2_000),
    _step("sgd-32", "SGD", 32, 1_000, also=("torch_compiled", "sklearn", "tinygrad")),
    _step("sgd-128", "SGD", 128, 400),
    _step("sgd-512", "SGD", 512, 117),
    _step("momentum-64", "momentum 0.9", 64, 400, (256,), also=("sklearn",)),
    _step("adam-32", "Adam", 32, 800),
    _step("adam-128", "Adam", 128, 250, (256,), also=("torch_compiled", "sklearn")),
    _step("adam-deep", "Adam", 128, 120, (512, 256)),
    _step(
        "adam-wide", "Adam", 256, 30, (1024, 1024), also=("torch_compiled", "sklearn"),
        targets=(_target("1", "the best peer"),),
    ),
    DROPOUT,
    Workload(
        "predict", "784-128-10, float32, probabilities of 60,000 rows", "predict",
        Problem(), (_target("1", "the best peer"),), peers=("jax_bytes", *TORCH, "sklearn"),
    ),
    Workload(
        "recipe", "whole process, from the shell to a saved model of 97.08 %", "process",
        RECIPE, (_target("2/5", "the best peer"),), peers=SCRIPTS, accuracy=97.08,
        arguments=("--hidden", "128", "--batch-size", "50", "--epochs", "2", "--lr", "0.5"),
    ),
    Workload(
        "notebook", "whole process, the notebook's training, float64", "process",
        Problem(batch_size=1, epochs=5, lr=0.01, shuffle=False, init="notebook", dtype="float64"),
        (_target("1/5", "the notebook's loop"),), peers=("notebook",), tolerance=0,
        arguments=("--preset", "notebook"), once=True,
    ),
    Workload(
        "memory", "peak memory of the default training", "memory", DEFAULT,
        (Target(Fraction(200), (), "MB"), _target("1/3", "PyTorch")), peers=SCRIPTS, accuracy=97.08,
        once=True,
    ),
)  # fmt: skip


def _on_gpu(
    name: str, optimizer: str, batch_size: int, steps: int, *targets: Target, **changes: Any
) -> tuple[Workload, Workload]:
    """A step of training on a GPU, twice: beside our other ways, and beside the peers.

    The targets without a peer are the first's, those with one the second's.
    """
    settings = {**OPTIMIZERS[optimizer], "batch_size": batch_size, "device": "cuda", **changes}
    problem = Problem(rows=batch_size * steps, epochs=100, budget=0.7, **settings)
    title = f"784-128-10, float32, {optimizer}, batch {batch_size}, on a GPU"
    alone, beside = ([t for t in targets if bool(t.peers) is held] for held in (False, True))
    ours = Workload(f"gpu-{name}", title, "train", problem, tuple(alone), OUR_OTHERS)
    peers = Workload(f"peers-{name}", title, "train", problem, tuple(beside), GPU_PEERS)
    return ours, peers


OUR_OTHERS = ("ours_no_graph", "ours_cpu")
GPU_PEERS = ("torch_eager", "torch_graph", "jax_bytes", "jax_epoch")
ON_GPU = (
    # The first has the targets: it comes first, in case that time runs out.
    _on_gpu(
        "sgd-128", "SGD", 128, 460, Target(Fraction(50), (), "µs a step"),
        _target("1/5", "PyTorch, eager"), _target("1", "JAX"),
    ),
    _on_gpu("sgd-1", "SGD", 1, 2_000, lr=0.01),
    _on_gpu("sgd-32", "SGD", 32, 1_800),
    _on_gpu("adam-128", "Adam", 128, 460),
    _on_gpu("sgd-512", "SGD", 512, 116),
    _on_gpu("sgd-4096", "SGD", 4096, 14),
)  # fmt: skip
CUDA_WORKLOADS = (
    *(ours for ours, _ in ON_GPU),
    Workload(
        "gpu-default", "whole process, the default training, on a GPU", "process",
        replace(DEFAULT, device="cuda"), (Target(Fraction(3, 2), (), "s"),), peers=("ours_cpu",),
        accuracy=97.08, once=True,
    ),
    *(peers for _, peers in ON_GPU),
)  # fmt: skip


QUICK_PEERS = ("jax_bytes", "torch_eager")


def quick() -> tuple[Workload, ...]:
    """What fits into a minute: fewer workloads, rows and peers, and not the whole notebook."""
    selected = []
    for workload in WORKLOADS:
        problem = workload.problem
        if workload.name in ("sgd-32", "adam-128"):
            problem = replace(problem, rows=problem.rows // 2, budget=0.5)
        elif workload.name != "recipe":
            continue
        peers = tuple(name for name in workload.peers if name in QUICK_PEERS)
        selected.append(replace(workload, problem=problem, peers=peers))
    return tuple(selected)


def small(workload: Workload) -> Workload:
    """The same with four steps an epoch, and two epochs, to try a way rather than to time it."""
    if not workload.inside:
        return workload
    rows = 4 * workload.problem.batch_size
    return replace(workload, problem=replace(workload.problem, rows=rows, budget=0.0))


def curves() -> dict[str, dict[int, Problem]]:
    """Trainings that grow in one direction: rows, width, depth."""
    base = Problem(rows=32 * 300, epochs=4)
    return {
        "rows": {rows: replace(base, rows=rows) for rows in (3840, 7680, 15360, 30720, 59904)},
        "width": {width: replace(base, hidden=(width,)) for width in (64, 128, 256, 512, 1024)},
        "depth": {depth: replace(base, hidden=(128,) * depth) for depth in (1, 2, 4, 8, 16)},
    }


SCALED = ("sgd-128", "adam-128")
COUNTS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)


def thread_counts(cores: int) -> tuple[int, ...]:
    """The points of a curve over threads: up to all cores, and to four where there are fewer.

    More threads than cores are never quicker: they show that too many do no great harm.
    """
    return tuple(sorted({cores, *(count for count in COUNTS if count <= max(4, cores))}))
