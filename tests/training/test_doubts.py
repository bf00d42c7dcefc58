"""Trainings that failed are doubted, good ones never."""

import warnings

import numpy as np
import pytest
from sklearn import datasets

from mlp_xp import Config, Dataset, Epoch, Network, Split, Trainer, evaluate, train
from mlp_xp.devices import CPU
from mlp_xp.errors import TrainingWarning
from mlp_xp.nn import OBJECTIVES
from mlp_xp.training import doubts, find_doubts
from mlp_xp.training.doubts import constant_loss, history_doubts

GOOD = {"standardize": True, "optimizer": "adamw", "lr": 0.001}


def result_doubts(evaluation, config, names) -> list[str]:
    better = doubts._no_better(evaluation, config, names)
    return [*better, *doubts._never_predicted(evaluation, config, names)]


def table(name: str) -> Dataset:
    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(X))
    test, rest = np.split(order, [len(X) // 4])
    objective = "regression" if name == "diabetes" else "multiclass"
    y = (y - y.mean()) / y.std() if objective == "regression" else y
    return Dataset.from_arrays(X[rest], y[rest], test=(X[test], y[test]), objective=objective)


def found(data: Dataset, **settings) -> list[str]:
    trainer = Trainer(data, Config(objective=data.objective, **settings), CPU())
    trainer.fit()
    names = tuple(map(str, range(data.n_outputs)))
    return find_doubts(trainer, evaluate(trainer.network, data.test), names)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", ["digits", "iris", "breast_cancer", "wine", "diabetes"])
def test_good_trainings_are_not_doubted(name, seed):
    data = table(name)
    more = {"dropout": 0.2}
    if name != "diabetes":
        more |= {"class_weight": "balanced", "label_smoothing": 0.1}
    for settings in ({}, {"epochs": 40}, more):
        assert found(data, seed=seed, **GOOD, **settings) == []


@pytest.mark.parametrize("name", ["breast_cancer", "wine"])
def test_trainings_on_unscaled_columns_are(name):
    data = table(name)
    no_better, never = found(data, seed=1)
    assert no_better.startswith("the model is no better than always '")
    assert no_better.endswith("; try --standardize, a lower --lr (0.3) or more --epochs (10)")
    assert "never predicted: " in never
    with pytest.warns(TrainingWarning, match="the training loss, .* is no better than") as caught:
        train(data, Config(seed=1), CPU())
    assert [warning.filename for warning in caught] == [__file__]


def test_an_epoch_of_mnist_is_not_doubted(mnist):
    few = Dataset.from_arrays(
        mnist.train.X[:6000], mnist.train.y[:6000], test=(mnist.test.X[:2000], mnist.test.y[:2000])
    )
    for epochs in (1, 2):
        assert found(few, epochs=epochs) == []


def history(*losses: float) -> list[Epoch]:
    return [Epoch(number, loss, 1.0, 1.0) for number, loss in enumerate(losses, start=1)]


@pytest.mark.parametrize(
    ("losses", "constant", "words"),
    [
        ((9.0,), 1.0, None),
        ((0.5, 0.4), 1.0, None),
        ((0.5, 0.502), 1.0, None),  # a network that had been trained before
        ((5.0, 0.99), 1.0, None),
        ((5.0, 0.996), 1.0, "loss, 0.996 in epoch 2, is no better than 1, what the same answer on"),
        (
            (1.2, 1.3, 1.2),
            1.0,
            "gives; try more --epochs (10), --standardize or a lower --lr (0.3)",
        ),
        ((5, 1.2, 1.2), 1.0, "gives; try --standardize, a lower --lr (0.3) or more --epochs (10)"),
        ((0.5, 0.4, 0.6), 1.0, "rose from 0.5 in epoch 1 to 0.6 in epoch 3; try --standardize or"),
        ((5.0, 4.0), None, None),
        ((5.0, 6.0), None, "rose from 5 in epoch 1 to 6 in epoch 2"),
    ],
)
def test_training_losses(losses, constant, words):
    doubts = history_doubts(history(*losses), Config(), constant)
    assert len(doubts) == (words is not None)
    assert all(words in line for line in doubts)


def test_losses_with_dropout_are_not_compared():
    """They are of a network with fewer units than the result's."""
    config = Config(dropout=0.5)
    assert history_doubts(history(5, 1.01), config, 1.0) == []
    assert history_doubts(history(5, 5.1), config, 1.0)


@pytest.mark.parametrize(
    "settings", [{}, {"label_smoothing": 0.2}, {"class_weight": (1, 2, 3)}, {"weights": True}]
)
@pytest.mark.parametrize("objective", ["multiclass", "multilabel", "regression"])
def test_no_bias_alone_has_a_lower_loss_than_the_constants(objective, settings, rng):
    """The oracle: gradient descent on the logits of one answer, by the objective itself."""
    settings = dict(settings)
    weights = rng.random(90) if settings.pop("weights", False) else None
    if settings and objective != "multiclass":
        return
    classes = rng.choice(3, 90, p=[0.6, 0.3, 0.1])
    y = {"multiclass": classes, "multilabel": np.eye(3)[classes],
         "regression": 1e3 + rng.standard_normal((90, 2))}[objective]  # fmt: skip
    data = Dataset.from_arrays(np.zeros((90, 1)), y, weights=weights, objective=objective)
    trainer = Trainer(data, Config(objective=objective, dtype="float64", **settings), CPU())
    loss = trainer.config.build(OBJECTIVES[objective]).loss
    bias = np.full(data.n_outputs, 1e3 if objective == "regression" else 0.0)
    for _ in range(4000):
        logits = np.tile(bias, (90, 1))
        lowest, gradient = loss(np, logits, data.train.y, trainer.loader.split.weights)
        bias -= gradient.sum(axis=0) * 0.5
    assert constant_loss(trainer) == pytest.approx(float(lowest), rel=1e-6)


def test_scaled_targets_have_scaled_losses():
    y = np.array([[1e6], [1e6 + 64]])
    data = Dataset.from_arrays(np.zeros((2, 1)), y, objective="regression")
    for standardize, expected in ((False, 32**2), (True, 1)):
        config = Config(objective="regression", standardize=standardize)
        assert constant_loss(Trainer(data, config, CPU())) == expected


def test_the_losses_of_an_objective_of_ones_own_have_no_constant(monkeypatch):
    class Own(OBJECTIVES["regression"]):
        pass

    monkeypatch.setitem(OBJECTIVES, "own", Own)
    data = Dataset.from_arrays(np.eye(2), np.eye(2), objective="own")
    assert constant_loss(Trainer(data, Config(objective="own"), CPU())) is None


def result(predicted: list[int], y: list[int], n_classes: int = 3):
    network = Network.initialize(CPU(), (n_classes, n_classes))
    network.layers[0].W[...] = np.eye(n_classes)
    return evaluate(network, Split(np.eye(n_classes)[predicted], np.array(y)))


@pytest.mark.parametrize(
    ("predicted", "y", "starts"),
    [
        ([0] * 10, [0] * 7 + [1] * 3, []),  # so few others say nothing
        ([0] * 30, [0] * 20 + [1] * 10, ["the model is no better than always 'a'", "1 class"]),
        ([0] * 22 + [1] * 8, [0] * 20 + [1] * 10, []),
        ([1] * 9 + [0], [0] * 10, ["the model is no better than always 'a': accuracy 10.0% aga"]),
        ([1] + [0] * 19, [0] * 20, []),
        ([0] * 24 + [1] * 16, [0] * 20 + [1] * 15 + [2] * 5, ["1 class is never predicted: 'c'"]),
        ([0] * 24 + [1] * 15, [0] * 20 + [1] * 15 + [2] * 4, []),
    ],
)  # fmt: skip
def test_classes(predicted, y, starts):
    doubts = result_doubts(result(predicted, y), Config(), ("a", "b", "c"))
    assert len(doubts) == len(starts), doubts
    for line, start in zip(doubts, starts, strict=True):
        assert line.startswith(start)


def test_never_predicted_classes_are_named_with_the_most_frequent_first():
    y = [0] * 90 + [1] * 6 + [2] * 7 + [3] * 9 + [4] * 8
    predicted = [0] * 120
    _, line = result_doubts(result(predicted, y, 5), Config(), tuple("abcde"))
    assert line == (
        "4 classes are never predicted: 'd' (9 rows), 'e' (8 rows), 'c' (7 rows) and 1 more; try "
        "--class-weight balanced, --standardize, a lower --lr (0.3) or more --epochs (10)"
    )


def test_weights_are_no_remedy_for_a_frequent_class():
    _, line = result_doubts(result([0] * 30, [0] * 10 + [1] * 20), Config(epochs=1), tuple("abc"))
    assert line == (
        "1 class is never predicted: 'b' (20 rows); try more --epochs (1), --standardize or a "
        "lower --lr (0.3)"
    )


def test_with_class_weights_recall_counts_and_not_accuracy():
    """What finds all rare rows, at the price of frequent ones, is less accurate than always 'a'."""
    good = result([0] * 60 + [1] * 40, [0] * 90 + [1] * 10)
    assert result_doubts(good, Config(), ("a", "b", "c"))
    weighted = Config(class_weight="balanced")
    assert result_doubts(good, weighted, ("a", "b", "c")) == []
    (line, _) = result_doubts(result([0] * 100, [0] * 90 + [1] * 10), weighted, ("a", "b", "c"))
    assert line.startswith("the model is no better than always the same class: mean recall 50.0%")


def test_labels_and_numbers():
    for objective, bad, good, words in (
        ("multilabel", -1.0, 1.0, "always the more frequent value of each label: accuracy 0.0% ag"),
        ("regression", 9.0, 1.1, "always the mean: RMSE 8.515 against 0.5, R2 -"),
    ):
        network = Network.initialize(CPU(), (1, 1), objective=objective)
        y = np.ones((12, 1))
        if objective == "regression":
            y[::2] = 0
        for value, doubted in ((bad, True), (good, False)):
            network.layers[0].W[...] = value
            X = np.ones((12, 1)) if doubted or objective == "multilabel" else y
            doubts = result_doubts(evaluate(network, Split(X, y)), Config(objective=objective), "a")
            assert len(doubts) == doubted
            assert all(words in line for line in doubts)


def test_the_last_epoch_alone_warns(rng):
    data = Dataset.from_arrays(rng.standard_normal((60, 2)), rng.integers(0, 2, 60))
    config = Config(epochs=2, lr=1e-9)
    with pytest.warns(TrainingWarning) as caught:
        train(data, config, CPU())
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(data, Config(epochs=1, lr=1e-9), CPU())
        Trainer(data, config, CPU()).fit()  # whose caller asks for them
