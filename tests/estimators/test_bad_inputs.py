"""What can't be used is refused: one line that names it, scikit-learn's type, nothing harmed."""

import copy
import warnings

import numpy as np
import pandas as pd
import pytest
from pairs import QUIETLY, TASKS, assert_close, attributes, pair
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from mlp_xp import Callback, InputError
from mlp_xp.errors import TrainingWarning
from mlp_xp.sklearn import MLPClassifier, MLPRegressor

pytestmark = QUIETLY

NUMBERS = {
    "alpha": [-1, np.nan, "1"], "learning_rate_init": [0, -1e-3, np.inf, None],
    "power_t": [-0.1], "tol": [-1e-4], "max_iter": [0, 1.5, "many"], "max_fun": [0, 2.5],
    "momentum": [-0.1, 1.5], "validation_fraction": [-0.1, 1], "beta_1": [1, -0.1],
    "beta_2": [1.0, -1], "epsilon": [0, -1], "n_iter_no_change": [0, 2.5, -1],
    "batch_size": [0, -3, 2.5, "all", None], "hidden_layer_sizes": [0, (5, 0), (-1,), 2.5, "5"],
    "dropout": [1, -0.1, "half"], "clip_norm": [0, -1], "window": [0, 1.5],
}  # fmt: skip
OTHERS = {
    "activation": ["softplus", None, 3], "solver": ["newton", None],
    "learning_rate": ["linear", None], "schedule": ["exponential", 3],
    "device": ["tpu", 7, "cuda:x"],
    "shuffle": ["yes", 2], "nesterovs_momentum": ["no"], "early_stopping": ["yes"],
    "warm_start": ["x"], "random_state": [-1, "seed"], "verbose": ["very"],
    "callbacks": [3, [3], "print"],
}  # fmt: skip
OF_CLASSIFIERS = {"label_smoothing": [-0.1, 1], "class_weight": ["even", 3, {0: -1.0}, {0: "much"}]}
OF_REGRESSORS = {"loss": ["absolute", None]}


def every(cases):
    return [(name, value) for name, values in cases.items() for value in values]


def refused(call, *names, kind=ValueError):
    """The call raises one line with these words."""
    with pytest.raises(kind) as error:
        call()
    message = str(error.value)
    assert "\n" not in message
    assert len(message) > 10
    for name in names:
        assert name in message
    return message


@pytest.mark.parametrize(
    ("task", "name", "value"),
    [
        *(("multiclass", *case) for case in every(NUMBERS | OTHERS | OF_CLASSIFIERS)),
        *(("regression", *case) for case in every(OF_REGRESSORS)),
    ],
    ids=str,
)
def test_parameters(task, name, value):
    """Refused by fit() and by partial_fit(), which leave a fitted estimator as it was."""
    ours, _, X, y = pair(task)
    ours.fit(X, y)
    before, expected = copy.deepcopy(attributes(ours)), ours.predict(X)
    good = ours.get_params()[name]
    for method in ("fit", "partial_fit"):
        ours.set_params(**{name: value})
        if hasattr(ours, method):
            refused(lambda method=method: getattr(ours, method)(X, y), name)
        ours.set_params(**{name: good})
        assert_close(list(attributes(ours)), list(before), "names", 0)
        np.testing.assert_array_equal(ours.predict(X), expected)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("alpha", np.float32(0.01)), ("max_iter", np.int64(3)), ("batch_size", np.int32(9)),
        ("hidden_layer_sizes", [4, 3]), ("hidden_layer_sizes", np.int64(4)),
        ("hidden_layer_sizes", range(2, 5)), ("shuffle", np.bool_(True)), ("tol", 0),
        ("momentum", 1), ("n_iter_no_change", np.inf), ("validation_fraction", 0.5),
        ("class_weight", {0: 1, 1: 2, 2: 3}), ("class_weight", {1: 2.0}), ("callbacks", ()),
        ("verbose", 0), ("random_state", np.random.RandomState(1)), ("clip_norm", 1),
    ],
    ids=str,
)  # fmt: skip
def test_values_of_numpy_and_others_are_taken(name, value):
    ours, _, X, y = pair("multiclass")
    ours.set_params(**{name: value}).fit(X, y)
    assert ours.get_params()[name] is value


