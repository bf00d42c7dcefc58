"""A peer's whole job in one process: load, train, test, save; what a user's own script would do.

    python -m bench.script PEER PROBLEM DATA OUT

Prints the lines that `python -m mlp_xp train` prints, which is this project's own such script.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bench.peers import find
from bench.problem import Problem, read


def main(name: str, problem_json: str, path: str, out: str) -> None:
    problem, data = Problem.from_json(problem_json), read(path)
    peer = find(name)(problem, data.X, data.y)
    for number, epoch in enumerate(peer.train(), start=1):
        print(f"epoch {number}/{problem.epochs}  loss {epoch.loss:.4f}  {epoch.seconds:.2f} s")
    folder = Path(out)
    folder.mkdir(parents=True)
    peer.save(folder / "model")
    right = peer.predict(data.X_test).argmax(axis=1) == data.y_test
    print(f"test accuracy {right.mean():.2%}")


if __name__ == "__main__":
    main(*sys.argv[1:])
