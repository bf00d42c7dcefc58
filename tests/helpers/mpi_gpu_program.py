"""Run by mpiexec: trains on ranks with a GPU each, and rank 0 saves what came out.

Arguments: the file for that, and `standin` to have nccl_standin.py in the place of NCCL.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import emulator
import mpi_program
from mpi_program import SETTINGS
from recording import recorded

from mlp_xp import get_device
from mlp_xp.devices import device_errors, nccl
from mlp_xp.devices.device import gpu_of_place
from mlp_xp.errors import DeviceError
from mlp_xp.training.ranks import team_of

NAMES = ("fewer rows than ranks", "a batch that no number divides", "adam, clipped",
         "dropout, batch 7", "validation, patience")  # fmt: skip
ROWS = 61


def train(changes: dict, communicator: Any, device: str) -> dict:
    return mpi_program.train(changes, communicator, device, rows=ROWS, window=1)


def decisions(world: Any, standin: Any, own: str) -> dict[str, str]:
    """What connect() says on this rank in cases in which NCCL can't be used, and where it can."""
    said = {}

    def connect(case: str, device: str, **changed: Any) -> None:
        kept = {name: getattr(standin, name) for name in changed}
        for name, value in changed.items():
            setattr(standin, name, value)
        found, said[case] = nccl.connect(world.Dup(), get_device(device, require=device != "cpu"))
        assert (found is None) == ("through" in said[case])
        for name, value in kept.items():
            setattr(standin, name, value)

    last = world.rank == world.size - 1
    connect("shared", "cuda:0")
    connect("no GPU", "cpu" if last else own)
    connect("missing", own, available=not last)
    connect("versions", own, get_version=lambda: 22707 + last)
    connect("identifier", own, fails="identifier")
    nccl.PATIENCE = 0.5
    started = time.perf_counter()
    connect("start", own, fails="start" if last else "")
    assert time.perf_counter() - started < 10
    nccl.PATIENCE = 60
    if last:
        world.Ibarrier().Wait()  # in which the others' threads still wait for this rank
    connect("usable", own)
    return said


def failure(world: Any, standin: Any, own: str) -> str:
    """What is said of a sum that fails on all ranks."""
    device = get_device(own, require=True)
    team = team_of(world, device)
    standin.fails = "sum"
    try:
        with device_errors():
            team.total([device.xp.ones(3)])
    except DeviceError as error:
        return str(error)
    finally:
        standin.fails = ""
    return ""


def main() -> None:
    from mpi4py import MPI

    world, standin = MPI.COMM_WORLD, None
    own = gpu_of_place("cuda", world.rank)
    device = get_device(own, require=True)
    if sys.argv[2:] == ["standin"]:
        import nccl_standin

        standin = nccl_standin.install()
    found: dict[str, Any] = {name: train(SETTINGS[name], world, own) for name in NAMES}
    found["again"] = train(SETTINGS["dropout, batch 7"], world, own)
    found["float32"] = train({"dtype": "float32"}, world, own)
    team = team_of(world, device)
    found["transport"] = team.transport
    ones = [device.xp.full(shape, world.rank + 1, "float32") for shape in ((2, 3), (4,), ())]
    found["total"] = [device.to_host(array).tolist() for array in team.total(ones)]
    if emulator.is_installed():
        with recorded() as events:
            team.total(ones)
        found["work"] = events.counts()
    if standin is not None:
        found["calls"] = team._nccl._communicator.calls
        found["decisions"] = world.gather(decisions(world, standin, own))
        found["failure"] = failure(world, standin, own)
    everyone = world.gather((device.name, json.dumps(found["float32"])))
    if world.rank == 0:
        gpus, weights = zip(*everyone, strict=True)
        found["gpus"], found["equal"] = gpus, len(set(weights)) == 1
        Path(sys.argv[1]).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
