"""Results as text: a block for each workload, every target on a line, the machine's limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from statistics import median
from typing import Any

from bench.peers import OURS, PEERS

# The spread of a short run is worth some hundredths of an exponent.
LINEAR_LIMIT = 1.05
LINEAR = f"linear in the work, exponent ≤ {LINEAR_LIMIT}"


def number(value: float) -> str:
    """Three figures, without an exponent."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}" if abs(value) >= 0.1 or value == 0 else f"{value:.3f}"


def spread(values: list[float]) -> str:
    """Median, then min and max; one value alone."""
    if len(values) == 1:
        return number(values[0])
    return f"{number(median(values))} ({number(min(values))}–{number(max(values))})"


def threads(count: int) -> str:
    return f"{count} thread{'s' * (count != 1)}"


def state(verdict: Mapping[str, Any]) -> str:
    """Whether a target is reached, or by how much it is missed."""
    factor = verdict["factor"]
    if factor is None:
        return "no peer to compare with"
    return "reached" if factor <= 1 else f"missed, {number(factor)} times as much"


def linear(curve: Mapping[str, Any]) -> str:
    """Whether our time grows no faster than the work."""
    exponent = curve["slope"][OURS]
    return "reached" if exponent <= LINEAR_LIMIT else f"missed, exponent {number(exponent)}"


def block(result: Mapping[str, Any]) -> Iterator[str]:
    """One workload at one number of threads."""
    yield f"{result['title']} · {result['unit']} · {threads(result['threads'])}"
    yield f"  {'':20} {'median (min–max)':>26} {'ours / theirs':>22} {'start-up s':>11}"
    for name, peer in result["peers"].items():
        ratio = "" if name == OURS else spread(peer["ratios"])
        # The slowest start is the one with empty caches.
        start = number(max(peer["warm_up"])) if any(peer["warm_up"]) else ""
        note = "" if peer["agrees"] else f"   NOT THE SAME RESULT: {peer['check']}"
        yield f"  {peer['label']:20} {spread(peer['values']):>26} {ratio:>22} {start:>11}{note}"
    for label, why in result["missing"].items():
        yield f"  {label:20} missing: {why}"
    for verdict in result["targets"]:
        against = f" ({PEERS[verdict['against']].label})" if verdict["against"] else ""
        yield f"  target {verdict['target']}{against}: {state(verdict)}"
    if "bounds" in result:
        yield f"  {roof(result)}"
    yield ""


def roof(result: Mapping[str, Any]) -> str:
    """What bounds a plain step of this workload on this machine."""
    products, memory = result["bounds"]["products"], result["bounds"]["memory"]
    ours = median(result["peers"][OURS]["values"])
    by = "its products" if products >= memory else "moving its weights"
    return (
        f"roof: products {number(products)} µs, weights {number(memory)} µs; a plain step is bound "
        f"by {by}; ours takes {number(ours / max(products, memory))} times the roof"
    )


def curve_block(name: str, curve: Mapping[str, Any]) -> Iterator[str]:
    """Seconds an epoch against the work, and how one grows with the other."""
    labels = [PEERS[peer].label for peer in curve["seconds"]]
    yield f"time against {name} · ms an epoch · {threads(curve['threads'])}"
    yield f"  {name:>8} {'MFLOP':>10}" + "".join(f" {label:>18}" for label in labels)
    rows = zip(curve["x"], curve["work"], *curve["seconds"].values(), strict=True)
    for x, work, *seconds in rows:
        cells = "".join(f" {number(value * 1e3):>18}" for value in seconds)
        yield f"  {x:>8} {work / 1e6:>10,.0f}{cells}"
    slopes = "".join(f" {number(value):>18}" for value in curve["slope"].values())
    yield f"  {'exponent of the work':19}{slopes}"
    yield f"  target {LINEAR}: {linear(curve)}"
    yield ""


def scaling_block(curve: Mapping[str, Any]) -> Iterator[str]:
    """Our step on one thread, on two and so on, beside the ideal."""
    yield f"{curve['title']} · µs a step on {curve['cores']} cores"
    yield f"  {'threads':>8} {'mlp_xp':>26} {'ideal':>10}"
    for count, values, best in zip(curve["x"], curve["values"], ideal(curve), strict=True):
        yield f"  {count:>8} {spread(values):>26} {number(best):>10}"
    yield ""


def ideal(curve: Mapping[str, Any]) -> list[float]:
    """One thread's time, divided by the cores that each number of threads can keep busy."""
    return [median(curve["values"][0]) / min(count, curve["cores"]) for count in curve["x"]]


def hardware(host: Mapping[str, Any]) -> str:
    """The processor, and the kernels with which NumPy multiplies on it."""
    blas = host["blas"]
    kernel = f"{blas['internal_api']} {blas['version']}, {blas['architecture']} kernels"
    given = "".join(f", {name}={value}" for name, value in host["variables"].items())
    return f"{host['processor']}, {host['cores']} cores ({kernel}{given})"


def others(host: Mapping[str, Any]) -> str:
    """How quiet the machine was."""
    cores = "an unknown number of" if host["others"] is None else number(host["others"])
    return f"other programs kept {cores} cores busy meanwhile"


def machine(report: Mapping[str, Any]) -> Iterator[str]:
    """The machine, the versions, and the machine's limits."""
    host = report["machine"]
    yield (
        f"Measured on {hardware(host)}, {host['memory_gb']} GB, "
        f"governor {host['governor']}, load before {host['load']}"
    )
    if "card" in report:
        about = (f"{name} {value}" for name, value in report["card"].items())
        yield f"GPU: {', '.join(about)}"
    yield ", ".join(f"{name} {value}" for name, value in report["versions"].items())
    for count, roof in report["roofline"].items():
        copies = ", ".join(f"{number(v)} GB/s at {mb} MB" for mb, v in roof["copy_gb_s"].items())
        yield (
            f"roof, {threads(int(count))}: products {number(roof['float32_gflop_s'])} GFLOP/s "
            f"float32, {number(roof['float64_gflop_s'])} float64; copies {copies}"
        )
    yield ""


def targets(report: Mapping[str, Any]) -> Iterator[str]:
    """Every target on one line."""
    for result in report["results"]:
        for verdict in result["targets"]:
            where = f"{result['workload']}, {threads(result['threads'])}"
            yield f"  {where:24} {verdict['target']:32} {state(verdict)}"
    for name, curve in report["curves"].items():
        where = f"{name}, {threads(curve['threads'])}"
        yield f"  {where:24} {LINEAR:32} {linear(curve)}"
