"""Estimators in pairs: ours, and scikit-learn's with the same settings, which is the oracle."""

import inspect
from typing import Any

import numpy as np
import pytest
import sklearn
from sklearn import neural_network
from sklearn.datasets import make_classification, make_multilabel_classification, make_regression

import mlp_xp.sklearn

SMALL = {"hidden_layer_sizes": (7, 5), "max_iter": 6, "random_state": 3}
QUIETLY = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    # scikit-learn 1.7 passes iprint, which SciPy 1.16 deprecates.
    pytest.mark.filterwarnings("ignore:.*iprint:DeprecationWarning"),
]
"""The marks of tests that fit for a few epochs."""
N_ROWS = 61  # not whole batches


def _tasks() -> dict[str, tuple[str, np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(5)
    X, y = make_classification(
        N_ROWS, 5, n_informative=4, n_redundant=0, n_classes=3, random_state=1
    )
    names = np.array(["ash", "elm", "oak"])
    targets = make_regression(N_ROWS, 5, n_targets=3, noise=5, random_state=1)[1] / 50
    labels = make_multilabel_classification(N_ROWS, 5, n_classes=4, random_state=1)[1]
    counts = rng.poisson(np.exp(X[:, 0] / 2), size=N_ROWS).astype(float)
    classifier, regressor = "MLPClassifier", "MLPRegressor"
    return {
        "binary": (classifier, X, (y > 0).astype(int)),
        "multiclass": (classifier, X, y),
        "string classes": (classifier, X, names[y]),
        "two strings": (classifier, X, names[1:][(y > 0).astype(int)]),
        "multilabel": (classifier, X, labels),
        "regression": (regressor, X, targets[:, 0]),
        "several outputs": (regressor, X, targets),
        "poisson": (regressor, X, counts),
    }


TASKS = _tasks()


def pair(task: str, **settings: Any) -> tuple[Any, Any, np.ndarray, np.ndarray]:
    """Our estimator and theirs for a task, with SMALL and these settings; X; y."""
    name, X, y = TASKS[task]
    settings = SMALL | ({"loss": "poisson"} if task == "poisson" else {}) | settings
    ours = getattr(mlp_xp.sklearn, name)(**settings)
    theirs = getattr(neural_network, name)(**settings)
    return ours, theirs, X, y


def can_stop_early(task: str) -> bool:
    """Whether scikit-learn can: 1.7.0 fails with classes that are strings."""
    return sklearn.__version__ != "1.7.0" or "string" not in task


def fit_both(ours: Any, theirs: Any, *args: Any, **named: Any) -> None:
    """The same call of fit() for both."""
    ours.fit(*args, **named)
    theirs.fit(*args, **named)


def attributes(estimator: Any) -> dict[str, Any]:
    """The public attributes that fitting has set."""
    return {
        name: value
        for name, value in vars(estimator).items()
        if name.endswith("_") and not name.startswith("_")
    }


def defaults(kind: Any) -> dict[str, Any]:
    """A constructor's parameters and their defaults, in their order."""
    signature = inspect.signature(kind).parameters
    return {name: parameter.default for name, parameter in signature.items()}


def assert_same(ours: Any, theirs: Any, X: Any, tolerance: float = 1e-10) -> None:
    """Every attribute and every prediction for rows X is theirs, numbers within the tolerance."""
    mine, other = attributes(ours), attributes(theirs)
    assert mine.keys() - {"validation_loss_curve_"} == other.keys()
    for name, expected in other.items():
        assert_close(mine[name], expected, name, tolerance)
    for method in ("predict", "predict_proba", "predict_log_proba"):
        assert hasattr(ours, method) == hasattr(theirs, method)
        if hasattr(theirs, method):
            got, expected = getattr(ours, method)(X), getattr(theirs, method)(X)
            assert type(got) is type(expected)
            assert_close(got, expected, method, tolerance)


def assert_close(got: Any, expected: Any, name: str, tolerance: float) -> None:
    """One attribute, or one method's result."""
    if isinstance(expected, list):
        assert isinstance(got, list), name
        assert len(got) == len(expected), name
        for part, other in zip(got, expected, strict=True):
            assert_close(part, other, name, tolerance)
        return
    assert np.shape(got) == np.shape(expected), name
    if isinstance(expected, np.ndarray):
        assert got.dtype == expected.dtype, name
        if expected.dtype.kind != "f":
            np.testing.assert_array_equal(got, expected, name)
            return
    if isinstance(expected, np.ndarray | float):
        np.testing.assert_allclose(got, expected, tolerance, tolerance, err_msg=name)
    else:
        assert got == expected, name
