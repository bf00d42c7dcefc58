"""Write a results file's tables into docs/scaling.md, between its two marker comments.

    python -m bench.distributed.page FILE

The second and third table are computed: what the measured steps come to on more hosts and GPUs, by
the bandwidths of LINKS.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any, NamedTuple

from bench.readme import head, insert, line
from bench.report import hardware, number, others
from bench.results import ratios

PAGE = Path(__file__).resolve().parents[2] / "docs" / "scaling.md"
HOSTS, GPUS = (1, 2, 4, 8, 16), 8
Row = Mapping[str, Any]


class Link(NamedTuple):
    """Bytes a second in one direction, seconds of a message, and where these are from."""

    name: str
    bytes_s: float
    latency: float
    source: str


ETHERNET = "line rate; the latency is assumed"
LINKS = (
    Link("Ethernet, 10 Gbit/s", 1.25e9, 2e-5, ETHERNET),
    Link("Ethernet, 100 Gbit/s", 12.5e9, 2e-5, ETHERNET),
    Link(
        "InfiniBand NDR, 400 Gbit/s", 50e9, 2e-6,
        "[ConnectX-7](https://docs.nvidia.com/networking/display/ConnectX7VPI/Introduction); "
        "the latency is assumed",
    ),
)  # fmt: skip
"""Between hosts."""
H200 = "[H200](https://www.nvidia.com/en-us/data-center/h200/), {} GB/s in both directions together"
GPU_LINKS = (
    Link("NVLink of an H200", 450e9, 0, H200.format(900)),
    Link("PCIe 5 of an H200", 64e9, 0, H200.format(128)),
)
"""Between the GPUs of a host; without latencies, of which no source says enough."""


def ring_seconds(n: int, size: int, link: Link) -> float:
    """A sum of `size` bytes on a ring of n: 2 (n - 1) messages of size / n bytes, one after another
    (Patarasu, Yuan 2009)."""
    return 2 * (n - 1) * (size / n / link.bytes_s + link.latency)


def spread(values: Sequence[float]) -> str:
    """Median, then quartiles; one value alone."""
    if len(values) == 1:
        return number(values[0])
    low, middle, high = quantiles(values, method="inclusive")
    return f"{number(middle)} ({number(low)}–{number(high)})"


def network(row: Row) -> str:
    return "-".join(map(str, row["sizes"]))


def milliseconds(microseconds: Sequence[float]) -> str:
    return spread([value / 1e3 for value in microseconds])


def measured_table(rows: Sequence[Row]) -> Iterator[str]:
    """One row for each network, batch, number of ranks and kind of scaling."""
    yield from head(
        "network", "rows a step", "ranks", "scaling", "mlp_xp, ms a step", "PyTorch, ms a step",
        "ours / theirs", "of which sums", "a sum alone, ms",
    )  # fmt: skip
    for row in rows:
        ours, theirs = row["values"]["ours"], row["values"].get("ddp")
        cells = (milliseconds(theirs), spread(ratios(ours, theirs))) if theirs else ("", "")
        sums = row.get("sums")
        watched = (f"{sums['share']:.0%}", number(sums["us"] / 1e3)) if sums else ("", "")
        about = (network(row), str(row["batch"]), str(row["ranks"]), row["scaling"])
        yield line(*about, milliseconds(ours), *cells, *watched)


def hosts_table(rows: Sequence[Row]) -> Iterator[str]:
    """Computed: weak scaling over hosts that each take as long as this one on all cores."""
    counts = [f"{n} host{'s' * (n > 1)}" for n in HOSTS]
    yield from head(
        "network", "rows a host", "between hosts", *counts, f"efficiency at {HOSTS[-1]}"
    )
    for row in rows:
        if (row["ranks"], row["scaling"]) != (2, "weak"):
            continue
        for link in LINKS:
            alone = median(row["values"]["ours"]) / 1e6
            steps = [alone + ring_seconds(n, row["bytes"], link) for n in HOSTS]
            times = (number(seconds * 1e3) for seconds in steps)
            efficiency = f"{alone / steps[-1]:.0%}"
            yield line(network(row), str(row["batch"]), link.name, *times, efficiency)


def gpus_table(rows: Sequence[Row]) -> Iterator[str]:
    """Computed: what a sum over GPUs, and over hosts, takes at least."""
    sizes = {network(row): row["bytes"] for row in rows}
    links = [(link, GPUS, f"{GPUS} GPUs") for link in GPU_LINKS]
    links += [(link, HOSTS[-1], f"{HOSTS[-1]} hosts") for link in LINKS]
    named = (f"{name}, {number(size / 1e6)} MB" for name, size in sizes.items())
    yield from head("a sum over", "by", "GB/s", "from", *named)
    for link, n, over in links:
        times = (f"{number(ring_seconds(n, size, link) * 1e6)} µs" for size in sizes.values())
        yield line(over, link.name, number(link.bytes_s / 1e9), link.source, *times)


def section(found: Mapping[str, Any]) -> str:
    """The tables, and what they were measured on."""
    rows = [*found["rows"].values()]
    used = ("mlp_xp", "python", "numpy", "mpi4py", "mpich", "torch")
    versions = ", ".join(f"{name} {found['versions'].get(name, 'missing')}" for name in used)
    turns = map(str, sorted({len(row["values"]["ours"]) for row in rows}))
    return "\n".join(
        (
            *measured_table(rows),
            "",
            f"Measured on {found['date']} on {hardware(found['machine'])}, with {versions}; "
            f"{others(found['machine'])}. Medians of {' or '.join(turns)} turns, with quartiles.",
            "",
            "**Computed, not measured**: milliseconds a step on several hosts.",
            "",
            *hosts_table(rows),
            "",
            "**Computed, not measured**: what the sum of a step's gradients takes at least.",
            "",
            *gpus_table(rows),
        )
    )


def main(*results: str) -> None:
    if len(results) != 1:
        sys.exit(f"usage: {__doc__.splitlines()[2].strip()}")
    found = json.loads(Path(results[0]).read_text(encoding="utf-8"))
    text = insert(PAGE.read_text(encoding="utf-8"), section(found))
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