ROWS = {
    "NaN": (lambda X: np.where(X > 1, np.nan, X), ValueError, "NaN"),
    "infinity": (lambda X: np.where(X > 1, np.inf, X), ValueError, "infinity"),
    "one dimension": (lambda X: X[:, 0], ValueError, "2D"),
    "three dimensions": (lambda X: X[None], ValueError, "dim"),
    "no columns": (lambda X: X[:, :0], ValueError, "feature"),
    "no rows": (lambda X: X[:0], ValueError, "sample"),
    "complex": (lambda X: X + 1j, ValueError, "omplex"),
    "words": (lambda X: np.full(X.shape, "tall"), ValueError, "(tall|numeric)"),
    "words as objects": (lambda X: X.astype(str).astype(object) + " tall", ValueError, "tall"),
    "missing": (lambda X: pd.DataFrame(X).where(X < 1), ValueError, "NaN"),
    "nothing": (lambda X: None, ValueError, "array"),
    "NaN in a sparse matrix": (
        lambda X: sparse.csr_matrix(np.where(X > 1, np.nan, X)), ValueError, "NaN",
    ),
}  # fmt: skip


@pytest.mark.parametrize("task", ["multiclass", "regression"])
@pytest.mark.parametrize("name", ROWS)
def test_rows(task, name):
    ours, theirs, X, y = pair(task)
    make, kind, word = ROWS[name]
    bad = make(X)
    for call in (lambda e: e.fit(bad, y), lambda e: e.fit(X, y).predict(bad)):
        for estimator in (theirs, ours):
            with pytest.raises(kind, match=word if estimator is ours else None):
                call(estimator)
    np.testing.assert_array_equal(ours.predict(X), pair(task)[0].fit(X, y).predict(X))


TARGETS = {
    "too few": (lambda y: y[:-1], "inconsistent"),
    "none": (lambda y: None, "y"),
    "NaN": (lambda y: np.where(np.arange(len(y)) == 3, np.nan, y), "NaN"),
    "infinite": (lambda y: np.where(np.arange(len(y)) == 3, np.inf, y), "infinity"),
    "three dimensions": (lambda y: np.ones((len(y), 2, 2)), "dim"),
}


@pytest.mark.parametrize("task", ["multiclass", "regression"])
@pytest.mark.parametrize("name", TARGETS)
def test_targets(task, name):
    ours, theirs, X, y = pair(task)
    make, word = TARGETS[name]
    for estimator in (theirs, ours):
        with pytest.raises(ValueError, match=word if estimator is ours else None):
            estimator.fit(X, make(y))


@pytest.mark.parametrize(
    "y",
    [np.linspace(0.1, 1, 61), np.arange(122).reshape(61, 2) % 7, np.array([None, "a"] * 31)[:61],
     np.array(["a", 1] * 31, dtype=object)[:61]],
    ids=["numbers", "several classes a row", "None", "mixed"],
)  # fmt: skip
def test_targets_that_are_no_classes(y):
    ours, theirs, X, _ = pair("multiclass")
    for estimator in (theirs, ours):
        with pytest.raises((ValueError, TypeError)):
            estimator.fit(X, y)


@pytest.mark.parametrize("values", [[-1, 1], [0, 5], ["a", "b"]], ids=str)
def test_labels_are_zero_or_one(values):
    """Others might be classes of several kinds, which no single network tells apart."""
    ours, _, X, y = pair("multilabel")
    refused(lambda: ours.fit(X, np.array(values)[y]), "y", "0 or 1")
    refused(lambda: ours.fit(X, y).partial_fit(X, 3 * y), "y", "0 or 1")
    ours.fit(X, y)
    refused(lambda: ours.partial_fit(X, y[:, :2]))
    refused(lambda: ours.partial_fit(X, y[:, 0]))


def test_counts_below_zero():
    ours, _, X, y = pair("poisson")
    refused(lambda: ours.fit(X, y - 1), "below 0", "poisson")
    ours.fit(X, y)
    refused(lambda: ours.partial_fit(X, y - 1), "below 0")
    refused(lambda: ours.fit(X, y, validation=(X, y - 1)), "below 0")


def test_words_as_numbers():
    ours = pair("regression")[0]
    with pytest.raises(ValueError, match="give numbers"):
        ours.fit(np.eye(3), ["a", "b", "c"])


