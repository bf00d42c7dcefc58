"""pytest -p bench.gpu.pytest_plugin: the tests of a GPU, on a host and in a time that are given.

Tests that would start more than TEST_SECONDS after pytest did are skipped, and so are files that
need a package that isn't installed. With WITHOUT_POOL, each array on the GPU is an allocation of
its own, so that compute-sanitizer sees where it ends.
"""

import os
import re
import time
from collections.abc import Iterator

import pytest

STARTED = time.monotonic()
OURS = ("mlp_xp", "bench")


def pytest_configure() -> None:
    if os.environ.get("WITHOUT_POOL"):
        import cupy

        cupy.cuda.set_allocator(None)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    if time.monotonic() - STARTED > float(os.environ["TEST_SECONDS"]):
        pytest.skip("no time left")


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Iterator[None]:
    report = yield
    missing = re.search(r"No module named '(\w+)", str(report.longrepr))
    if report.failed and missing and missing[1] not in OURS:
        report.outcome = "skipped"
        report.longrepr = (str(collector.path), 0, f"Skipped: {missing[1]} is not installed")
    return report
