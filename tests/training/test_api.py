"""train() and Model: what people have goes in, and comes out right."""

import warnings

import numpy as np
import pytest
from sklearn import datasets
from sklearn.metrics import accuracy_score, r2_score

from mlp_xp import Config, Dataset, InputError, Network, evaluate, predict, train
from mlp_xp.devices import CPU
from mlp_xp.errors import TrainingWarning
from mlp_xp.training import Model, load_model, save_model


@pytest.fixture(scope="module")
def iris():
    X, y = datasets.load_iris(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(X))
    return X[order], datasets.load_iris().target_names[y][order]


@pytest.fixture(scope="module")
def iris_model(iris) -> Model:
    X, y = iris
    return train(X[:100], y[:100], epochs=60).network


def test_names_are_classes(iris, iris_model):
    X, y = iris
    assert iris_model.output_names == ("setosa", "versicolor", "virginica")
    p = iris_model.predict(X[100:])
    assert (p.shape, p.dtype) == ((50, 3), np.float32)
    named = np.array(iris_model.output_names)[p.argmax(axis=1)]
    result = iris_model.evaluate(X[100:], y[100:])
    assert result.accuracy == accuracy_score(y[100:], named) > 0.8


def test_tables_are_matched_by_name(iris, iris_model):
    pandas = pytest.importorskip("pandas")
    X, y = iris
    table = pandas.DataFrame(X, columns=list("abcd")).assign(kind=y)
    model = train(table[:100].drop(columns="kind"), table["kind"][:100], epochs=60).network
    by_column = train(table[:100], "kind", epochs=60).network
    shuffled = table[100:][["kind", "d", "b", "a", "c"]]
    expected = iris_model.predict(X[100:]).tobytes()
    assert model.predict(shuffled).tobytes() == expected
    assert by_column.predict(shuffled).tobytes() == expected
    of_name, of_column = (
        model.evaluate(shuffled, "kind"),
        by_column.evaluate(shuffled, table["kind"][100:]),
    )
    assert of_name.to_dict() == of_column.to_dict()
    with pytest.raises(InputError, match="lacks d, which the model learned from"):
        model.predict(shuffled.drop(columns="d"))


def test_numbers_are_predicted_in_their_own_unit(tmp_path):
    X, y = datasets.load_diabetes(return_X_y=True)
    with pytest.warns(TrainingWarning, match="taken for a regression") as caught:
        model = train(X[:340], y[:340], seed=1).network
    assert [warning.filename for warning in caught] == [__file__]
    assert model.objective_name == "regression"
    predicted = model.predict(X[340:])
    assert predicted.dtype == np.float64
    result = model.evaluate(X[340:], y[340:])
    assert result.r2 == pytest.approx(r2_score(y[340:], predicted[:, 0]), abs=1e-6)
    assert result.r2 > 0.4
    assert result.baseline.rmse == pytest.approx(
        np.sqrt(np.mean((y[340:] - y[:340].mean()) ** 2)), rel=1e-6
    )
    save_model(model, tmp_path / "model.safetensors")
    loaded = load_model(tmp_path / "model.safetensors")
    assert loaded.predict(X[340:]).tobytes() == predicted.tobytes()


@pytest.mark.parametrize("kind", ["uint8", "int32", "float32", "float64"])
def test_pictures_mean_the_same_in_every_type(kind, mnist):
    X, y = mnist.train.X[:500].reshape(-1, 28, 28), mnist.train.y[:500]
    model = train(X, y, epochs=2).network
    assert (model.input_scale, model.schema.picture.n_inputs) == (255.0, 784)
    expected = model.predict(X[:20])
    np.testing.assert_allclose(model.predict(X[:20].astype(kind)), expected, rtol=0, atol=1e-6)
    of_type = train(X.astype(kind), y, epochs=2).network
    np.testing.assert_allclose(of_type.predict(X[:20]), expected, rtol=0, atol=1e-6)


def test_rows_in_another_unit_are_warned_of_once(mnist, iris, iris_model):
    model = train(mnist.train.X[:200], mnist.train.y[:200], epochs=1).network
    with pytest.warns(TrainingWarning, match="0 to 1, where training saw 0 to 255") as caught:
        model.predict(mnist.train.X[:2000] / 255)
    assert [warning.filename for warning in caught] == [__file__]
    with pytest.warns(TrainingWarning, match="column 2 is .* where training saw"):
        iris_model.predict(iris[0][100:] * [1, 1, 25.4, 1])
    with warnings.catch_warnings(action="error"):
        model.predict(mnist.test.X[:100])
        model.predict(np.zeros((1, 784)))
        iris_model.predict(iris[0][100:])
        iris_model.predict(iris[0][:1])


def test_settings_and_data_go_by_name(iris):
    X, y = iris
    _, history = train(X, y, hidden=(3,), epochs=2, validation=0.2, weights=np.ones(150))
    assert len(history) == 2
    assert history[0].validation_loss is not None
    _, history = train(X[:100], y[:100], validation=(X[100:], y[100:]), epochs=1)
    assert history[0].validation_loss is not None
    data = Dataset.from_arrays(X, y)
    by_config = train(data, Config(epochs=1, lr=0.01)).network
    assert train(data, config=Config(epochs=1, lr=0.01)).network.layers[0].W.tobytes() == (
        by_config.layers[0].W.tobytes()
    )


@pytest.mark.parametrize(
    ("arguments", "settings", "words"),
    [
        (([[1.0], [2.0]],), {}, "rows and their labels"),
        (([[1.0], [2.0]], [0, 1]), {"depth": 3}, "unknown setting depth"),
        (([[1.0], [2.0]], [0, 1]), {"config": Config(), "epochs": 3}, "exclude each other"),
        (([[1.0], [2.0]], [0, 1]), {"recipe": "soup"}, "recipe is 'soup'"),
        (([[1.0], [2.0]], "kind"), {}, "no column is named 'kind'"),
        (([[1.0], [2.0]], [0, 1, 0]), {}, "2 training rows, but labels of shape"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, settings, words):
    with pytest.raises(InputError, match=words):
        train(*arguments, **settings)


def test_a_network_of_ones_own_is_trained_in_place(iris):
    X, y = iris
    network = Network.initialize(CPU(), (4, 6, 3))
    result = train(X, y, network=network, epochs=2)
    assert result.network is network
    assert network.schema.output_names == ("setosa", "versicolor", "virginica")
    assert evaluate(network, Dataset.from_arrays(X, y).train).rows == 150
    assert predict(network, X).shape == (150, 3)


def test_evaluate_takes_a_split_or_rows_with_labels(iris, iris_model):
    X, y = iris
    split = Dataset.like(iris_model.schema, X, y, "multiclass").train
    assert iris_model.evaluate(split).to_dict() == iris_model.evaluate(X, y).to_dict()
    with pytest.raises(InputError, match="takes rows and their labels, or a Split"):
        iris_model.evaluate(X)
    with pytest.raises(InputError, match="'tulip', which is not in training"):
        iris_model.evaluate(X[:1], ["tulip"])
