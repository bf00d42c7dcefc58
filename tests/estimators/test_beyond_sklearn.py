"""What scikit-learn's networks lack: each parameter of ours, and where ours differ on purpose."""

import copy
import itertools
import os
import pickle
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest
import standin
from pairs import QUIETLY, TASKS, assert_close, pair
from processes import ENVIRONMENT
from scipy.special import log_expit, log_softmax
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.metrics import accuracy_score, log_loss, r2_score

from mlp_xp import Callback
from mlp_xp.devices import CPU, get_device
from mlp_xp.errors import TrainingWarning
from mlp_xp.nn import Dense, Network
from mlp_xp.nn.losses import Multiclass
from mlp_xp.sklearn import MLPClassifier
from mlp_xp.sklearn.lbfgs import LossOfAll
from mlp_xp.sklearn.losses import HalfPoisson, HalfSquaredError, SummedLabels, loss_and_gradients
from mlp_xp.sklearn.rows import Loader

pytestmark = QUIETLY

STILL = {"max_iter": 1, "learning_rate_init": 1e-15, "alpha": 0.0, "shuffle": False}
"""One epoch in which the weights stay as they were drawn."""


def forward(coefs, intercepts, X):
    """By hand, with relu: the last layer's output."""
    for W, b in zip(coefs[:-1], intercepts[:-1], strict=True):
        X = np.maximum(X @ W + b, 0)
    return X @ coefs[-1] + intercepts[-1]


class Recorder(Callback):
    """What a callback can see."""

    def __init__(self, stop_after=None):
        self.rates, self.weights, self.history, self.losses = [], [], [], []
        self.stop_after = stop_after

    def on_chunk(self, trainer):
        self.rates.append(trainer.learning_rate)
        self.losses.append(trainer.loss)

    def on_epoch(self, trainer):
        network = trainer.network
        self.weights.append([network.device.to_host(a).copy() for a in network.parameters()])
        self.history = list(trainer.history)
        if len(trainer.history) == self.stop_after:
            trainer.stop()


# Gradients, on every device


OBJECTIVES = {
    "classes": (Multiclass(), "multiclass"),
    "smoothed classes": (Multiclass(0.2), "multiclass"),
    "labels": (SummedLabels(), "multilabel"),
    "smoothed labels": (SummedLabels(0.2), "multilabel"),
    "numbers": (HalfSquaredError(), "regression"),
    "counts": (HalfPoisson(), "regression"),
}


def small_problem(name, device, activation, dtype, rng):
    objective, kind = OBJECTIVES[name]
    y = {
        "multiclass": rng.integers(0, 3, 9),
        "multilabel": rng.integers(0, 2, (9, 3)),
        "regression": rng.poisson(1.0, (9, 3)).astype(dtype),
    }[kind]
    sizes, layers = (4, 6, 5, 3), []
    for n_in, n_out in itertools.pairwise(sizes):
        W, b = rng.normal(size=(n_in, n_out)) * 0.7, rng.normal(size=n_out) * 0.3
        layers.append(Dense(*(device.to_device(a.astype(dtype)) for a in (W, b))))
    X = device.to_device(rng.normal(size=(9, 4)).astype(dtype))
    return Network(device, layers, activation, kind), objective, X, device.to_device(y)


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize(
    ("activation", "weighted", "dropout", "alpha"),
    [("gelu", False, 0.0, 0.0), ("leaky_relu", True, 0.0, 0.3), ("tanh", True, 0.5, 0.3)],
)
def test_gradients(device, check, rng, name, activation, weighted, dropout, alpha):
    """By central differences, along the axes' diagonals."""
    network, objective, X, y = small_problem(name, device, activation, "float64", rng)
    weights = device.to_device(rng.integers(0, 3, 9).astype(float)) if weighted else None
    masks = network.dropout_masks(rng, 9, dropout) if dropout else None
    outputs = 3 if name == "numbers" else 1  # the gradient is that of the sum over outputs

    def f():
        loss, penalty, _ = loss_and_gradients(network, objective, alpha, (X, y, weights), masks)
        return float(check(loss, "float64")) * outputs + float(penalty)

    gradients = loss_and_gradients(network, objective, alpha, (X, y, weights), masks)[2]
    h = 1e-5
    for parameter, gradient in zip(network.parameters(), gradients, strict=True):
        for _ in range(2):  # directions
            signs = rng.choice([-h, h], size=parameter.shape)
            step = device.to_device(signs)
            values = []
            for change in (step, -2 * step, step):
                parameter += change
                values.append(f())
            slope = (values[0] - values[1]) / 2
            expected = (check(gradient, "float64") * signs).sum()
            assert slope == pytest.approx(expected, rel=1e-5, abs=1e-13 * (1 + values[0]))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_float32_stays_float32(device, check, rng, name):
    network, objective, X, y = small_problem(name, device, "gelu", "float32", rng)
    weights = device.to_device(rng.random(9).astype("float32"))
    masks = network.dropout_masks(rng, 9, 0.3)
    for w, alpha in itertools.product((None, weights), (0.0, 0.1)):
        loss, penalty, gradients = loss_and_gradients(network, objective, alpha, (X, y, w), masks)
        check(loss, "float32")
        if alpha:
            check(penalty, "float32")
        for parameter, gradient in zip(network.parameters(), gradients, strict=True):
            assert check(gradient, "float32").shape == parameter.shape
        check(objective.predict(network.xp, network.logits(X)), "float32")


