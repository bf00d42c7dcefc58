"""Workers take the plain step's steps: in threads of this process, and as processes."""

import functools
import json
from dataclasses import replace
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.neural_network import MLPClassifier
from workers import lower_the_limits, threads_for_workers  # noqa: F401  (a fixture)

from mlp_xp import Callback, Config, Dataset, Network, Split, Trainer
from mlp_xp.devices import CPU
from mlp_xp.nn import ACTIVATIONS, OPTIMIZERS
from mlp_xp.nn.activations import relu
from mlp_xp.nn.losses import Regression
from mlp_xp.nn.rng import stream
from mlp_xp.training.step import PlainStep
from mlp_xp.training.windowed.buffers import MANY_CLASSES
from mlp_xp.training.workers import WorkersStep
from mlp_xp.training.workers.parts import cut, parts

# There is nothing to learn in random labels.
pytestmark = pytest.mark.filterwarnings("ignore:the training loss")
ORACLE = json.loads((Path(__file__).parents[1] / "oracles" / "torch.json").read_text())
TABLE = ORACLE["optimizers"]


def make(
    seed: int, rows: int, n_in: int = 6, outputs: int = 3, objective: str = "multiclass",
    *, weighted: bool = False, of_bytes: bool = False,
) -> Dataset:  # fmt: skip
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((rows, n_in))
    if of_bytes:
        X = rng.integers(0, 256, (rows, n_in), dtype=np.uint8)
    y = {
        "multiclass": lambda: rng.integers(0, outputs, rows),
        "multilabel": lambda: rng.integers(0, 2, (rows, outputs)).astype("float32"),
        "regression": lambda: rng.standard_normal((rows, outputs)).astype("float32"),
    }[objective]()
    if objective == "multiclass":
        y[:2] = 0, outputs - 1
    weights = rng.uniform(0.5, 2, rows) if weighted else None
    return Dataset("random", Split(X, y, weights), None, outputs, objective)


class AllAlike(Callback):
    """Checks that all workers have the same bits of a layer that each computes alone."""

    def on_chunk(self, trainer: Trainer) -> None:
        shard = trainer.train_step.shard
        if shard.own_parts[-1].is_summed:
            return
        for k in range(len(shard.flats[0])):
            layers = [cut(f[k], p)[-1] for f, p in zip(shard.flats, shard.parts, strict=True)]
            assert len({layer.tobytes() for layer in layers}) == 1


def compare(data: Dataset, config: Config, size: int, rtol: float) -> None:
    """Train by `size` workers, and by the plain step; the two must agree."""
    trainer = Trainer(data, replace(config, threads=size), CPU())
    assert type(trainer.train_step) is WorkersStep
    able = len(config.hidden) > 0 and config.clip_norm is None
    assert trainer.train_step.size == (min(size, *config.hidden) if able else 1)
    trainer.fit([AllAlike()])
    plain = Trainer(data, replace(config, window=1), CPU())
    assert type(plain.train_step) is PlainStep
    plain.fit()
    arrays = zip(
        [*trainer.network.parameters(), *chain(*trainer.optimizer.state.values())],
        [*plain.network.parameters(), *chain(*plain.optimizer.state.values())],
        strict=True,
    )
    for a, b in arrays:
        assert a.dtype == b.dtype == config.dtype
        # Where a gradient cancels, the rounding of its terms is left.
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * max(1, np.abs(b).max()))
    assert trainer.optimizer.steps == plain.optimizer.steps > 0
    losses = [[epoch.loss for epoch in t.history] for t in (trainer, plain)]
    np.testing.assert_allclose(*losses, rtol=rtol, atol=rtol)


# Adam divides by about |gradient|: with its usual eps of 1e-8 the rounding of a gradient that is
# nearly 0 would be all of an update.
UPDATES = {
    "sgd": {},
    "decay": {"weight_decay": 0.1},
    "momentum": {"momentum": 0.9},
    "nesterov": {"momentum": 0.8, "nesterov": True, "weight_decay": 0.1},
    "adam": {"optimizer": "adam", "eps": 0.01},
    "adam, decay": {"optimizer": "adam", "weight_decay": 0.1, "betas": (0.5, 0.9), "eps": 0.01},
    "adamw": {"optimizer": "adamw", "weight_decay": 0.1, "eps": 0.01},
}


