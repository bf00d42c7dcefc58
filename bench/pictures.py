"""Draw the README's picture: a run's learning curve, and what its first layer learned.

    python -m bench.pictures RUN        writes bench/pictures/learning.png

Needs the extra `plot`. Left, the mean training loss of each epoch and the test error after the
last; right, the weights into 24 hidden units, those with the largest weights out of them, each as
the picture that excites it: red adds, blue takes away.
"""

import json
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from mlp_xp import load_model, resolve

PICTURE = Path(__file__).parent / "pictures" / "learning.png"
ROWS, COLUMNS = 4, 6


def draw(run: Path, target: Path) -> None:
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    epochs = [record for record in records if record["record"] == "epoch"]
    test = next(record for record in records if record["record"] == "test")
    network = load_model(run, resolve("cpu").backend)
    figure = plt.figure(figsize=(10, 3.8), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.15))

    axes = left.subplots()
    axes.semilogy(
        [record["epoch"] for record in epochs],
        [record["loss"] for record in epochs],
        "o-",
        color="C3",
    )
    axes.set_xlabel("epoch")
    axes.set_ylabel("mean training loss, nats")
    axes.set_title(f"{test['accuracy']:.2%} of the test set right")
    axes.grid(visible=True, which="both", alpha=0.3)

    first, second = network.layers[0].W, network.layers[1].W
    strongest = np.argsort(np.abs(second).sum(axis=1))[::-1][: ROWS * COLUMNS]
    right.suptitle("weights into 24 hidden units")
    for axes, unit in zip(right.subplots(ROWS, COLUMNS).flat, strongest, strict=True):
        side = int(len(first) ** 0.5)
        weights = first[:, unit].reshape(side, side)
        limit = np.abs(weights).max()
        axes.imshow(weights, cmap="RdBu_r", vmin=-limit, vmax=limit)
        axes.set_axis_off()
    target.parent.mkdir(exist_ok=True)
    figure.savefig(target, dpi=120)


if __name__ == "__main__":
    draw(Path(sys.argv[1]), PICTURE)
    print(PICTURE)
