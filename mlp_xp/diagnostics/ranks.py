"""What an MPI program's ranks would have on this machine: their MPI, and the way of their sums."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

from mlp_xp.devices.nccl import STAGED, nccl_version
from mlp_xp.devices.probe import count_gpus

INSTALL = "pip install '.[mpi]' in the clone"
TIMEOUT = 10.0
# To import MPI would start it in this process for good, and ends one that it can't start in.
CODE = """\
import mpi4py
mpi4py.rc.initialize = False
from mpi4py import MPI
print(mpi4py.__version__, MPI.Get_library_version(), sep=chr(10))"""


def mpi_library() -> str:
    """The MPI that mpi4py uses, such as `MPICH 5.0.2, by mpi4py 4.1.2`, or why there is none."""
    if importlib.util.find_spec("mpi4py") is None:
        return f"mpi4py isn't installed: {INSTALL}"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", CODE],
            env=environment, capture_output=True, text=True, timeout=TIMEOUT, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"mpi4py doesn't load an MPI within {TIMEOUT:.0f} s"
    except OSError as error:
        return f"mpi4py can't be tried: {error}"
    if done.returncode != 0:
        cause = (done.stderr.strip() or f"exit status {done.returncode}").splitlines()[-1]
        return f"mpi4py doesn't load an MPI ({cause}): {INSTALL} brings one"
    ours, library, *_ = done.stdout.splitlines()
    name = " ".join(library.partition(",")[0].replace("Version:", "").split())
    return f"{name}, by mpi4py {ours}"


def way_of_sums() -> str:
    """How ranks on the GPUs that this process sees would add up what they have."""
    version, missing = nccl_version()
    if missing:
        return f"{STAGED}; {missing}"
    count = count_gpus()
    many = f"{count} GPUs" if count > 1 else "1 GPU"
    return f"NCCL {version} where no two ranks share a GPU ({many} here), else {STAGED}"
