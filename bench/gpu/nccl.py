"""Whether NCCL runs, with one rank, and what adding up all gradients costs at least."""

from __future__ import annotations

import warnings

from bench.gpu.experiment import Experiment

WEIGHTS = 784 * 128 + 128 + 128 * 10 + 10


def experiment(on: Experiment) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # CuPy's, of several lines, if it isn't installed
        from cupy.cuda import nccl

        available = nccl.available
    if not available:
        on.skip("NCCL is not installed")
        return
    communicator = nccl.NcclCommunicator(1, nccl.get_unique_id(), 0)
    gradients = on.gpu.xp.ones(WEIGHTS, "f4")
    stream = on.gpu.xp.cuda.get_current_stream()

    def reduce() -> None:
        pointer, kind = gradients.data.ptr, (nccl.NCCL_FLOAT, nccl.NCCL_SUM)
        communicator.allReduce(pointer, pointer, gradients.size, *kind, stream.ptr)

    reduce()
    on.check(float(gradients.sum()) == WEIGHTS, f"version {nccl.get_version()}: one rank's sum")
    on.figure(on.whole_us(reduce), "us", "the gradients of 784-128-10, one rank")