WEIGHTS = {
    "too few": np.ones(60), "a column": np.ones((61, 1)), "NaN": np.full(61, np.nan),
    "infinite": np.full(61, np.inf), "below zero": np.linspace(-1, 1, 61), "all zero": np.zeros(61),
    "words": np.full(61, "heavy"), "no number": "heavy",
}  # fmt: skip


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("name", WEIGHTS)
def test_weights(name, solver):
    for task in ("multiclass", "regression"):
        ours, _, X, y = pair(task, solver=solver)
        refused(lambda ours=ours, X=X, y=y: ours.fit(X, y, WEIGHTS[name]))
        ours.fit(X, y, 2.0)  # one number weighs all, as in scikit-learn
        refused(lambda ours=ours, X=X, y=y: ours.fit(X, y, WEIGHTS[name]))


@pytest.mark.parametrize(
    ("task", "solver"),
    [(task, solver) for task in ("multiclass", "regression", "poisson")
     for solver in ("adam", "sgd", "lbfgs")
     if (task, solver) != ("multiclass", "adam")],  # whose loss and steps have bounds
)  # fmt: skip
def test_inputs_that_were_not_scaled(task, solver):
    """A loss or weights that become infinite are an error, and leave an earlier fit as it was."""
    ours, _, X, y = pair(task, solver=solver, learning_rate_init=0.5, activation="identity")
    ours.set_params(warm_start=True, learning_rate_init=1e-3).fit(X, y)
    expected = ours.predict(X)
    ours.set_params(learning_rate_init=1e30, max_iter=100)
    huge = X * 1e307
    with pytest.raises(ValueError, match="StandardScaler") as error:
        ours.fit(huge, y)
    assert "\n" not in str(error.value)
    np.testing.assert_array_equal(ours.predict(X), expected)


def test_the_first_fit_that_diverges_leaves_nothing_to_predict_with():
    ours, _, X, y = pair("regression", solver="sgd", learning_rate_init=1e30)
    with pytest.raises(InputError, match="learning_rate_init"):
        ours.fit(X, y)
    with pytest.raises(NotFittedError):
        ours.predict(X)
    ours.set_params(learning_rate_init=1e-3).fit(X, y)
    assert_close(ours.coefs_, pair("regression", solver="sgd")[0].fit(X, y).coefs_, "coefs_", 0)


