"""Write a results file's tables into docs/benchmarks.md, between its two marker comments.

python -m bench.readme bench/results/FILE.json
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.peers import OURS, PEERS
from bench.report import LINEAR_LIMIT, linear, number, spread, state, threads

PAGE = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"
BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"


def table(report: Mapping[str, Any]) -> Iterator[str]:
    """One row per target: ours, theirs, their ratio, and whether the target is reached."""
    yield "| workload | | mlp_xp | against | takes | ours / theirs | target | |"
    yield "|---|---|---|---|---|---|---|---|"
    for result in report["results"]:
        peers = result["peers"]
        for verdict in result["targets"]:
            theirs = ("–", "–", "–")
            if verdict["against"]:
                peer = peers[verdict["against"]]
                takes = f"{spread(peer['values'])} {result['unit']}"
                theirs = (peer["label"], takes, spread(peer["ratios"]))
            ours = f"{spread(peers[OURS]['values'])} {result['unit']}"
            cells = (result["title"], threads(result["threads"]), ours, *theirs)
            yield f"| {' | '.join((*cells, verdict['target'], state(verdict)))} |"


def curve_table(curves: Mapping[str, Any]) -> Iterator[str]:
    """One row per curve: the exponents of time in the work."""
    peers = list(next(iter(curves.values()))["slope"])
    cells = ["growing", "from, to", "", *(f"exponent, {PEERS[peer].label}" for peer in peers)]
    yield f"| {' | '.join((*cells, 'target', ''))} |"
    yield f"|{'---|' * (len(cells) + 2)}"
    for name, curve in curves.items():
        ends = f"{curve['x'][0]:,}, {curve['x'][-1]:,}"
        exponents = (number(curve["slope"][peer]) for peer in peers)
        cells = [name, ends, threads(curve["threads"]), *exponents]
        yield f"| {' | '.join((*cells, f'≤ {LINEAR_LIMIT}', linear(curve)))} |"


def section(report: Mapping[str, Any]) -> str:
    """The tables, and below them the machine, the versions and the machine's own limits."""
    machine = report["machine"]
    versions = ", ".join(f"{name} {value}" for name, value in report["versions"].items())
    limits = [
        f"{threads(int(count))}: {number(roof['float32_gflop_s'])} GFLOP/s in float32 products, "
        f"{number(roof['copy_gb_s']['256'])} GB/s copying memory"
        for count, roof in report["roofline"].items()
    ]
    measured = (
        f"Measured on {report['date']} on {machine['processor']}, {machine['cores']} cores, "
        f"governor {machine['governor']}, with {versions}. Medians of {report['rounds']} rounds, "
        f"with min and max. Limits of the machine: {'; '.join(limits)}."
    )
    growth = [*curve_table(report["curves"]), ""] if report["curves"] else []
    return "\n".join((*table(report), "", *growth, measured))


def insert(text: str, section: str) -> str:
    """Replace what is between the markers. Raises ValueError if there are none."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the text needs the two lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{section}\n{END}{after}"


def main(results: str) -> None:
    report = json.loads(Path(results).read_text(encoding="utf-8"))
    text = insert(PAGE.read_text(encoding="utf-8"), section(report))
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
