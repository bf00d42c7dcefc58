"""Write a results file's table into README.md, between its two marker comments.

python -m bench.readme bench/results/FILE.json
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.peers import OURS
from bench.report import number, spread, state, threads

README = Path(__file__).resolve().parent.parent / "README.md"
BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"


def table(report: Mapping[str, Any]) -> Iterator[str]:
    """One row a target: ours, theirs, their ratio, and whether the target is reached."""
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


def section(report: Mapping[str, Any]) -> str:
    """The table, and under it the machine, the versions and the machine's own limits."""
    about = report["machine"]
    versions = ", ".join(f"{name} {value}" for name, value in report["versions"].items())
    roofs = "; ".join(
        f"{threads(int(count))}: {number(roof['float32_gflop_s'])} GFLOP/s in float32 products, "
        f"{number(roof['copy_gb_s']['256'])} GB/s copying memory"
        for count, roof in report["roofline"].items()
    )
    return "\n".join(
        (
            *table(report),
            "",
            f"Measured {report['date']} on {about['processor']}, {about['cores']} cores, governor "
            f"{about['governor']}, with {versions}. Medians of {report['rounds']} rounds, with min "
            f"and max. The machine itself, {roofs}.",
        )
    )


def insert(text: str, section: str) -> str:
    """The text with what is between its markers replaced. Raises ValueError if there are none."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the text needs the two lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{section}\n{END}{after}"


def main(results: str) -> None:
    report = json.loads(Path(results).read_text(encoding="utf-8"))
    text = insert(README.read_text(encoding="utf-8"), section(report))
    README.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
