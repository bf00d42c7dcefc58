"""Going on from a trained model."""

import numpy as np
import pytest

from mlp_xp import Dataset, InputError, predict, train
from mlp_xp.training.start import start_from, wanted_schema


@pytest.fixture
def rows(rng):
    X = rng.standard_normal((90, 4))
    y = np.array(["ant", "bee", "wasp"])[np.argmax(X[:, :3], axis=1)]
    return X, y


def test_known_classes_keep_their_weights_and_new_ones_start_at_random(rows):
    X, y = rows
    model = train(X, y, epochs=2, hidden=(5,)).network
    before = predict(model, X)
    W, b = model.layers[-1].W.copy(), model.layers[-1].b.copy()
    data = Dataset.from_arrays(X, np.where(y == "bee", "cricket", y))
    model, data = start_from(model, data, seed=3)
    assert model.schema.output_names == data.output_names == ("ant", "cricket", "wasp")
    np.testing.assert_array_equal(model.layers[-1].W[:, [0, 2]], W[:, [0, 2]])
    np.testing.assert_array_equal(model.layers[-1].b, [b[0], 0, b[2]])
    assert not np.array_equal(model.layers[-1].W[:, 1], W[:, 1])
    assert model.layers[-1].W.dtype == W.dtype
    after = predict(model, X)
    # The odds between the classes that stay are as before.
    np.testing.assert_allclose(after[:, 0] / after[:, 2], before[:, 0] / before[:, 2], rtol=1e-4)
    result = train(data, network=model, epochs=30)
    assert result.network is model
    assert len(result.history) == 30


def test_fewer_classes_leave_the_model_all_of_its_own(rows):
    X, y = rows
    model = train(X, y, epochs=30).network
    before = predict(model, X)
    some = y != "bee"
    data = Dataset.from_arrays(X[some], y[some], test=(X[some], y[some]))
    model, data = start_from(model, data)
    assert predict(model, X).tobytes() == before.tobytes()
    assert (data.n_outputs, data.output_names) == (3, ("ant", "bee", "wasp"))
    assert np.array(data.output_names)[data.train.y].tolist() == y[some].tolist()
    assert np.array(data.output_names)[data.test.y].tolist() == y[some].tolist()
    assert model.evaluate(data.train).accuracy > 0.8


def test_what_is_known_of_the_inputs_stays(rows):
    X, y = rows
    model = train(X, y, epochs=1).network
    mean = model.standardization[0].copy()
    data = Dataset.from_arrays(X + 5, y)
    model, data = start_from(model, data)
    train(data, network=model, epochs=30)
    np.testing.assert_array_equal(model.standardization[0], mean)
    assert model.prior is not None


def test_numbers_go_on_in_the_models_scale(rows):
    X, _ = rows
    model = train(X, 100 + 7 * X[:, 0], epochs=100).network
    mean = model.target_scaling[0].copy()
    data = Dataset.from_arrays(X, 90 + 7 * X[:, 0])
    model, data = start_from(model, data)
    assert model.evaluate(data.train).r2 < 0
    train(data, network=model, epochs=100)
    np.testing.assert_array_equal(model.target_scaling[0], mean)
    assert model.evaluate(data.train).r2 > 0.9


def test_other_inputs_and_other_objectives_are_refused(rows):
    X, y = rows
    model = train(X, y, epochs=1).network
    with pytest.raises(InputError, match=r"3 inputs .* the model to start from has 4"):
        start_from(model, Dataset.from_arrays(X[:, :3], y))
    with pytest.raises(InputError, match="objective regression"):
        start_from(model, Dataset.from_arrays(X, X[:, 0]))


def test_the_wanted_schema_leaves_classes_open(rows):
    X, y = rows
    assert wanted_schema(train(X, y, epochs=1).network).output_names is None
    numbers = train(X, X[:, :2], epochs=1).network
    assert wanted_schema(numbers) == numbers.schema
