"""The processor cores that this process may use, and where its control group's limits stand."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

MEMBERSHIP = Path("/proc/self/cgroup")
MOUNT = Path("/sys/fs/cgroup")


def usable_cores() -> int:
    """How many cores this process may use, at least 1.

    Those that it may run on, or fewer if its container has a quota of processor time: that of a
    core and a half is 1.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, math.floor(min([cores or 1, *map(_quota, control_groups("cpu"))])))


def control_groups(controller: str) -> Iterator[Path]:
    """The folders of this process's control group and of those around it, whose limits hold too.

    controller: `cpu` or `memory`. Not every folder need exist: inside a container that of the group
    may be missing, and the outermost is the container's. There are none where Linux isn't.
    """
    for line in read_limit(MEMBERSHIP).splitlines():
        controllers, _, name = line.partition(":")[2].partition(":")
        if controllers and controller not in controllers.split(","):
            continue  # version 1, where each controller has groups of its own
        group = PurePosixPath(name.lstrip("/"))
        for folder in (group, *group.parents):
            yield MOUNT / (controller if controllers else "") / folder


def read_limit(path: Path) -> str:
    """The text of one of the system's files, or nothing if it can't be read."""
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape").strip()
    except OSError:
        return ""


def _quota(group: Path) -> float:
    """The cores' worth of time that a control group may use, of version 2 or 1; or infinity."""
    files = ("cpu.max", "cpu.cfs_quota_us", "cpu.cfs_period_us")
    numbers = " ".join(read_limit(group / name) for name in files).split()
    if len(numbers) != 2 or not all(map(str.isdecimal, numbers)):
        return math.inf  # no limit, which is "max" or -1
    quota, period = map(int, numbers)
    return quota / period if period else math.inf
