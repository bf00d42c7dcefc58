"""Training on a file of 4 GB with 1 GB of memory, and its time per row beside data in memory.

The kernel sets the limit. RLIMIT_DATA bounds what a process may allocate. Where a cgroup can be
made, its limit also counts the pages of the mapped file, which the kernel then has to drop.
"""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import mlp_xp

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the limits are Linux's")

GIGABYTE = 2**30
CGROUPS = (  # where groups are made, a group's limit, members and peak, in versions 2 and 1
    ("/sys/fs/cgroup", "memory.max", "cgroup.procs", "memory.peak"),
    ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "cgroup.procs",
     "memory.max_usage_in_bytes"),
)  # fmt: skip

TRAIN = """
import json, os, resource, sys
folder, group, limit = sys.argv[1:4]
if group:
    open(group, "w").write(str(os.getpid()))
resource.setrlimit(resource.RLIMIT_DATA, (int(limit), int(limit)))
from mlp_xp.cli import main
sys.exit(main(["train", "--data", folder, "--hidden", "32", "--batch-size", "256", "--epochs", "1",
               "--lr", "0.01", "--recipe", "image", "--device", "cpu", "--quiet",
               "--out", sys.argv[4]]))
"""


def write(folder: Path, n_rows: int, n_features: int, *, sparse: bool = True) -> None:
    """A pair of files, rows of bytes and labels; if sparse, of zeros that take no disk space."""
    folder.mkdir()
    rng = np.random.default_rng(5)
    y = np.arange(n_rows, dtype=np.uint8) % 10
    np.save(folder / "y.npy", y)
    with (folder / "X.npy").open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (n_rows, n_features)}
        np.lib.format.write_array_header_1_0(file, header)
        file.write(np.repeat(y[:1000], n_features))
        for start in range(1000, 1000 if sparse else n_rows, 1000):
            file.write(rng.integers(0, 256, min(1000, n_rows - start) * n_features, np.uint8))
        file.truncate(file.tell() + (n_rows - 1000) * n_features if sparse else None)
        file.flush()
        os.fsync(file.fileno())
        # Drop it from the cache, so that it is read from the disk.
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@pytest.fixture
def cgroup() -> Iterator[tuple[Path, Path] | None]:
    """The members and peak files of a new group with a limit of 1 GB, where one can be made."""
    for root, limit, members, peak in CGROUPS:
        group = Path(root) / f"mlp_xp-{uuid.uuid4().hex[:8]}"
        try:
            group.mkdir()
        except OSError:
            continue
        if not (group / limit).exists():  # a folder like any other
            group.rmdir()
            continue
        (group / limit).write_text(str(GIGABYTE))
        yield group / members, group / peak
        group.rmdir()
        return
    yield None


def train(folder: Path, limit: int, group: Path | None) -> float:
    """Train for an epoch; returns its microseconds a row."""
    out = folder.parent / f"run-{folder.name}"
    done = subprocess.run(
        [sys.executable, "-c", TRAIN, str(folder), str(group or ""), str(limit), str(out)],
        capture_output=True,
        text=True,
        cwd=Path(mlp_xp.__file__).parent.parent,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    (epoch,) = (record for record in records if record["record"] == "epoch")
    assert 0 < epoch["loss"] < 3
    return 1e6 / epoch["samples_per_second"]


@pytest.mark.full
def test_a_file_larger_than_the_limit(tmp_path: Path) -> None:
    """400 MB with 300."""
    write(tmp_path / "large", 50_000, 8000)
    train(tmp_path / "large", 300 * 10**6, None)


@pytest.mark.full
def test_the_limit_limits(tmp_path: Path) -> None:
    """The same rows don't fit as an .npz, which is read: above, they were mapped."""
    write(tmp_path / "large", 50_000, 8000)
    arrays = {name: np.load(tmp_path / "large" / f"{name}.npy") for name in "Xy"}
    np.savez(tmp_path / "large.npz", **arrays)
    with pytest.raises(AssertionError, match="memory"):
        train(tmp_path / "large.npz", 300 * 10**6, None)


@pytest.mark.full
@pytest.mark.parametrize("sparse", [True, False])
def test_4_gb_with_1_gb_of_memory(sparse: bool, tmp_path: Path, cgroup, capsys) -> None:
    """Beside it, a sixteenth of the rows in memory and without a limit; true bytes and holes."""
    n_rows = 4 * 1024**2
    write(tmp_path / "large", n_rows, 1024, sparse=sparse)
    write(tmp_path / "small", n_rows // 16, 1024, sparse=sparse)
    arrays = {name: np.load(tmp_path / "small" / f"{name}.npy") for name in "Xy"}
    np.savez(tmp_path / "small.npz", **arrays)
    in_memory = train(tmp_path / "small.npz", 64 * GIGABYTE, None)
    mapped = train(tmp_path / "large", GIGABYTE, cgroup and cgroup[0])
    used = int(cgroup[1].read_text()) / 1e9 if cgroup and cgroup[1].exists() else None
    (tmp_path / "large" / "X.npy").unlink()
    with capsys.disabled():
        sys.stdout.write(
            f"\n4.3 GB {'of holes' if sparse else 'of bytes'}, limit 1.07 GB, peak {used} GB: "
            f"{mapped:.2f} us a row mapped, {in_memory:.2f} in memory\n"
        )
    assert used is None or used <= GIGABYTE / 1e9
