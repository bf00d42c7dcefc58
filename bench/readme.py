"""Write results files' tables into docs/benchmarks.md, between its two marker comments.

    python -m bench.readme FILE [FILE ...]

With the files of several machines, each row is that of the machine where it is worst for us.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.peers import OURS, PEERS
from bench.report import (
    LINEAR_LIMIT,
    hardware,
    ideal,
    linear,
    number,
    others,
    spread,
    state,
    threads,
)

PAGE = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"
BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
Reports = Mapping[str, Mapping[str, Any]]
"""Results files by the letter that stands for their machine, empty if there is only one."""


def named(reports: Sequence[Mapping[str, Any]]) -> Reports:
    """Call the machines A, B, and so on."""
    if len(reports) == 1:
        return {"": reports[0]}
    return {chr(ord("A") + i): report for i, report in enumerate(reports)}


def line(*cells: str) -> str:
    """A row of a table."""
    return f"| {' | '.join(cells)} |"


def head(*cells: str) -> Iterator[str]:
    yield line(*cells)
    yield f"|{'---|' * len(cells)}"


def worst(reports: Reports) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
    """Of each workload, number of threads and target: machine, result and verdict, where the
    target is missed by most."""
    rows: dict[tuple[str, int, str], list[tuple[str, Any, Any]]] = {}
    for name, report in reports.items():
        for result in report["results"]:
            for verdict in result["targets"]:
                key = (result["workload"], result["threads"], verdict["target"])
                rows.setdefault(key, []).append((name, result, verdict))
    for found in rows.values():
        yield max(found, key=lambda row: row[2]["factor"] or 0)


def table(reports: Reports) -> Iterator[str]:
    """One row per target: ours, theirs, their ratio, and whether the target is reached."""
    on = ["on"] if len(reports) > 1 else []
    yield from head(
        *("workload", "", "mlp_xp", "against", "takes", "ours / theirs", *on, "target", "")
    )
    for name, result, verdict in worst(reports):
        peers = result["peers"]
        theirs = ("–", "–", "–")
        if verdict["against"]:
            peer = peers[verdict["against"]]
            takes = f"{spread(peer['values'])} {result['unit']}"
            theirs = (peer["label"], takes, spread(peer["ratios"]))
        ours = f"{spread(peers[OURS]['values'])} {result['unit']}"
        cells = (result["title"], threads(result["threads"]), ours, *theirs, *[name for _ in on])
        yield line(*cells, verdict["target"], state(verdict))


def curve_table(reports: Reports) -> Iterator[str]:
    """One row per curve: the exponents of time in the work."""
    curves = [
        (name, growing, curve)
        for name, report in reports.items()
        for growing, curve in report["curves"].items()
    ]
    if not curves:
        return
    on = ["on"] if len(reports) > 1 else []
    peers = list(curves[0][2]["slope"])
    exponents = (f"exponent, {PEERS[peer].label}" for peer in peers)
    yield from head("growing", "from, to", "", *exponents, *on, "target", "")
    for growing in dict.fromkeys(growing for _, growing, _ in curves):
        same = [(name, curve) for name, other, curve in curves if other == growing]
        name, curve = max(same, key=lambda found: found[1]["slope"][OURS])
        ends = f"{curve['x'][0]:,}, {curve['x'][-1]:,}"
        slopes = (number(curve["slope"][peer]) for peer in peers)
        cells = (growing, ends, threads(curve["threads"]), *slopes, *[name for _ in on])
        yield line(*cells, f"≤ {LINEAR_LIMIT}", linear(curve))
    yield ""


def scaling_table(reports: Reports) -> Iterator[str]:
    """One row per workload, machine and number of threads."""
    curves = [
        (name, curve) for name, report in reports.items() for curve in report["scaling"].values()
    ]
    if not curves:
        return
    on = ["on"] if len(reports) > 1 else []
    yield from head("workload", *on, "cores", "threads", "mlp_xp, µs a step", "ideal")
    for name, curve in curves:
        for count, values, best in zip(curve["x"], curve["values"], ideal(curve), strict=True):
            cells = (curve["title"], *[name for _ in on], str(curve["cores"]), str(count))
            yield line(*cells, spread(values), number(best))
    yield ""


def measured(name: str, report: Mapping[str, Any]) -> str:
    """The machine, the versions and the machine's own limits."""
    machine = report["machine"]
    versions = ", ".join(f"{name} {value}" for name, value in report["versions"].items())
    limits = [
        f"{threads(int(count))}: {number(roof['float32_gflop_s'])} GFLOP/s in float32 products, "
        f"{number(roof['copy_gb_s']['256'])} GB/s copying memory"
        for count, roof in report["roofline"].items()
    ]
    return (
        f"{name and f'{name}: '}Measured on {report['date']} on {hardware(machine)}, "
        f"governor {machine['governor']}, with {versions}; {others(machine)}. Medians of "
        f"{report['rounds']} rounds, with min and max. Limits of the machine: {'; '.join(limits)}."
    )


def section(reports: Sequence[Mapping[str, Any]]) -> str:
    """The tables, and below them a paragraph for each machine."""
    machines = named(reports)
    tables = (*table(machines), "", *curve_table(machines), *scaling_table(machines))
    return "\n".join((*tables, "\n\n".join(measured(*each) for each in machines.items())))


def insert(text: str, section: str) -> str:
    """Replace what is between the markers. Raises ValueError if there are none."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the text needs the two lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{section}\n{END}{after}"


def main(*results: str) -> None:
    if not results:
        sys.exit(f"usage: {__doc__.splitlines()[2].strip()}")
    reports = [json.loads(Path(path).read_text(encoding="utf-8")) for path in results]
    text = insert(PAGE.read_text(encoding="utf-8"), section(reports))
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