def property_of(max_examples: int):
    """Decorates a test of any settings."""

    def decorate(test):
        drawn = given(
            seed=st.integers(0, 2**32 - 1),
            rows=st.integers(2, 50),
            n_in=st.integers(1, 9),
            hidden=st.lists(st.integers(1, 9), max_size=4),
            outputs=st.integers(1, 5),
            objective=st.sampled_from(["multiclass", "multilabel", "regression"]),
            activation=st.sampled_from(sorted(ACTIVATIONS)),
            update=st.sampled_from(sorted(UPDATES)),
            batch_size=st.sampled_from([1, 2, 3, 8, 31, 64]),
            size=st.integers(1, 4),
            chunk_rows=st.sampled_from([1, 16, 2048]),
            flags=st.fixed_dictionaries(
                {},
                optional={
                    "dropout": st.sampled_from([0.2, 0.5]),
                    "standardize": st.booleans(),
                    "clip_norm": st.sampled_from([0.1, 5.0]),
                    "label_smoothing": st.just(0.2),
                    "class_weight": st.just("balanced"),
                    "dtype": st.just("float32"),
                    "shuffle": st.booleans(),
                },
            ),
            weighted=st.booleans(),
            of_bytes=st.booleans(),
        )
        limited = settings(
            max_examples=max_examples, suppress_health_check=[HealthCheck.function_scoped_fixture]
        )
        return limited(drawn(test))

    return decorate


def check_any(
    monkeypatch, seed, rows, n_in, hidden, outputs, objective, activation, update, batch_size,
    size, chunk_rows, flags, weighted, of_bytes,
):  # fmt: skip
    if objective == "multiclass":
        outputs = max(2, outputs)
    else:
        flags = {k: v for k, v in flags.items() if k not in ("label_smoothing", "class_weight")}
    data = make(seed, rows, n_in, outputs, objective, weighted=weighted, of_bytes=of_bytes)
    config = Config(
        **{"dtype": "float64", **UPDATES[update], **flags}, hidden=tuple(hidden), lr=0.001,
        objective=objective, activation=activation, batch_size=batch_size, epochs=2, seed=seed,
    )  # fmt: skip
    with monkeypatch.context() as patch:
        patch.setattr("mlp_xp.training.setup.CHUNK_ROWS", chunk_rows)
        compare(data, config, size, 1e-12 if config.dtype == "float64" else 2e-4)


@property_of(40)
def test_any_settings(threads_for_workers, monkeypatch, **drawn):  # noqa: F811
    check_any(monkeypatch, **drawn)


@pytest.mark.full
@property_of(500)
def test_many_settings(threads_for_workers, monkeypatch, **drawn):  # noqa: F811
    check_any(monkeypatch, **drawn)


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("objective", ["multiclass", "multilabel"])
def test_many_outputs(threads_for_workers, size, dtype, objective):  # noqa: F811
    data = make(1, 150, 6, MANY_CLASSES + 2, objective)
    config = Config(
        hidden=(7, 5, 6), batch_size=40, epochs=2, dtype=dtype, optimizer="adam", eps=0.01,
        objective=objective,
    )  # fmt: skip
    compare(data, config, size, 1e-12 if dtype == "float64" else 1e-5)


@pytest.mark.parametrize("settings", [{}, {"optimizer": "adam", "lr": 0.001}])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_real_size(threads_for_workers, size, settings):  # noqa: F811
    """Of which rows are prepared in groups, and the optimizer changes the weights in blocks."""
    data = make(2, 3000, 300, 10, of_bytes=True)
    config = Config(
        hidden=(150, 70), batch_size=64, epochs=1, dtype="float64", dropout=0.1, **settings
    )
    compare(data, config, size, 1e-9)


UPDATES_OF_SKLEARN = {
    "sgd": ({"solver": "sgd", "momentum": 0}, {}),
    "momentum": (
        {"solver": "sgd", "momentum": 0.9, "nesterovs_momentum": False}, {"momentum": 0.9}
    ),
    "nesterov": (
        {"solver": "sgd", "momentum": 0.9, "nesterovs_momentum": True},
        {"momentum": 0.9, "nesterov": True},
    ),
    # scikit-learn adds its eps elsewhere, so it has to be small beside all gradients.
    "adam": ({"solver": "adam", "epsilon": 1e-14}, {"optimizer": "adam", "eps": 1e-14}),
}  # fmt: skip


