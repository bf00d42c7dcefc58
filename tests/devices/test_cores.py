"""The cores that a process may use: those it may run on, and its control groups' quotas."""

import os
from pathlib import Path

import pytest

from mlp_xp.data.memory import available_memory
from mlp_xp.devices import cores
from mlp_xp.devices.cores import usable_cores


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine of 64 cores and a function that sets the group's line, and files with limits."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    monkeypatch.setattr(cores, "MEMBERSHIP", tmp_path / "self")
    monkeypatch.setattr(cores, "MOUNT", tmp_path / "mount")

    def make(membership: str, files: dict[str, str]) -> None:
        (tmp_path / "self").write_text(membership)
        for name, text in files.items():
            path: Path = tmp_path / "mount" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    return make


@pytest.mark.parametrize(
    ("membership", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 64),
        ("0::/\n", {"cpu.max": "390000 100000\n"}, 3),
        ("0::/\n", {"cpu.max": "50000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "9900000 100000\n"}, 64),
        # A group whose parent has the quota, and one in which the tightest counts.
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000", "a/cpu.max": "400000 100000"}, 4),
        ("0::/a/b\n", {"a/b/cpu.max": "800000 100000", "a/cpu.max": "400000 100000"}, 4),
        ("0::/a/b\n", {"a/b/cpu.max": "300000 100000", "a/cpu.max": "400000 100000"}, 3),
        ("0::/a/b\n", {"a/c/cpu.max": "100000 100000"}, 64),
        # The path outside the container, of which nothing is inside.
        ("0::/docker/1f:2\n", {"cpu.max": "500000 100000"}, 5),
        ("4:cpu,cpuacct:/k/p\n", {"cpu/k/cpu.cfs_quota_us": "250000\n",
                                  "cpu/k/cpu.cfs_period_us": "100000\n"}, 2),
        ("4:cpu:/\n0::/\n", {"cpu/cpu.cfs_quota_us": "-1\n",
                             "cpu/cpu.cfs_period_us": "100000\n"}, 64),
        ("4:memory:/\n3:cpuacct:/\n", {"memory/cpu.cfs_quota_us": "100000\n",
                                       "memory/cpu.cfs_period_us": "100000\n"}, 64),
    ],
)  # fmt: skip
def test_the_quota_of_the_group_and_those_around_it(machine, membership, files, expected):
    machine(membership, files)
    assert usable_cores() == expected


@pytest.mark.parametrize("membership", ["", "garbage\n", "0:\n", "::", "0::/../..\n", "\udc80:x"])
@pytest.mark.parametrize("limit", ["", "many", "100000", "1 0", "-5 7", "1 2 3", "²  ²", "1e5 1"])
def test_what_cant_be_read_is_no_limit(machine, membership, limit):
    machine(membership.encode("utf-8", "replace").decode(), {"cpu.max": limit})
    assert usable_cores() == 64


def test_a_folder_in_place_of_the_file(machine, tmp_path):
    machine("0::/\n", {"cpu.max/x": ""})
    assert usable_cores() == 64
    (tmp_path / "self").unlink()
    assert usable_cores() == 64


def test_the_cores_that_a_process_is_bound_to(machine, monkeypatch):
    machine("", {})
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5})
    assert usable_cores() == 2
    monkeypatch.delattr(os, "sched_getaffinity")
    for count, expected in ((7, 7), (None, 1)):
        monkeypatch.setattr(os, "cpu_count", lambda count=count: count)
        assert usable_cores() == expected


@pytest.mark.parametrize(
    ("membership", "files"),
    [
        ("0::/a/b\n", {"a/b/memory.max": "max", "a/memory.max": "4096"}),
        ("4:memory:/a\n", {"memory/a/memory.limit_in_bytes": "9999999999",
                           "memory/memory.limit_in_bytes": "4096"}),
    ],
)  # fmt: skip
def test_memory_has_the_limits_of_all_groups_too(machine, membership, files):
    machine(membership, files)
    assert available_memory() == 4096


def test_this_process_has_a_core():
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)
