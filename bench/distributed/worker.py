"""One rank of one peer: trains on several problems, for each of which rank 0 prints a line of JSON.

    python -m bench.distributed.worker PEER PROBLEMS DATA

PEER is ours, ddp, or watched: ours with its sums timed. PROBLEMS: a JSON list of Problem.to_json().
"""

from __future__ import annotations

import json
import sys

import numpy as np

from bench.problem import Problem, read


def main(name: str, problems: str, path: str) -> None:
    """Seconds of a step in the median epoch after the first; the first losses. For watched also the
    share of the time that sums take, and the seconds of one where no rank waits for another."""
    if name == "ddp":
        from bench.distributed.ddp import DDP as Peer
    else:  # each imports only what it needs
        from bench.distributed.ours import OnRanks, Watched

        Peer = Watched if name == "watched" else OnRanks  # type: ignore[assignment]
    data = read(path)
    for problem in map(Problem.from_json, json.loads(problems)):
        peer = Peer(problem, data.X, data.y)
        epochs = peer.train()
        steady = float(np.median([epoch.seconds for epoch in epochs[1:]]))
        found = {
            "seconds": steady / problem.steps,
            "check": [epoch.loss for epoch in epochs[:2]],
        }
        if name == "watched":
            found |= {"share": peer.share(epochs), "sum_seconds": peer.sum_seconds()}  # type: ignore[attr-defined]
        if peer.rank == 0:
            print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
