"""A training step on a GPU, this project beside its peers: what bench/gpu.sh writes down.

    python -m bench.gpu_timing DOCTOR.json NOTEBOOK.txt RESULT.json

Microseconds a step of 784-128-10 in float32 at batch 1, 32, 128 and 1024: the median of the epochs
after the first, which compiles and captures. Every peer starts from the same weights and takes the
same rows in the same order, and its first loss is written down beside its time. What isn't
installed, or finds no GPU, is named as missing. The peers take turns in one process, each with the
GPU to itself.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

import mlp_xp
from bench import machine
from bench.peers import Peer, ours
from bench.problem import Array, Data, Problem, read
from mlp_xp.datasets import MNIST
from mlp_xp.network import Dense

STEPS = {1: 2000, 32: 1800, 128: 460, 1024: 56}  # an epoch's, at each batch size
LOSS_TOLERANCE = 1e-3  # of the first epoch's mean loss, relative: the same training


class Ours(ours.Implementation):
    def __init__(self, problem: Problem, X: NDArray[np.uint8], y: NDArray[np.int64]) -> None:
        super().__init__(problem, X, y)
        self.backend = mlp_xp.resolve("cuda", require=True).backend
        send = self.backend.to_device
        layers = [Dense(send(W), send(b)) for W, b in problem.weights()]
        self.network = mlp_xp.Network(self.backend, layers)


class TorchEager(Peer):
    """The tutorial's loop; rows are gathered on the device, and nothing is read in between."""

    device = "cuda"

    def __init__(self, problem: Problem, X: NDArray[np.uint8], y: NDArray[np.int64]) -> None:
        import torch

        from bench.peers import torch_eager

        super().__init__(problem, X, y)
        self.torch = torch
        self.model = torch_eager.build(problem).to(self.device)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=problem.lr, fused=True)
        self.X, self.y = (torch.from_numpy(array).to(self.device) for array in (X, y))
        self.total = torch.zeros((), device=self.device)

    def step(self, rows: Any) -> None:
        logits = self.model(self.X[rows].float() / 255)
        loss = self.torch.nn.functional.cross_entropy(logits, self.y[rows])
        loss.backward()
        self.optimizer.step()
        self.total += loss.detach()

    def epoch(self, order: NDArray[np.int64], rates: NDArray[np.float64]) -> float:
        self.total.zero_()
        for rows in self.torch.from_numpy(order).to(self.device):
            self.optimizer.zero_grad()
            self.step(rows)
        return float(self.total) / len(order)

    def predict(self, X: NDArray[np.uint8]) -> Array:
        raise NotImplementedError("only training is timed here")

    def save(self, path: Path) -> None:
        raise NotImplementedError("only training is timed here")


class TorchGraph(TorchEager):
    """The same step, captured once and replayed. As docs.pytorch.org, "CUDA Graphs", has it."""

    def __init__(self, problem: Problem, X: NDArray[np.uint8], y: NDArray[np.int64]) -> None:
        super().__init__(problem, X, y)
        torch = self.torch
        self.rows = torch.zeros(problem.batch_size, dtype=torch.int64, device=self.device)
        begun = [parameter.detach().clone() for parameter in self.model.parameters()]
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self.optimizer.zero_grad()
                self.step(self.rows)
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        self.optimizer.zero_grad()
        with torch.cuda.graph(self.graph):
            self.step(self.rows)
        # The warm-up has trained already: back to the weights that everyone starts from.
        with torch.no_grad():
            for parameter, value in zip(self.model.parameters(), begun, strict=True):
                parameter.copy_(value)

    def epoch(self, order: NDArray[np.int64], rates: NDArray[np.float64]) -> float:
        self.total.zero_()
        for rows in self.torch.from_numpy(order).to(self.device):
            self.rows.copy_(rows)
            self.graph.replay()
        return float(self.total) / len(order)


def jax_scan(problem: Problem, X: NDArray[np.uint8], y: NDArray[np.int64]) -> Peer:
    import jax

    if jax.default_backend() != "gpu":
        raise RuntimeError("JAX finds no GPU")
    from bench.peers import jax_scan

    return jax_scan.Implementation(problem, X, y)


PEERS: dict[str, Callable[..., Peer]] = {
    "mlp_xp": Ours,
    "PyTorch, eager": TorchEager,
    "PyTorch, CUDA graph": TorchGraph,
    "JAX, jit + scan": jax_scan,
}


def measure(build: Callable[..., Peer], problem: Problem, data: Data) -> dict[str, Any]:
    """The time of a step and the first epoch's loss, or why there is none."""
    try:
        peer = build(problem, data.X, data.y)
        first, *rest = peer.train()
    except Exception as error:
        if build is Ours:
            raise
        return {"missing": f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"}
    seconds = median(epoch.seconds for epoch in rest)
    return {"us_per_step": seconds / problem.steps * 1e6, "first_loss": first.loss}


def timings(data: Data) -> list[dict[str, Any]]:
    """One entry for each batch size and peer, printed as it comes."""
    found = []
    for batch_size, steps in STEPS.items():
        problem = Problem(batch_size=batch_size, rows=batch_size * steps, lr=0.01)
        expected = None
        for name, build in PEERS.items():
            outcome = measure(build, problem, data)
            gc.collect()  # what this peer holds on the GPU, before the next one's turn
            expected = expected or outcome.get("first_loss")
            if "first_loss" in outcome:
                apart = abs(outcome["first_loss"] - expected) / expected
                outcome["same_training"] = bool(apart <= LOSS_TOLERANCE)
            found.append({"batch_size": batch_size, "peer": name, **outcome})
            told = (
                f"{outcome['us_per_step']:10.1f} us" if "us_per_step" in outcome else "   missing"
            )
            print(f"batch {batch_size:5}  {name:20} {told}", flush=True)
    return found


def main(doctor: str, notebook: str, result: str) -> None:
    found = {
        "date": time.strftime("%Y-%m-%d"),
        "doctor": json.loads(Path(doctor).read_text(encoding="utf-8")),
        "notebook": Path(notebook).read_text(encoding="utf-8").splitlines(),
        "machine": machine.describe(),
        "versions": machine.versions(),
        "timings": timings(read(MNIST)),
    }
    text = json.dumps(found, indent=1, ensure_ascii=False) + "\n"
    Path(result).write_text(text, encoding="utf-8")
    print(f"wrote {result}")
    different = [entry for entry in found["timings"] if entry.get("same_training") is False]
    if different:
        sys.exit(f"not the same training: {different}")


if __name__ == "__main__":
    main(*sys.argv[1:])
