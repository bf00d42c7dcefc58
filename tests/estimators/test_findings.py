"""What a review of the estimators has found."""

import pickle

import numpy as np
import onnxruntime
import pytest
import standin
from pairs import QUIETLY, pair
from sklearn import datasets, neural_network
from sklearn.base import clone
from sklearn.preprocessing import scale

from mlp_xp import Callback, InputError, load_model, save_model
from mlp_xp.export import to_onnx
from mlp_xp.sklearn import MLPClassifier, MLPRegressor
from mlp_xp.training import Checkpointer, CsvLogger, TensorBoardLogger

pytestmark = QUIETLY


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("load", [datasets.load_wine, datasets.load_breast_cancer])
def test_inputs_that_are_not_scaled_give_the_same_losses(load, solver):
    """scikit-learn bounds the logarithms of a loss, which decides when it stops."""
    X, y = load(return_X_y=True)
    settings = {"solver": solver, "max_iter": 15, "random_state": 0}
    ours = MLPClassifier(**settings).fit(X, y)
    theirs = neural_network.MLPClassifier(**settings).fit(X, y)
    assert ours.n_iter_ == theirs.n_iter_
    assert ours.loss_ == pytest.approx(theirs.loss_, rel=1e-9)
    if solver != "lbfgs":
        np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-12)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_nothing_of_a_gpu_is_left_in_an_estimator(solver):
    ours, _, X, y = pair("multiclass", solver=solver)
    ours.set_params(device=standin.StandIn()).fit(X, y)
    arrays = [a for slot in ours._progress.optimizer.state.values() for a in slot]
    assert arrays
    assert {type(a) for a in (*arrays, *ours.coefs_, *ours.intercepts_)} == {np.ndarray}
    again = pickle.loads(pickle.dumps(ours.set_params(device="cpu")))
    again.partial_fit(X, y)
    expected = pair("multiclass", solver=solver)[0].fit(X, y).partial_fit(X, y)
    np.testing.assert_allclose(again.loss_curve_, expected.loss_curve_, rtol=1e-12)


def test_another_loss_does_not_change_what_is_fitted():
    ours, _, X, y = pair("regression", warm_start=True)
    expected = ours.fit(X, y).predict(X)
    ours.set_params(loss="poisson")
    np.testing.assert_array_equal(ours.predict(X), expected)
    with pytest.raises(InputError, match="exp, but those to go on from"):
        ours.fit(X, np.abs(y))
    np.testing.assert_array_equal(ours.predict(X), expected)


def test_rows_to_validate_on_are_two_or_more_of_the_same_outputs():
    ours, _, X, y = pair("regression")
    with pytest.raises(InputError, match="validation has 1 rows"):
        ours.fit(X, y, validation=(X[:1], y[:1]))
    ours, _, X, y = pair("multilabel")
    with pytest.raises(InputError, match="validation has 9 rows of 2 outputs"):
        ours.fit(X, y, validation=(X[:9], y[:9, :2]))


def test_held_out_rows_that_weigh_nothing():
    ours, _, X, y = pair("multiclass", early_stopping=True)
    weights = np.zeros(len(y))
    weights[:2] = 1
    with pytest.raises(InputError, match="not all of weight zero"):
        ours.fit(X, y, weights)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_class_weights_that_are_all_zero(solver):
    ours, _, X, y = pair("multiclass", solver=solver)
    with pytest.raises(InputError, match="make all weights zero"):
        ours.set_params(class_weight=dict.fromkeys(np.unique(y).tolist(), 0)).fit(X, y)


class Small(MLPClassifier):
    def __init__(self, alpha=1e-4):
        super().__init__((5,), alpha=alpha, max_iter=3, random_state=0)


def test_a_class_with_a_constructor_of_its_own():
    _, _, X, y = pair("multiclass")
    expected = MLPClassifier((5,), max_iter=3, random_state=0).fit(X, y)
    np.testing.assert_array_equal(Small().fit(X, y).predict_proba(X), expected.predict_proba(X))


def test_parameters_of_fitting_do_not_matter_to_predict():
    ours, _, X, y = pair("multiclass")
    expected = ours.fit(X, y).predict(X)
    ours.set_params(alpha=-1, max_iter=0, dropout=0.5, solver="lbfgs")
    np.testing.assert_array_equal(ours.predict(X), expected)


def test_labels_as_lists_in_parts():
    ours, _, X, y = pair("multilabel")
    labels = list(range(y.shape[1]))
    expected = pair("multilabel")[0].partial_fit(X, y, classes=labels)
    ours.partial_fit(X.tolist(), y.tolist(), classes=labels)
    np.testing.assert_array_equal(ours.predict_proba(X), expected.predict_proba(X))
    with pytest.raises(InputError, match="labels in one fit and classes in the other"):
        ours.partial_fit(X, y[:, 0])


