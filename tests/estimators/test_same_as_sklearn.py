"""The same results as scikit-learn's networks, to rounding, from the same random_state."""

import contextlib
import io
import textwrap
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pairs import (
    QUIETLY,
    TASKS,
    assert_close,
    assert_same,
    attributes,
    can_stop_early,
    defaults,
    fit_both,
    pair,
)
from scipy import sparse
from sklearn import neural_network
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

import mlp_xp.sklearn

pytestmark = QUIETLY

NAMES = ["MLPClassifier", "MLPRegressor"]
SETTINGS: dict[str, dict[str, Any]] = {
    "adam": {},
    "betas": {"beta_1": 0.7, "beta_2": 0.9, "epsilon": 1e-3},
    "sgd": {"solver": "sgd"},
    "momentum": {"solver": "sgd", "nesterovs_momentum": False, "momentum": 0.8},
    "plain sgd": {"solver": "sgd", "momentum": 0.0},
    "invscaling": {"solver": "sgd", "learning_rate": "invscaling", "power_t": 0.3},
    "invscaling, plain": {"solver": "sgd", "learning_rate": "invscaling", "momentum": 0},
    "adaptive": {
        "solver": "sgd", "learning_rate": "adaptive", "n_iter_no_change": 2, "tol": 1.0,
        "max_iter": 40,
    },
    "adaptive, old momentum": {
        "solver": "sgd", "learning_rate": "adaptive", "n_iter_no_change": 1, "tol": 1.0,
        "nesterovs_momentum": False,
    },
    "adaptive, adam": {"learning_rate": "adaptive", "n_iter_no_change": 2, "tol": 1.0},
    "stops": {"n_iter_no_change": 2, "tol": 1.0},
    "never stops": {"n_iter_no_change": np.inf, "tol": 1.0, "max_iter": 15},
    "much alpha": {"alpha": 0.5},
    "no alpha": {"alpha": 0},
    "windows": {"solver": "sgd", "alpha": 0, "batch_size": 1, "max_iter": 2},
    "windows, momentum": {"solver": "sgd", "alpha": 0, "batch_size": 3, "momentum": 0.8},
    "windows, plain": {"solver": "sgd", "alpha": 0, "batch_size": 4, "momentum": 0},
    "batches": {"batch_size": 7},
    "row by row": {"batch_size": 1, "solver": "sgd", "max_iter": 2},
    "unshuffled": {"shuffle": False, "batch_size": 10},
    "no hidden layer": {"hidden_layer_sizes": ()},
    "one hidden layer": {"hidden_layer_sizes": 6},
    "array of sizes": {"hidden_layer_sizes": np.array([4, 3, 4])},
    "identity": {"activation": "identity"},
    "logistic": {"activation": "logistic"},
    "tanh": {"activation": "tanh"},
    "tanh, sgd": {"activation": "tanh", "solver": "sgd", "learning_rate_init": 0.1},
    "early stopping": {"early_stopping": True, "n_iter_no_change": 2, "max_iter": 15},
    "early stopping, sgd": {
        "early_stopping": True, "n_iter_no_change": 2, "solver": "sgd", "batch_size": 9,
        "validation_fraction": 0.3, "learning_rate": "adaptive", "max_iter": 15,
    },
    "lbfgs": {"solver": "lbfgs"},
    "lbfgs, tanh": {"solver": "lbfgs", "activation": "tanh", "alpha": 0.1},
    "lbfgs, max_fun": {"solver": "lbfgs", "max_fun": 4},
    "lbfgs, ignored": {"solver": "lbfgs", "early_stopping": True, "batch_size": 1000},
}  # fmt: skip


def cases(names: Iterable[str], fast: Iterable[str] = ()) -> list[Any]:
    """Each of the settings with each task: fast for these settings, `full` for most others.

    Without lbfgs for several outputs, where the two differ: see test_beyond_sklearn.py.
    """
    found = []
    for i, name in enumerate(names):
        for j, task in enumerate(TASKS):
            quick = name in fast or (i - j) % len(TASKS) == 0
            marks = () if quick else pytest.mark.full
            if task == "several outputs" and name.startswith("lbfgs"):
                continue
            if can_stop_early(task) or not SETTINGS[name].get("early_stopping"):
                found.append(pytest.param(task, name, marks=marks))
    return found


@pytest.mark.parametrize(("task", "name"), cases(SETTINGS, ["adam", "sgd"]))
def test_settings(task, name):
    ours, theirs, X, y = pair(task, **SETTINGS[name])
    fit_both(ours, theirs, X, y)
    assert_same(ours, theirs, X)
    assert ours.score(X, y) == pytest.approx(theirs.score(X, y), abs=1e-10)


