"""scikit-learn's own checks of an estimator: all of them pass, none is expected to fail."""

from typing import Any
from unittest import SkipTest

import pytest
from sklearn.exceptions import ConvergenceWarning, SkipTestWarning
from sklearn.utils.estimator_checks import parametrize_with_checks

from mlp_xp.sklearn import MLPClassifier, MLPRegressor

# The checks fit tiny data, with whatever max_iter an estimator has.
pytestmark = [
    pytest.mark.filterwarnings(f"ignore::{kind.__module__}.{kind.__name__}")
    for kind in (ConvergenceWarning, SkipTestWarning)
]

# For estimators with a decision_function, or under SCIPY_ARRAY_API.
MAY_BE_SKIPPED = {
    "check_array_api_input", "check_classifiers_multilabel_output_format_decision_function",
}  # fmt: skip
QUICK: dict[str, Any] = {"hidden_layer_sizes": (8,), "max_iter": 15, "learning_rate_init": 0.05}
SMALL_LBFGS: dict[str, Any] = {"solver": "lbfgs", "hidden_layer_sizes": (8,), "max_iter": 40}
FAST = [MLPClassifier(**QUICK), MLPRegressor(**QUICK)]
# With lbfgs not 200 epochs: a check wants p < 1, and rounding makes it 1, with scikit-learn's too.
# Not with early_stopping or a schedule, which partial_fit() refuses, nor dropout, whose masks fall
# otherwise on a row of weight 2 than on two rows.
LONG = [
    kind(**settings)
    for kind in (MLPClassifier, MLPRegressor)
    for settings in (
        {}, {"solver": "sgd"}, {"solver": "lbfgs", "max_iter": 100}, SMALL_LBFGS,
        QUICK | {"activation": "gelu", "clip_norm": 1.0},
        QUICK | {"solver": "sgd", "alpha": 0, "window": 1, "learning_rate_init": 0.01}
        | {"max_iter": 60},
    )
]  # fmt: skip


def checks(estimators: list[Any]) -> Any:
    """parametrize_with_checks(), as a list: scikit-learn 1.7 makes a generator of them."""
    mark = parametrize_with_checks(estimators).mark
    names, cases = mark.args
    return pytest.mark.parametrize(names, list(cases), **mark.kwargs)


def passes(estimator: Any, check: Any) -> None:
    """Run the check, which may be skipped only if it is of another kind."""
    try:
        check(estimator)
    except SkipTest:
        assert check.func.__name__ in MAY_BE_SKIPPED
        raise


@checks(FAST)
def test_check(estimator, check):
    passes(estimator, check)


@pytest.mark.full
@checks(LONG)
def test_check_of_more_settings(estimator, check):
    passes(estimator, check)