def test_divergence_after_validated_weights_keeps_the_best():
    ours, _, X, y = pair("regression", early_stopping=True, solver="sgd", max_iter=500)
    ours.set_params(
        learning_rate_init=0.3, momentum=0.99, n_iter_no_change=500, activation="identity"
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ours.fit(X * 3, y)
    assert TrainingWarning in {w.category for w in caught}
    assert ours.score(X * 3, y) > -np.inf
    assert max(ours.validation_scores_) == ours.best_validation_score_
    assert all(np.isfinite(W).all() for W in ours.coefs_)


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_rows_of_another_width(task):
    ours, _, X, y = pair(task)
    ours.fit(X, y)
    for bad in (X[:, :3], np.hstack([X, X]), sparse.csr_matrix(X[:, :2])):
        refused(lambda bad=bad: ours.predict(bad), "5 features")
        refused(lambda bad=bad: ours.score(bad, y), "5 features")
        refused(lambda bad=bad: ours.partial_fit(bad, y), "5 features")
    refused(lambda: ours.fit(X, y, validation=(X[:, :2], y)), "5 features")


@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_log_proba", "score"])
@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_unfitted(kind, method):
    if hasattr(kind, method):
        rest = ([0],) if method == "score" else ()
        refused(lambda: getattr(kind(), method)([[1.0]], *rest), "fit", kind=NotFittedError)


@pytest.mark.parametrize(
    "validation",
    [
        3, "rows", (), (np.eye(5),), (np.eye(5), np.ones(5), np.ones(5), 1),
        (np.eye(5), [0, 1, 2, 0]), (np.eye(4), [0, 1, 2, 0]), (np.eye(5), [0, 1, 2, 0, 9]),
        (np.eye(5) * np.nan, [0, 1, 2, 0, 1]), (np.eye(5), [0, 1, 2, 0, 1], [1, 1]),
        (np.eye(5), [0, 1, 2, 0, 1], [1, 1, 1, 1, -1]), (np.eye(5), np.eye(5)), (None, None),
        (np.empty((0, 5)), []), (np.eye(5), ["a", "b", "c", "a", "b"]), np.eye(5),
    ],
    ids=str,
)  # fmt: skip
def test_validation(validation):
    ours, _, X, y = pair("multiclass")
    ours.fit(X, y)
    with pytest.raises(ValueError):  # noqa: PT011  (scikit-learn's own, too)
        ours.fit(X, y, validation=validation)
    ours.fit(X, y)


def test_validation_may_lack_a_class():
    ours, _, X, y = pair("multiclass")
    ours.fit(X, y, validation=(X[y < 2], y[y < 2]))
    ours.set_params(warm_start=True).fit(X, y, validation=(X[y < 2], y[y < 2]))
    assert len(ours.validation_scores_) == 12


@pytest.mark.parametrize(
    ("name", "value"),
    [("dropout", 0.1), ("schedule", "linear"), ("clip_norm", 1.0), ("window", 2),
     ("callbacks", [Callback()])],
)  # fmt: skip
def test_lbfgs_takes_no_steps(name, value):
    ours, _, X, y = pair("multiclass", solver="lbfgs")
    refused(lambda: ours.set_params(**{name: value}).fit(X, y), name, "lbfgs")


def test_lbfgs_has_no_epochs_to_validate_after():
    ours, _, X, y = pair("multiclass", solver="lbfgs")
    refused(lambda: ours.fit(X, y, validation=(X, y)), "validation", "lbfgs")
    with pytest.raises(AttributeError, match="partial_fit"):
        ours.partial_fit(X, y)


@pytest.mark.parametrize("learning_rate", ["invscaling", "adaptive"])
def test_two_rules_for_the_learning_rate(learning_rate):
    ours, _, X, y = pair("multiclass", solver="sgd", learning_rate=learning_rate)
    refused(lambda: ours.set_params(schedule="cosine").fit(X, y), "schedule", learning_rate)


def test_partial_fit():
    ours, theirs, X, y = pair("multiclass")
    for estimator in (theirs, ours):
        with pytest.raises(ValueError, match="classes"):
            estimator.partial_fit(X, y)
        with pytest.raises(ValueError):  # noqa: PT011  (scikit-learn's wording differs)
            estimator.partial_fit(X, y + 5, classes=[0, 1, 2])
    ours.partial_fit(X, y, classes=[0, 1, 2])
    refused(lambda: ours.partial_fit(X, y, classes=[0, 1]), "classes")
    refused(lambda: ours.partial_fit(X, y + 5), "classes")
    refused(lambda: ours.set_params(early_stopping=True).partial_fit(X, y), "early_stopping")
    ours.set_params(early_stopping=False, schedule="linear")
    refused(lambda: ours.partial_fit(X, y), "schedule")


def test_a_warm_start_of_something_else():
    ours, _, X, y = pair("multiclass", warm_start=True)
    ours.fit(X, y)
    expected = ours.predict(X)
    refused(lambda: ours.fit(X, np.minimum(y, 1)), "warm_start", "classes")
    refused(lambda: ours.fit(X, y + 1), "classes")
    refused(lambda: ours.set_params(hidden_layer_sizes=(3,)).fit(X, y), "warm_start")
    np.testing.assert_array_equal(ours.predict(X), expected)


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_one_row_and_one_class(solver):
    for task in TASKS:
        ours, theirs, X, y = pair(task, solver=solver)
        for estimator in (ours, theirs):
            estimator.fit(X[:1], y[:1])
        np.testing.assert_array_equal(ours.predict(X[:3]).shape, theirs.predict(X[:3]).shape)
        assert ours.predict(X[:1]).shape == y[:1].shape


def test_too_few_rows_to_hold_out():
    for task in ("multiclass", "regression"):
        for estimator in pair(task, early_stopping=True)[:2]:
            X, y = pair(task)[2:]
            with pytest.raises(ValueError, match=r"."):
                estimator.fit(X[:5], y[:5])
    ours, _, X, y = pair("regression", early_stopping=True)
    refused(lambda: ours.fit(X[:8], y[:8]), "validation_fraction")


def test_prediction_does_not_change_with_later_settings():
    """Parameters that fitting alone uses may be set to anything afterwards."""
    ours, _, X, y = pair("multiclass")
    expected = ours.fit(X, y).predict(X)
    ours.set_params(max_iter=7, alpha=3.0, hidden_layer_sizes=(1,), solver="lbfgs", batch_size=5)
    np.testing.assert_array_equal(ours.predict(X), expected)


def test_convergence_is_doubted_once():
    ours, _, X, y = pair("multiclass")
    with pytest.warns(ConvergenceWarning, match="max_iter=6") as caught:
        ours.fit(X, y)
    assert len(caught) == 1