WAYS = ["adam", "plain sgd", "windows", "early stopping", "lbfgs"]


@pytest.mark.parametrize(("task", "name"), cases(WAYS, ["adam"]))
def test_sample_weight(task, name, rng):
    """Batches of one row excepted, whose weight of 0 stops scikit-learn."""
    ours, theirs, X, y = pair(task, **SETTINGS[name])
    weights = rng.random(len(X)) * 3
    weights[::7] = name == "windows"
    fit_both(ours, theirs, X, y, sample_weight=weights)
    assert_same(ours, theirs, X)
    expected = theirs.score(X, y, sample_weight=weights)
    assert ours.score(X, y, sample_weight=weights) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize(
    ("kind", "name"),
    [*((sparse.csr_matrix, name) for name in WAYS), (sparse.csc_matrix, "adam"),
     (sparse.csr_array, "adam")],
)  # fmt: skip
def test_sparse_rows(kind, name, rng):
    ours, theirs, X, y = pair("multiclass", **SETTINGS[name])
    X = kind(X * (rng.random(X.shape) < 0.4))
    fit_both(ours, theirs, X, y)
    assert_same(ours, theirs, X)


def test_sparse_labels():
    ours, theirs, X, y = pair("multilabel")
    fit_both(ours, theirs, X, sparse.csr_matrix(y))
    got, expected = ours.predict(X), theirs.predict(X)
    assert sparse.issparse(got) == sparse.issparse(expected)
    np.testing.assert_array_equal(got.toarray(), expected.toarray())
    assert_close(ours.coefs_, theirs.coefs_, "coefs_", 1e-10)
    assert ours.score(X, sparse.csr_matrix(y)) == theirs.score(X, sparse.csr_matrix(y))


@pytest.mark.parametrize(
    ("task", "name"), cases(["momentum", "adaptive", "windows, plain", "lbfgs", "adam"])
)
def test_warm_start(task, name):
    """Curves grow, the optimizer begins anew, and the count of stale epochs goes on."""
    ours, theirs, X, y = pair(task, **{**SETTINGS[name], "warm_start": True, "max_iter": 4})
    for _ in range(3):
        fit_both(ours, theirs, X, y)
        assert_same(ours, theirs, X)


@pytest.mark.parametrize(
    ("task", "name"), cases(["momentum", "invscaling", "adaptive", "windows", "adam"], ["adam"])
)
def test_partial_fit(task, name, rng):
    """Batches of several lengths, with and without weights, from the first on."""
    ours, theirs, X, y = pair(task, **SETTINGS[name])
    first = {} if task in ("regression", "several outputs", "poisson") else {"classes": labels(y)}
    for n_rows in (20, 7, 61, 1, 30):
        weights = rng.random(n_rows) if n_rows == 30 else None
        for estimator in (ours, theirs):
            estimator.partial_fit(X[:n_rows], y[:n_rows], sample_weight=weights, **first)
        first = {}
        assert_same(ours, theirs, X)


def labels(y):
    return np.arange(y.shape[1]) if y.ndim == 2 else np.unique(y)


def test_fit_and_partial_fit_in_turn():
    ours, theirs, X, y = pair("multiclass", solver="sgd", learning_rate="invscaling")
    for method in ("fit", "partial_fit", "partial_fit", "fit", "partial_fit"):
        for estimator in (ours, theirs):
            getattr(estimator, method)(X, y)
        assert_same(ours, theirs, X)


@pytest.mark.parametrize("first", ["adam", "lbfgs"])
def test_fitted_again_with_other_settings(first):
    """Nothing is left of an earlier fit; on scikit-learn's, attributes are, so it is a new one."""
    ours, theirs, X, y = pair("multiclass", solver=first)
    fit_both(ours, theirs, X, y)
    for changes in ({"early_stopping": True}, {"solver": "lbfgs"}, {"solver": "sgd"}):
        ours.set_params(**changes)
        theirs = clone(theirs).set_params(**changes)
        fit_both(ours, theirs, X, y)
        assert_same(ours, theirs, X)


@pytest.mark.parametrize("task", ["multiclass", "regression"])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_going_on_without_early_stopping(task, method):
    """After a fit that kept its best weights, the last ones count again."""
    ours, theirs, X, y = pair(task, early_stopping=True, warm_start=True)
    fit_both(ours, theirs, X, y)
    theirs.best_loss_ = np.inf  # which is None there, and an error
    for estimator in (ours, theirs):
        estimator.set_params(early_stopping=False)
        for _ in range(3):
            getattr(estimator, method)(X, y)
    for got, expected in zip(ours.coefs_, theirs.coefs_, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-12)


