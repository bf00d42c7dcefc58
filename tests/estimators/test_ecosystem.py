"""The estimators within scikit-learn's tools, and in other processes."""

import os
import pickle
import subprocess
import sys

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
from pairs import QUIETLY, assert_close, attributes, pair
from processes import ENVIRONMENT
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import VotingClassifier, VotingRegressor
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_validate
from sklearn.multioutput import ClassifierChain
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mlp_xp import Callback
from mlp_xp.sklearn import MLPClassifier, MLPRegressor

pytestmark = QUIETLY

TASKS = ["string classes", "regression"]


@pytest.mark.parametrize("task", TASKS)
def test_pipeline_of_tables(task):
    """Column names come through set_output(), and are asked for again."""
    ours, theirs, X, y = pair(task)
    table = pd.DataFrame(X, columns=[f"column {i}" for i in range(5)])
    fitted = [
        make_pipeline(StandardScaler().set_output(transform="pandas"), estimator).fit(
            table, pd.Series(y)
        )
        for estimator in (ours, theirs)
    ]
    np.testing.assert_array_equal(ours.feature_names_in_, theirs.feature_names_in_)
    assert list(ours.feature_names_in_) == list(table.columns)
    got, expected = (pipeline.predict(table) for pipeline in fitted)
    assert_close(got, expected, "predict", 1e-10)
    with pytest.raises(ValueError, match="feature names"):
        ours.predict(table.rename(columns={"column 1": "another"}))
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        ours.predict(X)


@pytest.mark.parametrize("task", TASKS)
def test_grid_search(task):
    ours, theirs, X, y = pair(task)
    grid = {"alpha": [1e-4, 1.0], "hidden_layer_sizes": [(3,), (5, 4)]}
    got = GridSearchCV(ours, grid, cv=2, n_jobs=2).fit(X, y)
    expected = GridSearchCV(theirs, grid, cv=2).fit(X, y)
    assert got.best_params_ == expected.best_params_
    for name in ("mean_test_score", "split0_test_score"):
        np.testing.assert_allclose(got.cv_results_[name], expected.cv_results_[name], rtol=1e-9)
    assert_close(got.predict(X), expected.predict(X), "predict", 1e-10)


def test_a_grid_of_our_own_parameters():
    ours, _, X, y = pair("multiclass")
    grid = {
        "dropout": [0, 0.2], "schedule": [None, "linear"], "class_weight": [None, "balanced"],
        "activation": ["gelu", "leaky_relu"],
    }  # fmt: skip
    found = GridSearchCV(ours, grid, cv=2, error_score="raise").fit(X, y)
    assert len(found.cv_results_["params"]) == 16


@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_log_proba"])
def test_cross_val_predict(method):
    ours, theirs, X, y = pair("string classes")
    got, expected = (cross_val_predict(e, X, y, cv=3, method=method) for e in (ours, theirs))
    assert_close(got, expected, method, 1e-10)


def test_calibration():
    ours, theirs, X, y = pair("binary")
    got, expected = (CalibratedClassifierCV(e, cv=2).fit(X, y) for e in (ours, theirs))
    assert_close(got.predict_proba(X), expected.predict_proba(X), "predict_proba", 1e-7)


def test_voting():
    ours, theirs, X, y = pair("string classes")
    got, expected = (
        VotingClassifier([("mlp", e), ("linear", LogisticRegression())], voting="soft").fit(X, y)
        for e in (ours, theirs)
    )
    assert_close(got.predict_proba(X), expected.predict_proba(X), "predict_proba", 1e-10)
    ours, theirs, X, y = pair("regression")
    got, expected = (
        VotingRegressor([("mlp", e), ("linear", Ridge())]).fit(X, y) for e in (ours, theirs)
    )
    assert_close(got.predict(X), expected.predict(X), "predict", 1e-10)


def test_chain():
    ours, theirs, X, y = pair("multilabel")
    got, expected = (ClassifierChain(e, random_state=0).fit(X, y) for e in (ours, theirs))
    assert_close(got.predict_proba(X), expected.predict_proba(X), "predict_proba", 1e-10)


@pytest.mark.parametrize("task", TASKS)
def test_permutation_importance(task):
    ours, theirs, X, y = pair(task)
    got, expected = (
        permutation_importance(e.fit(X, y), X, y, n_repeats=2, random_state=0)
        for e in (ours, theirs)
    )
    np.testing.assert_allclose(got.importances, expected.importances, atol=1e-9)


def test_weights_are_routed(rng):
    """By set_fit_request() and set_score_request(), as to scikit-learn's networks."""
    results = []
    with sklearn.config_context(enable_metadata_routing=True):
        for estimator in pair("binary")[:2]:
            X, y = pair("binary")[2:]
            estimator.set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
            weights = np.linspace(0.1, 2, len(X))
            results.append(cross_validate(estimator, X, y, cv=2, params={"sample_weight": weights}))
    np.testing.assert_allclose(results[0]["test_score"], results[1]["test_score"])


