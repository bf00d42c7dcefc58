"""Measure training on ranks:  python -m bench.distributed [--quick] [--only NAME,NAME] [--turns N]

The two peers take turns: ours, theirs, ours. Nothing else should run at the same time. Without
--quick the results go to bench/results/distributed/; a second call on the same day replaces only
what it measures again. Needs the extra `mpi`, and PyTorch for the comparison.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench import machine
from bench.distributed.cases import CASES, CROWDED_TURNS, PEERS, RANKS, WITH_DDP, Case
from bench.distributed.page import section
from bench.peers import absent
from bench.problem import Problem
from bench.runner import CHECKOUT, environment, pinned
from mlp_xp.data import MNIST

RESULTS = Path(__file__).resolve().parents[1] / "results" / "distributed"
LIMIT = 120  # seconds that a program may take
WHOLE_LIMIT = 530  # seconds, of all together: a case that would take longer gets fewer turns


def parse_options() -> argparse.Namespace:
    known = [case.name for case in CASES]
    parser = argparse.ArgumentParser(
        "python -m bench.distributed", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--quick", action="store_true", help="the fewest steps, nothing written")
    parser.add_argument("--only", help=f"some of {','.join(known)}")
    parser.add_argument("--turns", type=int, help="turns at most (5; quick 1)")
    options = parser.parse_args()
    options.only = options.only.split(",") if options.only else known
    if unknown := set(options.only) - set(known):
        parser.error(f"no case {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    options.turns = options.turns or (1 if options.quick else 5)
    return options


def launcher(peer: str, ranks: int) -> list[str]:
    """What starts a peer's ranks."""
    if peer != "ddp":
        return [find("mpiexec"), "-n", str(ranks), sys.executable]
    if ranks == 1:
        return [sys.executable]
    return [find("torchrun"), "--standalone", "--nproc-per-node", str(ranks)]


def find(program: str) -> str:
    """A program beside this Python, or else on the path."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    return shutil.which(program, path=path) or sys.exit(f"{program} is not installed")


def measure(
    peer: str, ranks: int, problems: Sequence[Problem], scratch: Path
) -> list[dict[str, Any]]:
    """Start a peer on so many ranks, and return what it printed for each problem.

    Raises RuntimeError if it failed.
    """
    listed = json.dumps([problem.to_json() for problem in problems])
    command = [*launcher(peer, ranks), "-m", "bench.distributed.worker", peer, listed, str(MNIST)]
    # Both are on one host: gloo would else look for its address under the host's name.
    variables = {**environment("cpu", 1, scratch), "GLOO_SOCKET_IFNAME": "lo"}
    with pinned(ranks):
        process = subprocess.Popen(
            command, cwd=CHECKOUT, env=variables, stdin=subprocess.DEVNULL, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        try:
            out, err = process.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            err += f"took more than {LIMIT} s"
    found = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    if process.returncode or len(found) != len(problems):
        raise RuntimeError(f"{PEERS.get(peer, peer)} on {ranks} ranks failed:\n{out}{err}")
    return found


def same(ours: Sequence[float], theirs: Sequence[float]) -> bool:
    """Whether first losses are those of the same training: to 0.5 %, as bench.results.agrees()."""
    return all(abs(a / b - 1) <= 0.005 for a, b in zip(ours, theirs, strict=True))


def take_turn(case: Case, counts: Sequence[int], scratch: Path) -> dict[str, dict[str, Any]]:
    """Measure a case once on each of these numbers of ranks.

    Returns its rows, with the microseconds of each peer's step. Raises RuntimeError as measure()
    does, and if the peers' losses differ.
    """
    rows: dict[str, dict[str, Any]] = {}
    for ranks in counts:
        with_ddp = ranks in WITH_DDP and absent("torch_eager") is None
        problems = case.problems(ranks)
        found = {
            peer: measure(peer, ranks, [*problems.values()], scratch)
            for peer in (PEERS if with_ddp else ["ours"])
        }
        for place, (kind, problem) in enumerate(problems.items()):
            each = {peer: results[place] for peer, results in found.items()}
            checks = [result["check"] for result in each.values()]
            if not same(checks[0], checks[-1]):
                raise RuntimeError(f"{case.name}, {ranks} ranks: not the same losses: {checks}")
            rows[f"{case.name} {ranks} {kind}".strip()] = {
                "sizes": case.sizes, "batch": problem.batch_size, "ranks": ranks, "scaling": kind,
                "bytes": case.gradient_bytes,
                "values": {peer: result["seconds"] * 1e6 for peer, result in each.items()},
            }  # fmt: skip
    return rows


def watch(case: Case, rows: Mapping[str, dict[str, Any]], scratch: Path) -> None:
    """Add to a case's rows what its sums take, from runs of their own."""
    for ranks in RANKS[1:]:
        problems = case.problems(ranks)
        found = measure("watched", ranks, [*problems.values()], scratch)
        for kind, each in zip(problems, found, strict=True):
            row = rows[f"{case.name} {ranks} {kind}"]
            row["sums"] = {"share": each["share"], "us": each["sum_seconds"] * 1e6}


def add(rows: dict[str, dict[str, Any]], turn: Mapping[str, dict[str, Any]]) -> None:
    """Add the values of a turn to those of the turns before."""
    for key, row in turn.items():
        values = rows.setdefault(key, {**row, "values": {}})["values"]
        for peer, value in row["values"].items():
            values.setdefault(peer, []).append(value)


def run(options: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """Measure the selected cases: a turn of each, then the next turn of each that has one."""
    busy, start = machine.Busy(), time.monotonic()
    cases = [case for case in CASES if case.name in options.only]
    cases = [case.shortest() for case in cases] if options.quick else cases
    rows: dict[str, dict[str, Any]] = {}
    about = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine.describe(),
        "versions": machine.versions(),
    }
    took: dict[str, float] = {}
    for turn in range(options.turns):
        for case in [case for case in cases if turn < case.turns]:
            began = time.monotonic()
            if began - start + took.get(case.name, 0) > WHOLE_LIMIT:
                continue
            print(f"turn {turn + 1}: {case.name}", file=sys.stderr, flush=True)
            try:
                add(rows, take_turn(case, RANKS if turn < CROWDED_TURNS else WITH_DDP, scratch))
                took[case.name] = time.monotonic() - began
                if turn == 0:
                    watch(case, rows, scratch)
            except RuntimeError as error:  # the others are still worth measuring
                print(error, file=sys.stderr, flush=True)
                took[case.name] = math.inf
    about["machine"]["others"] = busy.others()
    return {**about, "seconds": round(time.monotonic() - start), "rows": rows}


def write(found: dict[str, Any], path: Path) -> None:
    """Write the results; rows of the same day that weren't measured again stay."""
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        others = max(each["machine"]["others"] or 0 for each in (before, found))
        found = {**found, "rows": before["rows"] | found["rows"]}
        found["machine"] = {**found["machine"], "others": others}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"wrote {path}")


def main() -> None:
    options = parse_options()
    with TemporaryDirectory() as scratch:
        found = run(options, Path(scratch))
    print(section(json.loads(json.dumps(found))))
    if not options.quick:
        write(found, RESULTS / f"{found['date']}-{machine.slug()}.json")


if __name__ == "__main__":
    main()
