"""A program as users write it, with every public name; it runs, and `mypy --strict` accepts it.

An assert_type() fails where a name has become Any, as one that type checkers can't see would.
"""

from pathlib import Path
from typing import assert_type

import numpy as np

import mlp_xp
from mlp_xp import (
    PRESETS,
    Callback,
    Config,
    Dataset,
    Device,
    DeviceError,
    Epoch,
    Evaluation,
    InputError,
    Model,
    Network,
    Split,
    Trainer,
    TrainingResult,
    config_for,
    evaluate,
    get_device,
    load_data,
    load_model,
    predict,
    save_model,
    train,
)


class Losses(Callback):
    """The loss of each epoch; ends the training when it is low enough."""

    def __init__(self, enough: float) -> None:
        self.enough = enough
        self.losses: list[float] = []

    def on_epoch(self, trainer: Trainer) -> None:
        epoch = assert_type(trainer.history[-1], Epoch)
        self.losses.append(epoch.loss)
        if epoch.loss < self.enough:
            trainer.stop()


rng = np.random.default_rng(0)
X = rng.uniform(-1, 1, (600, 2))
y = np.where(X[:, 0] * X[:, 1] > 0, "same", "other")
device = assert_type(get_device("cpu"), Device)

losses = Losses(enough=0.1)
model, history = train(X, y, device, [losses], hidden=(16,), epochs=3)
assert_type(model, Model)
assert_type(history, list[Epoch])
assert losses.losses == [epoch.loss for epoch in history]

result = assert_type(model.evaluate(X, y), Evaluation)
probabilities = model.predict(X)
assert probabilities.shape == (600, len(assert_type(model.output_names, tuple[str, ...])))
assert result.accuracy is None or 0 <= result.accuracy <= 1

save_model(model, Path("corners.safetensors"))
again = assert_type(load_model("corners.safetensors"), Model)
assert (predict(again, X) == probabilities).all()

data = assert_type(Dataset.from_arrays(X, y, test=(X[:100], y[:100])), Dataset)
config = assert_type(config_for(data, epochs=2), Config)
trainer = Trainer(data, config, device)
done = assert_type(trainer.fit([Callback()]), TrainingResult)
network: Network = done.network
split = assert_type(data.test, Split | None)
assert split is not None
assert assert_type(evaluate(network, split), Evaluation).loss > 0

try:
    assert_type(load_data("nowhere.csv"), Dataset)
    raise SystemExit("there is no such file")
except (InputError, DeviceError):
    pass
assert "notebook" in PRESETS
assert assert_type(mlp_xp.__version__, str)