def test_one_generator_for_several_fits():
    """A RandomState is drawn from where the last fit left it."""
    ours, theirs, X, y = pair("multiclass", early_stopping=True)
    ours.random_state, theirs.random_state = (np.random.RandomState(9) for _ in range(2))
    for _ in range(2):
        fit_both(ours, theirs, X, y)
        assert_same(ours, theirs, X)


def test_numpys_own_generator():
    ours, theirs, X, y = pair("multiclass", random_state=None)
    for estimator in (ours, theirs):
        np.random.seed(4)
        estimator.fit(X, y)
    assert_same(ours, theirs, X)


@pytest.mark.parametrize(
    ("task", "name"), cases(["adam", "sgd", "windows, plain", "early stopping"], ["adam"])
)
# Some BLAS computes with what lies beyond a column of float32, and leaves that out again.
@pytest.mark.filterwarnings("ignore:invalid value encountered in matmul:RuntimeWarning")
def test_float32(task, name):
    """As near to the results in float64 as scikit-learn's own float32 is.

    The order of a sum changes its last bits, by as much as either's distance from float64: 8 times
    that much, and 16 units in the last place, for what is rounded luckily there.
    """
    ours, theirs, X, y = pair(task, **SETTINGS[name])
    X = X.astype(np.float32)
    fit_both(ours, theirs, X, y)
    exact = pair(task, **SETTINGS[name])[1].fit(X.astype(np.float64), y)
    got, expected = attributes(ours), attributes(theirs)
    assert [W.dtype for W in ours.coefs_ + ours.intercepts_] == [np.float32] * 6
    assert got["n_iter_"] == expected["n_iter_"]
    for attribute in ("loss_curve_", "coefs_", "intercepts_"):
        mine, other, true = (flat(getattr(e, attribute)) for e in (ours, theirs, exact))
        allowed = 8 * abs(other - true).max() + 16 * np.finfo(np.float32).eps * abs(true).max()
        assert abs(mine - true).max() <= allowed
    for method in ("predict", "predict_proba"):
        if hasattr(theirs, method):
            assert getattr(ours, method)(X).dtype == getattr(theirs, method)(X).dtype


def flat(arrays):
    return np.concatenate([np.ravel(array).astype(np.float64) for array in arrays])


TYPES = ["int64", "bool", "uint8", "float16", "object", "list"]


@pytest.mark.parametrize("kind", TYPES)
def test_types_of_rows(kind):
    ours, theirs, X, y = pair("multiclass")
    X = (X > 0).tolist() if kind == "list" else (X > 0).astype(kind)
    fit_both(ours, theirs, X, y)
    assert_same(ours, theirs, X)


@pytest.mark.parametrize(
    "y",
    [[True, False], [2.0, 5.0], [-1, 1], [300, 7, 12], np.array(["b", "a"], dtype=object), [7]],
    ids=str,
)
def test_types_of_classes(y):
    """Also a single class, which scikit-learn takes."""
    ours, theirs, X, _ = pair("multiclass")
    y = np.resize(np.asarray(y), len(X))
    fit_both(ours, theirs, X, y)
    assert_same(ours, theirs, X)


def test_a_column_of_targets_warns():
    for task in ("multiclass", "regression"):
        for estimator in pair(task)[:2]:
            X, y = pair(task)[2:]
            with pytest.warns(match="A column-vector y was passed"):
                estimator.fit(X, y[:, None])
            assert estimator.predict(X).shape == y.shape


@pytest.mark.parametrize(
    "settings",
    [{}, {"solver": "lbfgs"}, {"solver": "lbfgs", "max_fun": 2, "max_iter": 200}],
    ids=str,
)
def test_convergence_warnings(settings):
    for estimator in pair("multiclass", **settings)[:2]:
        X, y = pair("multiclass")[2:]
        with pytest.warns(ConvergenceWarning) as caught:
            estimator.fit(X, y)
        assert {w.category for w in caught} - {DeprecationWarning} == {ConvergenceWarning}
        if isinstance(estimator, mlp_xp.sklearn.MLPClassifier):
            assert [w.filename for w in caught] == [__file__]