@pytest.mark.parametrize("activation", ["gelu", "leaky_relu", "sigmoid"])
def test_our_activations_learn(activation):
    ours, _, X, y = pair("multiclass", max_iter=150, learning_rate_init=0.02)
    ours.activation = activation
    assert ours.fit(X, y).score(X, y) > 0.9
    assert not np.array_equal(
        ours.predict_proba(X), pair("multiclass")[0].fit(X, y).predict_proba(X)
    )


# Dropout


@pytest.mark.parametrize("rate", [0.2, 0.5])
def test_dropout_adds_the_variance_that_it_should(rate):
    """Of a linear network: E (z_mask - y)^2 = (z - y)^2 + rate / (1 - rate) sum_j (h_j w_j)^2."""
    ours, _, X, y = pair("regression", hidden_layer_sizes=(30,), activation="identity")
    ours.set_params(**STILL | {"max_iter": 1500, "tol": 0.0, "n_iter_no_change": np.inf})
    ours.set_params(dropout=rate).fit(X, y)
    (W, v), (b, c) = ours.coefs_, ours.intercepts_
    H = X @ W + b
    extra = rate / (1 - rate) * (H * v[:, 0]) ** 2
    expected = (((H @ v + c)[:, 0] - y) ** 2 + extra.sum(axis=1)).mean() / 2
    error = np.std(ours.loss_curve_) / np.sqrt(len(ours.loss_curve_))
    assert abs(np.mean(ours.loss_curve_) - expected) < 4 * error
    assert 4 * error < extra.sum(axis=1).mean() / 2 / 5  # so it can tell


def test_dropout_is_for_training_alone():
    ours, _, X, y = pair("multiclass")
    plain = clone(ours).fit(X, y)
    ours.set_params(dropout=0.5).fit(X, y)
    assert ours.loss_curve_[0] != plain.loss_curve_[0]
    assert ours.loss_curve_ == clone(ours).fit(X, y).loss_curve_
    assert ours.loss_curve_ != clone(ours).set_params(random_state=4).fit(X, y).loss_curve_
    logits = forward(ours.coefs_, ours.intercepts_, X)
    np.testing.assert_allclose(
        np.log(ours.predict_proba(X)), log_softmax(logits, axis=1), atol=1e-12
    )


# Weights of classes


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("task", ["multiclass", "string classes", "binary"])
def test_class_weight_is_a_weight_of_rows(task, solver, rng):
    ours, _, X, y = pair(task, solver=solver)
    rows = rng.random(len(X)) + 0.5
    classes, index, counts = np.unique(y, return_inverse=True, return_counts=True)
    given = dict(zip(classes.tolist(), [0.5, 2.0, 3.0], strict=False))
    for class_weight, by_hand in (
        (given, np.array([0.5, 2.0, 3.0])[index]),
        ("balanced", (len(y) / (len(classes) * counts))[index]),
    ):
        for sample_weight in (None, rows):
            weighted = clone(ours).set_params(class_weight=class_weight)
            weighted.fit(X, y, sample_weight=sample_weight)
            expected = clone(ours).fit(X, y, by_hand * (1 if sample_weight is None else rows))
            assert_close(weighted.coefs_, expected.coefs_, "coefs_", 1e-12)
    assert not np.allclose(weighted.coefs_[0], clone(ours).fit(X, y).coefs_[0])


