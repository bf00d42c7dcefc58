"""Two hosts, with a name, a network and an address each: two sets of Linux's namespaces."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

ADDRESSES = ("192.0.2.1", "192.0.2.2")
NAMESPACES = ("--net", "--uts", "--ipc", "--mount")
# A network, shared memory and a name of its own. /sys shows the network, by which MPI chooses.
HOST = """
mount -t sysfs sysfs /sys && mount -t tmpfs tmpfs /dev/shm && hostname "$0" && ip link set lo up &&
echo ready && exec sleep infinity
"""


@contextmanager
def host(name: str, *more: str) -> Iterator[int]:
    """The process that keeps a host's namespaces; they go with it."""
    command = ["setpriv", "--pdeathsig", "KILL", "unshare", *NAMESPACES, *more]
    with subprocess.Popen(
        [*command, "sh", "-c", HOST, name],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as keeper:  # fmt: skip
        try:
            if keeper.stdout.readline() != "ready\n":
                pytest.skip(f"no namespaces here: {keeper.stderr.read().strip()}")
            children = Path(f"/proc/{keeper.pid}/task/{keeper.pid}/children").read_text().split()
            yield int((children or [keeper.pid])[0])
        finally:
            keeper.kill()


def ip(keeper: int, *arguments: str) -> list[dict]:
    done = subprocess.run(
        ["nsenter", "--target", str(keeper), "--net", "ip", "-json", *arguments],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout or "[]")


@contextmanager
def two_hosts() -> Iterator[tuple[int, int]]:
    """The processes of two hosts that a cable joins; the second has processes of its own, too.

    Skips the test, with the reason, where there can't be any.
    """
    if os.geteuid() != 0:
        pytest.skip("namespaces need root")
    missing = [name for name in ("ip", "nsenter", "setpriv", "unshare") if not shutil.which(name)]
    if missing:
        pytest.skip(f"no {', '.join(missing)}")
    with ExitStack() as stack:
        # From the first one, mpiexec enters the second, so it has to see its processes.
        first = stack.enter_context(host("first"))
        others = ("--pid", "--fork", "--kill-child", "--mount-proc")
        second = stack.enter_context(host("second", *others))
        both = first, second
        cable = ["link", "add", "eth0", "type", "veth", "peer", "name", "eth0"]
        ip(first, *cable, "netns", str(second))
        for keeper, address in zip(both, ADDRESSES, strict=True):
            ip(keeper, "address", "add", f"{address}/30", "dev", "eth0")
            ip(keeper, "link", "set", "eth0", "up")
        end = time.monotonic() + 10
        while any(ip(keeper, "link", "show", "eth0")[0]["operstate"] != "UP" for keeper in both):
            assert time.monotonic() < end, "the cable stays down"
            time.sleep(0.05)
        yield both