def test_a_batch_larger_than_the_data_warns():
    for estimator in pair("multiclass", batch_size=1000)[:2]:
        X, y = pair("multiclass")[2:]
        with pytest.warns(UserWarning, match="batch_size"):
            estimator.fit(X, y)


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
@pytest.mark.parametrize("name", NAMES)
def test_partial_fit_is_there_for_stochastic_solvers_alone(name, solver):
    ours, theirs = (getattr(m, name)(solver=solver) for m in (mlp_xp.sklearn, neural_network))
    assert hasattr(ours, "partial_fit") == (solver != "lbfgs")
    if name == "MLPClassifier":  # with lbfgs, scikit-learn's regressor has it and fits anew
        assert hasattr(ours, "partial_fit") == hasattr(theirs, "partial_fit")


@pytest.mark.parametrize("name", NAMES)
def test_the_constructor_begins_as_theirs(name):
    """All their parameters, in their order, with their defaults; ours follow, off by default."""
    ours, theirs = (defaults(getattr(m, name)) for m in (mlp_xp.sklearn, neural_network))
    assert list(ours.items())[: len(theirs)] == list(theirs.items())
    beyond = {"device": "cpu", "dropout": 0.0, "schedule": None, "clip_norm": None, "window": None}
    if name == "MLPClassifier":
        beyond |= {"class_weight": None, "label_smoothing": 0.0}
    rest = list(ours)[len(theirs) :]
    assert {name: ours[name] for name in rest} == beyond | {"callbacks": None}


@pytest.mark.parametrize("name", NAMES)
def test_public_methods_are_all_there(name):
    ours, theirs = (getattr(m, name)(solver="adam") for m in (mlp_xp.sklearn, neural_network))
    wanted = {n for n in dir(theirs) if not n.startswith("_")} - {"loss"}
    assert wanted <= set(dir(ours))
    assert repr(ours) == repr(theirs)
    assert ours.__sklearn_tags__() == theirs.__sklearn_tags__()


STOCHASTIC = {
    "solver": st.sampled_from(["sgd", "adam"]),
    "activation": st.sampled_from(["identity", "logistic", "tanh", "relu"]),
    "hidden_layer_sizes": st.lists(st.integers(1, 9), max_size=3).map(tuple),
    "alpha": st.sampled_from([0, 1e-4, 0.3]),
    "batch_size": st.one_of(st.just("auto"), st.integers(1, 42)),
    "learning_rate": st.sampled_from(["constant", "invscaling", "adaptive"]),
    "learning_rate_init": st.sampled_from([1e-4, 1e-3, 1e-2]),
    "power_t": st.floats(0, 1),
    "max_iter": st.integers(1, 8),
    "shuffle": st.booleans(),
    "random_state": st.integers(0, 2**32 - 1),
    "tol": st.sampled_from([0, 1e-4, 0.1]),
    "momentum": st.sampled_from([0, 0.5, 0.9]),
    "nesterovs_momentum": st.booleans(),
    "early_stopping": st.booleans(),
    "validation_fraction": st.sampled_from([0.1, 0.3]),
    "n_iter_no_change": st.integers(1, 3),
}


def check_any(task, chosen, weighted, by_rows):
    assume(can_stop_early(task) or not chosen["early_stopping"])
    ours, theirs, X, y = pair(task, **chosen)
    weights = np.random.default_rng(1).integers(1, 4, len(X)) if weighted else None
    X = sparse.csr_matrix(X) if by_rows else X
    with np.errstate(all="ignore"):
        with contextlib.suppress(ValueError):
            theirs.fit(X, y, sample_weight=weights)
        assume(abs(theirs.loss_) < 100)  # diverging, ours is an error at once
        ours.fit(X, y, sample_weight=weights)
        assert_same(ours, theirs, X)


ANY = given(
    task=st.sampled_from(sorted(TASKS)), chosen=st.fixed_dictionaries(STOCHASTIC),
    weighted=st.booleans(), by_rows=st.booleans(),
)  # fmt: skip


@settings(max_examples=15)
@ANY
def test_any_settings(task, chosen, weighted, by_rows):
    check_any(task, chosen, weighted, by_rows)


@pytest.mark.full
@settings(max_examples=1500)
@ANY
def test_many_settings(task, chosen, weighted, by_rows):
    check_any(task, chosen, weighted, by_rows)