def test_class_weight_in_partial_fit():
    ours, _, X, y = pair("binary")
    expected = clone(ours).partial_fit(X, y, np.where(y, 3.0, 1.0), classes=[0, 1])
    ours.set_params(class_weight={1: 3.0}).partial_fit(X, y, classes=[0, 1])
    assert_close(ours.coefs_, expected.coefs_, "coefs_", 1e-12)
    with pytest.raises(ValueError, match="class_weight='balanced' needs fit"):
        ours.set_params(class_weight="balanced").partial_fit(X, y)


# Label smoothing


@pytest.mark.parametrize("task", ["multiclass", "binary", "multilabel"])
def test_label_smoothing(task):
    """The loss by hand: each label's share s goes to all classes alike."""
    ours, _, X, y = pair(task, **STILL)
    ours.set_params(label_smoothing=0.3).fit(X, y)
    Z = forward(ours.coefs_, ours.intercepts_, X)
    if task == "multiclass":
        q = 0.7 * np.eye(3)[y] + 0.3 / 3
        losses = -(q * log_softmax(Z, axis=1)).sum(axis=1)
    else:
        q = 0.7 * y.reshape(len(y), -1) + 0.15
        losses = -(q * log_expit(Z) + (1 - q) * log_expit(-Z)).sum(axis=1)
    assert ours.loss_ == pytest.approx(losses.mean(), rel=1e-9)


@pytest.mark.parametrize(("solver", "max_iter"), [("adam", 500), ("lbfgs", 60)])
def test_label_smoothing_keeps_probabilities_from_one(solver, max_iter):
    """The smoothed loss is least at p = 1 - s + s / K."""
    ours, _, X, y = pair("multiclass", solver=solver, max_iter=max_iter, tol=1e-7, alpha=0)
    ours.set_params(hidden_layer_sizes=(30,), learning_rate_init=0.01, label_smoothing=0.3)
    p = ours.fit(X, y).predict_proba(X)[np.arange(len(y)), y]
    assert np.median(p) == pytest.approx(0.8, abs=0.03)


# Learning rates


