"""What the doctor says of ranks: their MPI, which it never starts, and the way of their sums."""

import importlib.metadata
import importlib.util
import sys
from types import ModuleType, SimpleNamespace

import pytest

from mlp_xp.diagnostics import ranks

MISSING = "mpi4py isn't installed: pip install '.[mpi]' in the clone"


def test_mpi_is_named_and_not_started(monkeypatch):
    pytest.importorskip("mpi4py")
    before = set(sys.modules)
    found = ranks.mpi_library()
    library, _, ours = found.partition(", by mpi4py ")
    assert ours == importlib.metadata.version("mpi4py")
    assert library.split()[0] in ("MPICH", "Open", "Intel(R)")
    assert any(c.isdigit() for c in library)
    assert "mpi4py.MPI" not in set(sys.modules) - before


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            "raise ImportError('libmpi.so: cannot open')",
            "mpi4py doesn't load an MPI (ImportError: libmpi.so: cannot open): pip install "
            "'.[mpi]' in the clone brings one",
        ),
        (
            "import os; os._exit(9)",
            "mpi4py doesn't load an MPI (exit status 9): pip install '.[mpi]' in the clone brings "
            "one",
        ),
        ("import time; time.sleep(60)", "mpi4py doesn't load an MPI within 1 s"),
        (
            "class MPI: Get_library_version = lambda: 'Open MPI v4.1.4, package: Debian\\nident'\n"
            "__version__, rc = '4.1.0', MPI",
            "Open MPI v4.1.4, by mpi4py 4.1.0",
        ),
        (
            "class MPI: Get_library_version = lambda: 'MPICH Version:      5.0.2\\nMPICH ABI: 1'\n"
            "__version__, rc = '4.1.0', MPI",
            "MPICH 5.0.2, by mpi4py 4.1.0",
        ),
    ],
    ids=["missing library", "crash", "hang", "open mpi", "mpich"],
)
def test_every_mpi_gives_one_line(tmp_path, monkeypatch, source, said):
    (tmp_path / "mpi4py.py").write_text(source, encoding="utf-8")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: "found")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(ranks, "TIMEOUT", 1.0 if "sleep" in source else 20.0)
    assert ranks.mpi_library() == said


def test_no_mpi_names_the_extra(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert ranks.mpi_library() == MISSING


def cupy_with(nccl: object, count: int = 2) -> SimpleNamespace:
    runtime = SimpleNamespace(runtimeGetVersion=lambda: 13020, getDeviceCount=lambda: count)
    return SimpleNamespace(__version__="14.2.0", cuda=SimpleNamespace(nccl=nccl, runtime=runtime))


@pytest.mark.parametrize(
    ("nccl", "said"),
    [
        (
            SimpleNamespace(available=True, get_version=lambda: 23203),
            "NCCL 2.32.3 where no two ranks share a GPU (2 GPUs here), else MPI through pinned "
            "host memory",
        ),
        (
            SimpleNamespace(available=False),
            "MPI through pinned host memory; NCCL isn't installed: pip install nvidia-nccl-cu13",
        ),
        (
            SimpleNamespace(available=True),
            "MPI through pinned host memory; NCCL can't be loaded ('types.SimpleNamespace' object "
            "has no attribute 'get_version')",
        ),
    ],
    ids=["found", "missing", "broken"],
)
def test_the_way_of_sums(monkeypatch, nccl, said):
    cupy = cupy_with(nccl)
    cuda = ModuleType("cupy.cuda")
    cuda.nccl = nccl  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setitem(sys.modules, "cupy.cuda", cuda)
    assert ranks.way_of_sums() == said


def test_a_single_gpu(monkeypatch):
    nccl = SimpleNamespace(available=True, get_version=lambda: 22707)
    monkeypatch.setitem(sys.modules, "cupy", cupy_with(nccl, 1))
    monkeypatch.setitem(sys.modules, "cupy.cuda", cupy_with(nccl, 1).cuda)
    assert "NCCL 2.27.7 where no two ranks share a GPU (1 GPU here)" in ranks.way_of_sums()