SCRIPTS = {
    "points": """
        from sklearn.neural_network import MLPClassifier
        X, y = [[0., 0.], [1., 1.]], [0, 1]
        clf = MLPClassifier(solver="lbfgs", alpha=1e-5, hidden_layer_sizes=(5, 2), random_state=1)
        print(clf.fit(X, y), clf.predict([[2., 2.], [-1., -2.]]))
        print([W.shape for W in clf.coefs_], clf.predict_proba([[2., 2.], [1., 2.]]).round(8))
        y = [[0, 1], [1, 1]]
        clf.fit(X, y)
        print(clf.predict([[1., 2.]]), clf.n_layers_, clf.n_outputs_, clf.out_activation_)
    """,
    "report": """
        from sklearn.datasets import load_iris
        from sklearn.metrics import classification_report, confusion_matrix
        from sklearn.model_selection import train_test_split
        from sklearn.neural_network import MLPClassifier
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        X, y = load_iris(return_X_y=True, as_frame=True)
        X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
        model = make_pipeline(StandardScaler(), MLPClassifier((10,), max_iter=60, random_state=0))
        model.fit(X_train, y_train)
        print(classification_report(y_test, model.predict(X_test)))
        print(confusion_matrix(y_test, model.predict(X_test)), model.score(X_test, y_test))
        print(model[-1].n_iter_, model[-1].loss_, model[-1].feature_names_in_
              if hasattr(model[-1], "feature_names_in_") else None)
    """,
    "curves": """
        from sklearn.datasets import load_digits
        from sklearn.neural_network import MLPClassifier
        X, y = load_digits(n_class=4, return_X_y=True)
        X = X[:200] / 16
        for changes in [{"momentum": 0}, {"learning_rate": "invscaling"}, {"solver": "adam"},
                        {"early_stopping": True, "n_iter_no_change": 3}]:
            mlp = MLPClassifier(**{"hidden_layer_sizes": (8,), "solver": "sgd", "max_iter": 8,
                                   "random_state": 0, "learning_rate_init": 0.2, **changes})
            mlp.fit(X, y[:200])
            print("Training set score: %f" % mlp.score(X, y[:200]), "loss: %f" % mlp.loss_)
            print(*mlp.loss_curve_, mlp.best_loss_, *(mlp.validation_scores_ or ()), mlp.t_)
            print(mlp.best_validation_score_, mlp.coefs_[0].min(), mlp.coefs_[0].max())
    """,
    "in parts": """
        import numpy as np
        from sklearn.datasets import load_breast_cancer
        from sklearn.neural_network import MLPClassifier
        X, y = load_breast_cancer(return_X_y=True)
        X, names = X / X.max(axis=0), np.array(["malignant", "benign"])[y]
        clf = MLPClassifier(20, random_state=1)
        for rows in np.array_split(np.arange(len(X)), 6):
            clf.partial_fit(X[rows], names[rows], classes=np.unique(names))
            print(clf.score(X, names), clf.loss_, clf.n_iter_, clf.classes_)
        clf = MLPClassifier(20, random_state=1, warm_start=True, max_iter=1)
        for _ in range(4):
            clf.fit(X, names)
            print(len(clf.loss_curve_), clf.loss_curve_[-1], clf.predict_log_proba(X[:2]).round(9))
    """,
    "numbers": """
        from sklearn.datasets import load_diabetes
        from sklearn.model_selection import GridSearchCV, cross_val_score
        from sklearn.neural_network import MLPRegressor
        X, y = load_diabetes(return_X_y=True)
        X, y = X[:150] * 20, y[:150] / 100
        reg = MLPRegressor(random_state=1, max_iter=20, tol=0.1, hidden_layer_sizes=(6,))
        print(reg.fit(X, y).predict(X[:2]), reg.score(X, y), reg.get_params()["alpha"])
        print(cross_val_score(reg, X, y, cv=3))
        grid = {"alpha": [1e-4, 1.0], "activation": ["tanh", "relu"]}
        search = GridSearchCV(reg, grid, cv=2).fit(X, y)
        print(search.best_params_, search.best_score_, search.best_estimator_)
    """,
}


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_scripts_print_the_same_after_the_import_is_changed(script):
    script = textwrap.dedent(script)
    ours = script.replace("from sklearn.neural_network import", "from mlp_xp.sklearn import")
    assert ours != script
    wanted = printed(script).split()
    for got, expected in zip(printed(ours).split(), wanted, strict=True):
        assert same_word(got, expected), f"{got} is printed for {expected}"
    assert len(wanted) > 10


def printed(script: str) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as out, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(script, {})
    return out.getvalue()


def same_word(got: str, expected: str) -> bool:
    """Whether two words are the same, numbers to rounding."""
    if got == expected:
        return True
    try:
        number, other = (float(word.strip("[](),")) for word in (got, expected))
    except ValueError:
        return False
    return number == pytest.approx(other, rel=1e-8)