@pytest.mark.parametrize(
    ("schedule", "factor"),
    [
        ("constant", lambda t: 1),
        ("linear", lambda t: 1 - t / 6),
        ("cosine", lambda t: (1 + np.cos(np.pi * t / 6)) / 2),
        ("step", lambda t: 0.1 ** (t // 2)),
    ],
)
def test_schedule(schedule, factor):
    """The rates by hand; and the steps are those that scikit-learn takes with such rates."""
    recorder = Recorder()
    ours, theirs, X, y = pair("multiclass", solver="sgd", momentum=0, shuffle=False)
    ours.set_params(schedule=schedule, callbacks=[recorder], learning_rate_init=0.3).fit(X, y)
    rates = [0.3 * factor(t) for t in range(6)]
    np.testing.assert_allclose(recorder.rates, rates)
    theirs.set_params(warm_start=True, max_iter=1)
    for rate in rates:
        theirs.set_params(learning_rate_init=rate).fit(X, y)
    assert_close(ours.coefs_, theirs.coefs_, "coefs_", 1e-10)


def test_schedule_steps_within_an_epoch():
    recorder = Recorder()
    ours, _, X, y = pair("multiclass", max_iter=2, batch_size=20)  # 4 batches, the last of one row
    ours.set_params(schedule="linear", callbacks=[recorder], learning_rate_init=0.8).fit(X, y)
    np.testing.assert_allclose(recorder.rates, [0.8 * (1 - 3 / 8), 0.8 * (1 - 7 / 8)])


def test_plateau_needs_validation_and_sees_it():
    recorder = Recorder()
    ours, _, X, y = pair("multiclass", max_iter=25, learning_rate_init=1e-15, tol=0)
    ours.set_params(schedule="plateau", callbacks=[recorder], n_iter_no_change=99)
    with pytest.raises(ValueError, match="schedule plateau needs validation rows"):
        ours.fit(X, y)
    ours.fit(X, y, validation=(X, y))
    assert recorder.rates[0] == 1e-15
    assert recorder.rates[-1] < 0.2e-15
    assert clone(ours).set_params(early_stopping=True).fit(X, y).n_iter_ == 25


def test_clip_norm(rng):
    """A plain step of scikit-learn's, as long as it may be."""
    for clip_norm in (1e-3, 0.1, 1e6):
        ours, theirs, X, y = pair("multiclass", solver="sgd", momentum=0, max_iter=1)
        ours.set_params(clip_norm=clip_norm, **(both := {"learning_rate_init": 0.5})).fit(X, y)
        theirs.set_params(**both).fit(X, y)
        start = clone(ours).set_params(learning_rate_init=1e-300).fit(X, y)
        before, mine, other = (flat(e) for e in (start, ours, theirs))
        norm = np.linalg.norm(other - before) / 0.5
        expected = before + (other - before) * min(1, clip_norm / norm)
        np.testing.assert_allclose(
            mine, expected, atol=1e-5 * clip_norm if norm > clip_norm else 1e-12
        )


def flat(estimator):
    return np.concatenate([np.ravel(a) for a in estimator.coefs_ + estimator.intercepts_])


# Windows


@pytest.mark.parametrize(("window", "batch"), [(None, 1), (2, 1), (5, 3), (100, 8), (3, 61)])
@pytest.mark.parametrize("momentum", [0, 0.8])
def test_windows_change_nothing(window, batch, momentum):
    ours, _, X, y = pair("multiclass", solver="sgd", alpha=0, max_iter=3, batch_size=batch)
    ours.set_params(momentum=momentum)
    plain = clone(ours).set_params(window=1).fit(X, y)
    ours.set_params(window=window).fit(X, y)
    assert_close(ours.coefs_, plain.coefs_, "coefs_", 1e-11)
    assert_close(ours.loss_curve_, plain.loss_curve_, "loss_curve_", 1e-11)


@pytest.mark.parametrize(
    "changes",
    [
        {"alpha": 1e-4}, {"solver": "adam"}, {"dropout": 0.1}, {"clip_norm": 1.0},
        {"label_smoothing": 0.1}, {"class_weight": "balanced"}, {"learning_rate": "adaptive"},
        {"schedule": "linear"},
    ],
    ids=str,
)  # fmt: skip
def test_windows_that_cannot_be(changes):
    ours, _, X, y = pair("multiclass", solver="sgd", alpha=0)
    ours.set_params(window=4, **changes)
    with pytest.raises(ValueError, match="window") as error:
        ours.fit(X, y)
    assert "\n" not in str(error.value)
    ours.set_params(window=1).fit(X, y)


@pytest.mark.parametrize("task", ["binary", "multilabel", "regression"])
def test_windows_are_for_several_classes(task):
    ours, _, X, y = pair(task, solver="sgd", alpha=0)
    with pytest.raises(ValueError, match="window"):
        ours.set_params(window=4).fit(X, y)


# Callbacks


def test_callbacks_see_the_fit():
    recorder = Recorder()
    ours, _, X, y = pair("multiclass", early_stopping=True)
    ours.set_params(callbacks=[recorder]).fit(X, y)
    assert [epoch.epoch for epoch in recorder.history] == [1, 2, 3, 4, 5, 6]
    assert [epoch.loss for epoch in recorder.history] == ours.loss_curve_ == recorder.losses
    assert [e.validation_loss for e in recorder.history] == ours.validation_loss_curve_
    assert [e.validation_accuracy for e in recorder.history] == ours.validation_scores_
    assert recorder.rates == [0.001] * 6


def test_a_callback_stops_after_an_epoch():
    """Without a ConvergenceWarning; partial_fit() and the next fit() go on as ever."""
    ours, _, X, y = pair("multiclass")
    ours.set_params(callbacks=[Recorder(stop_after=3)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours.fit(X, y)
    assert ours.n_iter_ == len(ours.loss_curve_) == 3
    expected = pair("multiclass")[0].set_params(max_iter=3).fit(X, y)
    assert_close(ours.coefs_, expected.coefs_, "coefs_", 0)
    assert ours.partial_fit(X, y).loss_curve_[-1] < ours.loss_curve_[0]


class StopAtOnce(Callback):
    def on_chunk(self, trainer):
        trainer.stop()


def test_a_callback_stops_within_an_epoch():
    ours, _, X, y = pair("multiclass")
    ours.set_params(callbacks=[StopAtOnce()]).fit(X, y)
    assert (ours.n_iter_, ours.loss_curve_) == (0, [])
    assert ours.loss_ == pytest.approx(pair("multiclass")[0].fit(X, y).loss_curve_[0])
    assert ours.predict(X).shape == y.shape


# Rows to validate on


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(("weighted", "early"), [(False, True), (True, False)])
def test_validation(task, weighted, early, rng):
    """Its losses and scores by hand and by scikit-learn's metrics, after each epoch."""
    recorder = Recorder()
    ours, _, X, y = pair(task, early_stopping=early, n_iter_no_change=99)
    weights = rng.random(20) + 0.1 if weighted else None
    others = (X[:20], y[:20]) if weights is None else (X[:20], y[:20], weights)
    ours.set_params(callbacks=[recorder]).fit(X[20:], y[20:], validation=others)
    ours_of = clone(ours).fit(X[20:], y[20:])  # to predict with other weights
    for epoch, arrays in enumerate(recorder.weights):
        ours_of.coefs_, ours_of.intercepts_ = arrays[::2], arrays[1::2]
        loss, score = by_hand(task, ours_of, X[:20], y[:20], weights)
        assert ours.validation_loss_curve_[epoch] == pytest.approx(loss, rel=1e-9)
        assert ours.validation_scores_[epoch] == pytest.approx(score, rel=1e-9)
    best = int(np.argmax(ours.validation_scores_)) if early else -1
    assert_close(ours.coefs_, recorder.weights[best][::2], "coefs_", 0)
    assert ours.t_ == 41 * 6  # no rows are held out
    assert ours.best_validation_score_ == (max(ours.validation_scores_) if early else None)
    curve = pair(task)[0].fit(X[20:], y[20:]).loss_curve_
    assert ours.loss_curve_ == curve  # validation has no effect on the training


def by_hand(task, fitted, X, y, weights):
    p = fitted.predict(X)
    if task in ("regression", "several outputs", "poisson"):
        z = p.reshape(len(p), -1)
        t = y.reshape(len(y), -1)
        losses = ((z - t) ** 2).mean(axis=1) / 2
        if task == "poisson":
            losses = (np.where(t > 0, t * np.log(np.maximum(t, 1) / z), 0) - t + z).sum(axis=1)
        return np.average(losses, weights=weights), r2_score(y, p, sample_weight=weights)
    score = accuracy_score(y, p, sample_weight=weights)
    p = fitted.predict_proba(X)
    if task == "multilabel":
        losses = -np.where(y, np.log(p), np.log1p(-p)).sum(axis=1)
        return np.average(losses, weights=weights), score
    return log_loss(y, p, labels=fitted.classes_, sample_weight=weights), score


def test_validation_curve_of_rows_held_out():
    """With early_stopping alone too, the loss of the held-out rows is kept."""
    ours, _, X, y = pair("multiclass", early_stopping=True)
    ours.fit(X, y)
    assert len(ours.validation_loss_curve_) == len(ours.validation_scores_) == ours.n_iter_
    assert pair("multiclass")[0].fit(X, y).validation_loss_curve_ is None


# Devices


def on_devices(*settings):
    """These settings with each task, where they are the default, or else with two."""
    return [
        (task, changes)
        for changes in settings
        for task in (["multiclass", "several outputs"] if changes else TASKS)
    ]


@pytest.mark.parametrize(
    ("task", "settings"),
    on_devices({}, {"solver": "sgd", "alpha": 0}, {"solver": "lbfgs"}),
    ids=str,
)
def test_a_device_computes_the_same(task, settings, device):
    if device.on_host:
        return
    ours, _, X, y = pair(task, **settings)
    on_device = clone(ours).set_params(device=device).fit(X, y)
    ours.fit(X, y)
    assert_close(on_device.coefs_, ours.coefs_, "coefs_", 1e-9)
    assert all(type(a) is np.ndarray for a in on_device.coefs_ + on_device.intercepts_)
    got, expected = on_device.predict(X), ours.predict(X)
    assert type(got) is np.ndarray
    assert_close(got, expected, "predict", 1e-9)
    assert on_device.score(X, y) == pytest.approx(ours.score(X, y))


def test_steps_do_not_wait_for_the_device():
    """Epochs of many batches wait no more often than those of one."""
    waits = []
    for batch_size in (54, 5):
        device = standin.StandIn()
        ours, _, X, y = pair("multiclass", batch_size=batch_size, early_stopping=True)
        ours.set_params(device=device, callbacks=None).fit(X, y)
        waits.append(sorted(device.trace.syncs))
    assert waits[0] == waits[1]


def test_a_device_of_ones_own_can_be_cloned_and_pickled():
    ours = MLPClassifier(device=CPU())
    assert clone(ours).device.name == "cpu"
    assert pickle.loads(pickle.dumps(ours)).device.name == "cpu"
    other = standin.StandIn()
    assert clone(MLPClassifier(device=other)).device is other


@pytest.mark.skipif(get_device("cuda").fallback_reason is None, reason="there is a GPU here")
def test_without_a_gpu_it_says_so_and_uses_the_cpu():
    ours, _, X, y = pair("multiclass")
    expected = clone(ours).fit(X, y).loss_curve_
    with pytest.warns(TrainingWarning, match="it runs on the CPU: ") as caught:
        assert ours.set_params(device="cuda").fit(X, y).loss_curve_ == expected
    assert [w.filename for w in caught if w.category is TrainingWarning] == [__file__]
    ours.set_params(device="auto").fit(X, y)  # no warning


@pytest.mark.cuda
def test_on_a_gpu_by_name():
    if get_device("cuda").fallback_reason is not None:
        pytest.skip("no GPU to test on")
    ours, _, X, y = pair("multiclass")
    on_gpu = clone(ours).set_params(device="cuda:0").fit(X, y)
    assert_close(on_gpu.loss_curve_, ours.fit(X, y).loss_curve_, "loss_curve_", 1e-9)


# Arrays that lie on a GPU


class Lent:
    """An array that another library has on a GPU: all that DLPack tells of it."""

    def __init__(self, array):
        self.array = array

    def __dlpack_device__(self):
        return 2, 0

    def __array_namespace__(self):
        return Lender

    @property
    def shape(self):
        return self.array.shape

    ndim = property(lambda self: len(self.shape))

    def __len__(self):
        return len(self.array)

    def __array__(self, *args, **kwargs):
        raise TypeError("it lies on a GPU")


class Lender:
    from_dlpack = Lent


class Watched(standin.StandIn):
    """A stand-in that notes the size of every copy to and from the host."""

    def __init__(self):
        super().__init__()
        self.copied = []
        self.xp.from_dlpack = lambda lent: getattr(lent, "array", lent)

    def to_host(self, array):
        self.copied.append(array.shape)
        return super().to_host(array)

    def to_device(self, array):
        if not isinstance(array, standin.Array):
            self.copied.append(array.shape)
        return super().to_device(array)


@pytest.fixture
def gpu(monkeypatch):
    device = Watched()
    monkeypatch.setattr(standin.Array, "__dlpack_device__", lambda self: (2, 0), raising=False)
    for module in ("rows", "base", "classifier"):
        monkeypatch.setattr(
            f"mlp_xp.sklearn.{module}.get_device",
            lambda name, require=False: device if name == "cuda:0" else get_device(name),
        )
    return device


@pytest.mark.parametrize(
    ("task", "settings"), on_devices({}, {"early_stopping": True}, {"solver": "lbfgs"}), ids=str
)
def test_arrays_on_a_gpu_stay_there(task, settings, gpu):
    ours, _, X, y = pair(task, **settings)
    expected = clone(ours).fit(X, y)
    x, t = (Lent(standin.Array(np.array(a), gpu.trace)) for a in (X, y))
    t = y if y.dtype.kind == "U" else t  # no GPU has strings
    ours.fit(x, t)
    assert_close(ours.coefs_, expected.coefs_, "coefs_", 1e-9)
    assert ours.n_features_in_ == 5
    for method in ("predict", "predict_proba", "predict_log_proba"):
        if hasattr(ours, method):
            got = getattr(ours, method)(x)
            if method == "predict" and y.dtype.kind == "U":
                np.testing.assert_array_equal(got, expected.predict(X))
                continue
            assert type(got) is Lent
            assert_close(gpu.to_host(got.array), getattr(expected, method)(X), method, 1e-9)
            gpu.copied.remove(got.array.shape)
    assert X.shape not in gpu.copied
    assert ours.score(x, t) == pytest.approx(expected.score(X, y))
    assert_close(ours.predict(X), expected.predict(X), "predict", 1e-9)  # of host rows


@pytest.mark.parametrize(
    ("X", "complaint"),
    [
        (np.array([[np.nan, 1.0]] * 4), "X contains NaN or infinity"),
        (np.array([[np.inf, 1.0]] * 4), "X contains NaN or infinity"),
        (np.ones(4), "give rows"),
        (np.ones((0, 2)), "give rows"),
        (np.ones((4, 2), dtype=complex), "give numbers"),
    ],
)
def test_bad_arrays_on_a_gpu(X, complaint, gpu):
    x = Lent(standin.Array(X, gpu.trace))
    with pytest.raises(ValueError, match=complaint):
        MLPClassifier().fit(x, [0, 1, 0, 1])


@pytest.mark.parametrize(
    ("y", "complaint"),
    [
        (np.ones(3), "inconsistent numbers of samples"),
        (np.array(1.0), "at least 1 dimension"),
        (np.array([1, 2, 3, np.nan]), "y contains NaN"),
        (np.array([0.1, 1.7, 0.2, 3.0]), "Unknown label type"),
    ],
)
@pytest.mark.parametrize("lent", [False, True])
def test_bad_targets_on_a_gpu(y, complaint, lent, gpu):
    x = Lent(standin.Array(np.eye(4), gpu.trace))
    if lent:
        y = Lent(standin.Array(y, gpu.trace))
    with pytest.raises((ValueError, TypeError), match=complaint):
        MLPClassifier().fit(x, y)


@pytest.mark.full
def test_torch_tensors_on_the_host():
    torch = pytest.importorskip("torch")
    ours, _, X, y = pair("multiclass")
    expected = clone(ours).fit(X, y)
    ours.fit(torch.tensor(X), torch.tensor(y))
    assert_close(ours.coefs_, expected.coefs_, "coefs_", 0)
    got = ours.predict_proba(torch.tensor(X))
    assert type(got) is np.ndarray  # as scikit-learn's
    assert_close(got, expected.predict_proba(X), "predict_proba", 0)
    assert_close(ours.predict(torch.tensor(X)), expected.predict(X), "predict", 0)
    assert ours.score(torch.tensor(X), torch.tensor(y)) == expected.score(X, y)


@pytest.mark.cuda
@pytest.mark.parametrize("library", ["cupy", "torch"])
def test_real_arrays_on_a_gpu(library):
    if get_device("cuda").fallback_reason is not None:
        pytest.skip("no GPU to test on")
    library = pytest.importorskip(library)
    ours, _, X, y = pair("multiclass")
    expected = clone(ours).fit(X, y)
    x, t = library.asarray(X), library.asarray(y)
    if hasattr(x, "cuda"):
        x, t = x.cuda(), t.cuda()
    ours.fit(x, t)
    assert_close(ours.coefs_, expected.coefs_, "coefs_", 1e-9)
    got = ours.predict_proba(x)
    assert type(got) is type(x)
    assert got.device == x.device
    assert_close(np.asarray(got.tolist()), expected.predict_proba(X), "predict_proba", 1e-9)
    assert_close(np.asarray(ours.predict(x).tolist()), expected.predict(X), "predict", 0)
    assert ours.score(x, t) == expected.score(X, y)


# Ctrl-C


class CtrlC(Callback):
    """Sends it in the third epoch."""

    def on_epoch(self, trainer):
        if len(trainer.history) == 3:
            os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_keeps_what_was_reached():
    ours, _, X, y = pair("multiclass")
    with pytest.warns(UserWarning, match="interrupted") as caught:
        ours.set_params(callbacks=[CtrlC()], max_iter=50).fit(X, y)
    assert caught[0].filename == __file__
    assert ours.n_iter_ == 3
    expected = pair("multiclass")[0].set_params(max_iter=3).fit(X, y)
    assert_close(ours.coefs_, expected.coefs_, "coefs_", 0)
    assert ours.score(X, y) == expected.score(X, y)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.full
@pytest.mark.parametrize("name", ["MLPClassifier", "MLPRegressor"])
def test_ctrl_c_from_outside(name, tmp_path):
    """In the middle of an epoch, at some moment or other."""
    script = f"""
import numpy as np
from mlp_xp.sklearn import {name}
from mlp_xp import Callback
class Ready(Callback):
    def on_epoch(self, trainer):
        if len(trainer.history) == 1: print("ready", flush=True)
X = np.random.default_rng(0).normal(size=(3000, 20)); y = (X[:, 0] > 0) * 1
fitted = {name}(max_iter=10**6, n_iter_no_change=10**6, callbacks=[Ready()]).fit(X, y)
print(fitted.score(X, y) > 0.5, fitted.n_iter_ == len(fitted.loss_curve_))
"""
    run = subprocess.Popen(
        [sys.executable, "-W", "default", "-c", script], text=True, cwd=tmp_path, env=ENVIRONMENT,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert run.stdout.readline() == "ready\n"
    time.sleep(0.3)
    run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=60)
    assert out == "True True\n"
    assert run.returncode == 0
    assert "interrupted" in err
    assert "Traceback" not in err


# Where ours differ on purpose


def test_lbfgs_of_several_outputs_minimizes_one_loss():
    """Theirs divides the loss by the outputs, but not its gradient. Without layers it is Ridge."""
    ours, _, X, y = pair("several outputs", solver="lbfgs", max_iter=1000, alpha=2.0, tol=1e-8)
    ours.set_params(hidden_layer_sizes=()).fit(X, y)
    ridge = Ridge(alpha=2.0).fit(X, y)
    np.testing.assert_allclose(ours.coefs_[0], ridge.coef_.T, atol=1e-4)
    loss = ((ridge.predict(X) - y) ** 2).sum() / 2 + 2.0 / 2 * (ridge.coef_**2).sum()
    assert ours.loss_ == pytest.approx(loss / len(X), rel=1e-7)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_lbfgs_gets_the_gradient_of_its_loss(name, weighted, device, rng, monkeypatch):
    """Over several chunks, by differences; so several outputs have one loss too."""
    monkeypatch.setattr("mlp_xp.sklearn.rows.CHUNK_ROWS", 4)
    network, objective, X, y = small_problem(name, device, "tanh", "float64", rng)
    weights = device.to_device(np.arange(9.0) // 3) if weighted else None
    loss_of = LossOfAll(network, objective, Loader(device, X, y, weights), 0.2)
    theta = loss_of.pack(network.parameters())
    signs = rng.choice([-1e-6, 1e-6], size=theta.shape)
    slope = (loss_of(theta + signs)[0] - loss_of(theta - signs)[0]) / 2
    assert slope == pytest.approx(loss_of(theta)[1] @ signs, rel=1e-4)


def test_a_batch_of_weight_zero_counts_for_nothing_but_decay():
    """Theirs divides by its sum: NaN, or an error."""
    ours, _, X, y = pair("multiclass", batch_size=1, alpha=0, solver="sgd", momentum=0)
    weights = (np.arange(61) < 50) * 1.0
    ours.set_params(shuffle=False).fit(X, y, weights)
    assert_close(ours.coefs_, clone(ours).fit(X[:50], y[:50]).coefs_, "coefs_", 1e-12)


def test_early_stopping_keeps_the_best_weights_of_a_warm_start():
    """Theirs trains those on in place, and ends with the last ones instead."""
    ours, _, X, y = pair("multiclass", early_stopping=True, warm_start=True, max_iter=40)
    ours.set_params(learning_rate_init=0.02, n_iter_no_change=50).fit(X, y)
    best, score = copy.deepcopy(ours.coefs_), ours.best_validation_score_
    ours.set_params(learning_rate_init=5.0, max_iter=3).fit(X, y)
    if ours.best_validation_score_ == score:
        assert_close(ours.coefs_, best, "coefs_", 0)
    else:
        assert ours.best_validation_score_ > score