@pytest.mark.parametrize("update", UPDATES_OF_SKLEARN)
@pytest.mark.parametrize("hidden", [(5,), (8, 6), (7, 5, 6)])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_steps_equal_scikit_learns(threads_for_workers, size, hidden, update):  # noqa: F811
    data = make(3, 120)
    theirs, ours = UPDATES_OF_SKLEARN[update]
    lr, batch = 0.02, 20
    classifier = MLPClassifier(
        hidden, activation="tanh", alpha=0, shuffle=False, learning_rate_init=lr, batch_size=batch,
        random_state=3, **theirs,
    )  # fmt: skip
    X, y = data.train.X, data.train.y
    begun = MLPClassifier(**{**classifier.get_params(), "learning_rate_init": 1e-300})
    begun.partial_fit(X[:batch], y[:batch], classes=[0, 1, 2])
    network = Network.initialize(CPU(), (6, *hidden, 3), activation="tanh", dtype="float64")
    for layer, W, b in zip(network.layers, begun.coefs_, begun.intercepts_, strict=True):
        layer.W[...], layer.b[...] = W, b
    for start in range(0, len(X), batch):
        rows = slice(start, start + batch)
        classifier.partial_fit(X[rows], y[rows], classes=[0, 1, 2])
    config = Config(
        hidden=hidden, activation="tanh", batch_size=batch, epochs=1, lr=lr, schedule="constant",
        shuffle=False, dtype="float64", threads=size, **ours,
    )  # fmt: skip
    trainer = Trainer(data, config, CPU(), network)
    assert trainer.train_step.size == size
    trainer.fit()
    rtol = 1e-6 if update == "adam" else 1e-10
    for layer, W, b in zip(network.layers, classifier.coefs_, classifier.intercepts_, strict=True):
        np.testing.assert_allclose(layer.W, W, rtol=rtol, atol=1e-3 * rtol)
        np.testing.assert_allclose(layer.b, b, rtol=rtol, atol=1e-3 * rtol)


@pytest.mark.parametrize(
    "case", TABLE["cases"], ids=lambda case: f"{case['optimizer']}-{case['settings']}-{case['lr']}"
)
def test_one_workers_updates_equal_pytorchs(case):
    """On rows and targets whose gradients are those of the table."""
    W, b = (np.array(value) for value in TABLE["start"])
    network = Network.initialize(CPU(), (3, 2), objective="regression", dtype="float64")
    network.layers[0].W[...], network.layers[0].b[...] = W, b
    config = Config(
        hidden=(), objective="regression", batch_size=4, dtype="float64",
        optimizer=case["optimizer"], **case["settings"],
    )  # fmt: skip
    optimizer = config.build(OPTIMIZERS[config.optimizer])
    optimizer.initialize(network.parameters())
    step = WorkersStep(network, Regression(), optimizer, config, 1, 4)
    X = np.eye(4, 3)
    with step.running():
        for i, (of_W, of_b) in enumerate(TABLE["gradients"]):
            # X^T dlogits is of_W, and the sum of dlogits of_b.
            dlogits = np.array([*of_W, np.subtract(of_b, np.sum(of_W, axis=0))])
            y = network.logits(X) - dlogits * (X.shape[0] * 2 / 2)
            step((X, y, None), [case["lr"] * TABLE["factors"][i]], stream(0, "dropout"))
            if str(i + 1) in case["after"]:
                for mine, theirs in zip(
                    network.parameters(), case["after"][str(i + 1)], strict=True
                ):
                    np.testing.assert_allclose(mine, theirs, rtol=1e-8)
    assert optimizer.steps == len(TABLE["gradients"]) == 20


@pytest.mark.parametrize(
    "sizes", [(4, 3), (4, 7, 3), (4, 7, 5, 3), (4, 7, 6, 5, 3), (4, 9, 3, 3, 8, 2)]
)
@pytest.mark.parametrize("size", [1, 2, 3])
def test_every_weight_has_its_worker(sizes, size):
    """One, unless a layer is computed by all; nobody else has it."""
    shares = [parts(sizes, rank, size) for rank in range(size)]
    for i, (n_in, n_out) in enumerate(pairwise(sizes)):
        weights, biases = np.zeros((n_in, n_out)), np.zeros(n_out)
        for mine in shares:
            weights[mine[i].rows, mine[i].columns] += 1
            biases[mine[i].columns] += mine[i].has_bias
        alone = size if i % 2 == 0 and i + 2 == len(sizes) else 1
        assert (weights == alone).all()
        assert (biases == alone).all()


def test_a_step_of_ones_own_is_the_plain_step(monkeypatch):
    """Whatever may compute something else than this package's classes do."""
    lower_the_limits(monkeypatch)
    data = make(4, 20)

    class Own(Network):
        pass

    @functools.wraps(relu)
    def disguised(xp, Z):
        return relu(xp, Z)

    mixed = replace(ACTIVATIONS["relu"], derivative=lambda xp, Z, A: xp.ones_like(A))
    other = replace(ACTIVATIONS["relu"], function=disguised)
    assert type(Trainer(data, Config(), CPU()).train_step) is WorkersStep
    for name, activation in (("mixed", mixed), ("other", other)):
        monkeypatch.setitem(ACTIVATIONS, name, activation)
        step = Trainer(data, Config(activation=name, threads=2), CPU()).train_step
        assert type(step) is PlainStep, name
    own = Own.initialize(CPU(), (6, 4, 3))
    assert type(Trainer(data, Config(threads=2), CPU(), own).train_step) is PlainStep
    assert type(Trainer(data, Config(window=1), CPU()).train_step) is PlainStep
