"""Run by mpiexec: trains on all ranks by each of SETTINGS, or those that are named.

Rank 0 saves what came out.
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np

from mlp_xp import Config, Dataset, InputError, Split, Trainer, get_device
from mlp_xp.training.ranks import team_of, threads_for

BASE = {
    "hidden": (5, 4),
    "epochs": 2,
    "dtype": "float64",
    "batch_size": 8,
    "lr": 0.05,
    "threads": 1,
}
SETTINGS = {
    "sgd": {},
    "one row a batch": {"batch_size": 1},
    "fewer rows than ranks": {"batch_size": 2},
    "a batch that no number divides": {"batch_size": 7},
    "all rows in a batch": {"batch_size": 1000},
    "in order": {"shuffle": False},
    "momentum": {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
    "adam, clipped": {"optimizer": "adam", "clip_norm": 0.1, "lr": 0.01},
    "adamw, warmup": {"optimizer": "adamw", "weight_decay": 0.1, "schedule": "cosine", "warmup": 1},
    "dropout": {"dropout": 0.3},
    "dropout, batch 7": {"dropout": 0.3, "batch_size": 7, "optimizer": "adam"},
    "class weights": {"class_weight": "balanced", "label_smoothing": 0.1},
    "standardized": {"standardize": True},
    "validation, patience": {"validation": 0.2, "patience": 1, "epochs": 9, "schedule": "plateau"},
    "no hidden layer": {"hidden": ()},
    "a large layer beside small ones": {"hidden": (6000,), "batch_size": 500},
    "multilabel": {"objective": "multilabel"},
    "regression": {"objective": "regression", "standardize": True, "lr": 0.01},
}


def data_for(objective: str, rows: int = 2603) -> Dataset:
    """By default more rows than a chunk has; the last batch is ragged."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(rows, 6))
    targets = X @ rng.normal(size=(6, 3)) + rng.normal(size=(rows, 3))
    y = {"multiclass": targets.argmax(axis=1), "multilabel": (targets > 0).astype("float32")}
    weights = rng.uniform(0.5, 2, rows)
    split = Split(X, y.get(objective, targets.astype("float32")), weights)
    return Dataset("made", split, None, 3, objective)


def train(changes: dict, communicator=None, device="cpu", rows=2603, **more) -> dict:
    """The losses and the weights after training by BASE with these changes."""
    config = Config(**{**BASE, **changes, **more})
    data = data_for(config.objective, rows)
    trainer = Trainer(data, config, get_device(device), communicator=communicator)
    trainer.fit()
    losses = [(e.loss, e.validation_loss or 0.0) for e in trainer.history]
    return {"losses": losses, "weights": [w.tolist() for w in trainer.network.parameters()]}


def refusals(communicator) -> list[str]:
    """What is said where the ranks aren't alike, and where windows are wanted."""
    said = []
    for changes in ({"seed": communicator.rank}, {"window": 4}):
        try:
            train({}, communicator, **changes)
            said.append("")
        except InputError as error:
            said.append(str(error))
    return said


def main() -> None:
    from mpi4py import MPI

    warnings.simplefilter("error")
    world = MPI.COMM_WORLD
    names = sys.argv[2:] or SETTINGS
    found: dict = {name: train(SETTINGS[name], world) for name in names}
    found["again"] = train(SETTINGS["dropout, batch 7"], world)
    found["float32"] = train({"dtype": "float32"}, world)
    found["refusals"] = refusals(world)
    for _ in range(0 if sys.argv[2:] else 2100):  # MPICH has 2,048 communicators
        threads_for(world)
        team_of(world, get_device("cpu"))
    everyone = world.gather(json.dumps(found["float32"]))
    if world.rank == 0:
        found["equal"] = len(set(everyone)) == 1
        Path(sys.argv[1]).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