def test_validation_is_routed():
    """Rows to validate on come through a pipeline and a search, with early stopping on them."""
    ours, _, X, y = pair("multiclass")
    with sklearn.config_context(enable_metadata_routing=True):
        ours.set_fit_request(validation=True, sample_weight=True)
        pipeline = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), ours)
        pipeline.fit(X, y, validation=(X[:9], y[:9]), sample_weight=np.ones(len(X)))
        assert len(ours.validation_loss_curve_) == ours.n_iter_
        search = GridSearchCV(pipeline, {"mlpclassifier__alpha": [0, 1.0]}, cv=2)
        search.fit(X, y, validation=(X[:9], y[:9]))
    assert len(search.best_estimator_[-1].validation_scores_) == 6


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("task", TASKS)
def test_clone_and_pickle(task, solver, tmp_path):
    """A copy predicts the same and goes on in the same way."""
    ours, _, X, y = pair(task, solver=solver, warm_start=True)
    assert clone(ours).get_params() == ours.get_params()
    ours.fit(X, y)
    assert not attributes(clone(ours))
    joblib.dump(ours, tmp_path / "ours.joblib")
    copies = [pickle.loads(pickle.dumps(ours)), joblib.load(tmp_path / "ours.joblib")]
    expected = ours.predict(X)
    more = "fit" if solver == "lbfgs" else "partial_fit"
    getattr(ours, more)(X, y)
    for copied in copies:
        np.testing.assert_array_equal(copied.predict(X), expected)
        getattr(copied, more)(X, y)
        assert_close(copied.coefs_, ours.coefs_, "coefs_", 0)


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_a_copy_shares_nothing(method):
    """Going on with the original leaves its attributes, and a pickle's, as they were."""
    ours, _, X, y = pair("regression", warm_start=True)
    ours.fit(X, y)
    kept = {name: getattr(ours, name) for name in ("coefs_", "intercepts_")}
    before = pickle.loads(pickle.dumps(kept))
    getattr(ours, method)(X, y)
    for name, arrays in kept.items():
        assert_close(arrays, before[name], name, 0)


def test_pickled_here_and_used_elsewhere(tmp_path):
    """In a process that has imported neither the estimators nor scikit-learn."""
    ours, _, X, y = (
        pair("string classes", callbacks=[Callback()]) if False else pair("string classes")
    )
    ours.set_params(callbacks=[Callback()], device="auto").fit(X, y)
    with open(tmp_path / "model.pickle", "wb") as file:
        pickle.dump((ours, X, ours.predict_proba(X)), file)
    code = (
        "import pickle; model, X, p = pickle.load(open('model.pickle', 'rb'));"
        "print(abs(model.predict_proba(X) - p).max(), model.predict(X[:1])[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=ENVIRONMENT, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    difference, label = done.stdout.split()
    assert float(difference) < 1e-12
    assert label == ours.predict(X[:1])[0]


def test_pickles_hold_no_rows():
    """Neither the data nor a device: only the weights, twice with adam's averages of each."""
    ours, _, X, y = pair("regression")
    X = np.tile(X, (100, 1))
    y = np.tile(y, 100)
    assert len(pickle.dumps(ours.fit(X, y))) < X.nbytes / 10


@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_shown_in_a_notebook(kind):
    shown = kind(alpha=0.5, dropout=0.25)
    assert "dropout=0.25" in repr(shown)
    assert "alpha=0.5" in repr(shown)
    assert kind.__name__ in shown._repr_html_()


def score_and_process(fitted, X, y):
    return {"score": fitted.score(X, y), "process": os.getpid()}


@pytest.mark.full
@pytest.mark.filterwarnings("default")
def test_a_grid_over_several_machines():
    """Two workers, each a process of its own, as they would be on two machines."""
    reason = "the grid over several machines needs Dask: pip install distributed"
    distributed = pytest.importorskip("distributed", reason=reason)
    ours, _, X, y = pair("string classes", max_iter=60)
    grid = {"alpha": [1e-4, 1.0], "hidden_layer_sizes": [(3,), (5, 4)]}
    expected = GridSearchCV(ours, grid, cv=4).fit(X, y)
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        client.wait_for_workers(2, timeout=60)
        workers = set(client.run(os.getpid).values())
        with joblib.parallel_config("dask"):
            found = GridSearchCV(ours, grid, cv=4, scoring=score_and_process, refit="score")
            found.fit(X, y)
    used = {pid for i in range(4) for pid in found.cv_results_[f"split{i}_test_process"]}
    assert used == workers
    assert found.best_params_ == expected.best_params_
    np.testing.assert_allclose(
        found.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"]
    )
    assert_close(found.best_estimator_.coefs_, expected.best_estimator_.coefs_, "coefs_", 1e-10)