def test_a_first_part_that_fails_leaves_no_classes():
    ours, _, X, y = pair("multiclass")
    with pytest.raises(ValueError, match="NaN"):
        ours.partial_fit(X * np.nan, y, classes=[0, 1])
    ours.partial_fit(X, y, classes=np.unique(y))
    assert len(ours.classes_) == len(np.unique(y))


def test_class_weights_hold_for_a_part_that_lacks_classes():
    ours, _, X, y = pair("multiclass")
    ours.set_params(class_weight={0: 1, 1: 5})
    ours.partial_fit(X[y == 0], y[y == 0], classes=np.unique(y))
    with pytest.raises(InputError, match="class_weight has 7, which is no class"):
        ours.set_params(class_weight={7: 2}).fit(X, y)


def test_fitting_keeps_attributes_that_are_not_its_own():
    ours, _, X, y = pair("multiclass")
    ours.note_ = "mine"
    assert ours.fit(X, y).fit(X, y).note_ == "mine"


def test_parts_take_the_same_time_however_many_came_before():
    ours, _, X, y = pair("multiclass")
    ours.partial_fit(X, y, classes=np.unique(y))
    before = ours._progress
    ours.partial_fit(X, y)
    assert len(before.loss_curve) == 1  # a failed one would find it so
    assert len(ours.loss_curve_) == 2


def test_texts_are_no_numbers_at_predict_either():
    ours, _, X, y = pair("regression")
    with pytest.raises(ValueError, match="numeric"):
        ours.fit(X, y).predict(X.astype(str))


def test_logs_and_own_callbacks_see_a_fit(tmp_path):
    seen = []

    class Seen(Callback):
        def on_epoch(self, trainer):
            seen.append(trainer.history[-1])

    ours, _, X, y = pair("multiclass", max_iter=3)
    logs = [CsvLogger(tmp_path / "log.csv"), TensorBoardLogger(tmp_path / "tb"), Seen()]
    ours.set_params(callbacks=logs).fit(X, y, validation=(X[:9], y[:9]))
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 4
    assert len(list((tmp_path / "tb").iterdir())) == 1
    assert [epoch.loss for epoch in seen] == ours.loss_curve_
    assert [epoch.validation_loss for epoch in seen] == ours.validation_loss_curve_
    with pytest.raises(InputError, match="the callback Checkpointer needs a Trainer"):
        ours.set_params(callbacks=[Checkpointer(tmp_path / "c", epochs=1)]).fit(X, y)


@pytest.mark.parametrize("activation", ["relu", "logistic", "gelu"])
@pytest.mark.parametrize(
    ("kind", "load"),
    [(MLPClassifier, datasets.load_iris), (MLPClassifier, datasets.load_breast_cancer),
     (MLPRegressor, datasets.load_diabetes)],
)  # fmt: skip
def test_a_fitted_estimator_becomes_a_model(kind, load, activation, tmp_path):
    X, y = load(return_X_y=True)
    X = scale(X)
    ours = kind(hidden_layer_sizes=(7,), activation=activation, max_iter=5, random_state=0).fit(
        X, y
    )
    expected = ours.predict_proba(X) if kind is MLPClassifier else ours.predict(X)[:, None]
    save_model(ours.to_model(), tmp_path / "m.safetensors")
    model = load_model(tmp_path / "m.safetensors")
    np.testing.assert_allclose(model.predict(X), expected, rtol=1e-12, atol=1e-15)
    to_onnx.export(model, tmp_path / "m.onnx")
    found = onnxruntime.InferenceSession(tmp_path / "m.onnx").run(None, {"X": X})
    np.testing.assert_allclose(found[-1], expected, rtol=1e-10, atol=1e-12)
    if kind is MLPClassifier:
        assert model.output_names == tuple(map(str, ours.classes_))
        np.testing.assert_array_equal(found[0].astype(int), ours.predict(X))


def test_poisson_has_no_model():
    ours, _, X, y = pair("poisson")
    with pytest.raises(InputError, match="poisson"):
        ours.fit(X, y).to_model()


def test_without_any_best_score_the_last_weights_stay(monkeypatch):
    ours, _, X, y = pair("regression", early_stopping=True, max_iter=4)
    monkeypatch.setattr(MLPRegressor, "_score_of", lambda *_: float("nan"))
    ours.fit(X, y)
    assert ours.best_validation_score_ == -np.inf
    again = clone(ours).set_params(max_iter=5).fit(X, y)
    assert not np.array_equal(ours.coefs_[0], again.coefs_[0])
