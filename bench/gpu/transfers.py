"""Whether pinned memory is read at full speed, and what rows that are streamed cost."""

from __future__ import annotations

import time
from statistics import median

import numpy as np

import mlp_xp
from bench.gpu.experiment import Experiment
from bench.peers.ours import Clock
from mlp_xp.data import MNIST


def experiment(on: Experiment) -> None:
    gpu, size = on.gpu, 1 << (20 if on.quick else 28)
    source, out = gpu.empty_pinned((size,), "u1"), gpu.xp.empty(size, "u1")
    source[...] = 7
    gpu.upload(source, out)()
    gpu.synchronize()
    start = time.perf_counter()
    wait = gpu.upload(source, out)
    started = time.perf_counter() - start
    wait()
    whole = time.perf_counter() - start
    told = f"upload() returns after {started * 1e6:.0f} us of {whole * 1e6:.0f}"
    if on.quick:
        on.note(told)
    else:
        on.check(started < whole / 5, told)
    on.figure(size / whole / 1e9, "GB/s", f"upload() of {size >> 20} MB of pinned memory")
    plain = np.full((size >> 10, 1 << 10), 9, "u1")
    taken = on.whole_us(lambda: gpu.to_device(plain))
    on.figure(size / taken / 1e3, "GB/s", f"to_device() of {size >> 20} MB of ordinary memory")
    streaming(on)


def streaming(on: Experiment) -> None:
    """An epoch of MNIST from rows on the GPU, and from rows that are streamed to it."""
    data, rows = mlp_xp.load_data(MNIST), 2048 if on.quick else 60_000
    train = mlp_xp.Split(data.train.X[:rows], data.train.y[:rows])
    data = mlp_xp.Dataset("mnist", train, None, 10)
    for name, memory in (("on the GPU", None), ("streamed", 0)):
        clock = Clock(0.0 if on.quick else 1.0)
        config = mlp_xp.Config(batch_size=128, epochs=100, lr=0.1, schedule="constant")
        trainer = mlp_xp.Trainer(data, config, on.gpu, device_memory=memory)
        trainer.fit([clock])
        seconds = median(epoch.seconds for epoch in clock.epochs[1:])
        on.figure(seconds / len(train) * 128 * 1e6, "us a step", f"batch 128, rows {name}")
