"""Settings, data and a network of one's own must fit together."""

import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest

from mlp_xp import Config, Dataset, InputError, Network, Trainer, predict, train
from mlp_xp.devices import CPU


@pytest.fixture
def data(rng) -> Dataset:
    X = rng.standard_normal((60, 4))
    return Dataset.from_arrays(X, np.abs(X[:, :3]).argmax(axis=1))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"hidden": (8,)}, r"hidden is \(8,\), but the network that is given has \(5,\)"),
        ({"activation": "tanh"}, "activation is 'tanh', but the network that is given has 'relu'"),
        ({"init": "he"}, "init is 'he', but the network that is given has None"),
        ({"standardize": True}, "standardize is True, but the network that is given has False"),
        ({"dtype": "float64"}, "dtype is 'float64', but the network that is given has 'float32'"),
        ({"objective": "regression"}, "objective is 'regression', .* has 'multiclass'"),
    ],
)
def test_a_setting_that_a_given_network_contradicts_is_refused(settings, words, data):
    network = Network.initialize(CPU(), (4, 5, 3))
    with pytest.raises(InputError, match=words):
        train(data, Config(**settings), network=network)


def test_the_settings_of_a_run_describe_the_network_that_was_given(data):
    network = Network.initialize(CPU(), (4, 5, 6, 3), activation="tanh", dtype="float64")
    network.standardize(np.zeros(4), np.ones(4))
    for config in (None, Config(hidden=(5, 6), activation="tanh", standardize=True)):
        found = Trainer(data, config, network=network).config
        assert (found.hidden, found.activation, found.dtype) == ((5, 6), "tanh", "float64")
        assert found.standardize


@pytest.mark.filterwarnings("ignore:the training loss")  # need not fall here
def test_a_given_network_has_the_names_of_the_data_or_gets_them(data):
    def named(outputs: tuple[str, ...], features: tuple[str, ...]) -> Dataset:
        X, y = data.train.X, data.train.y
        return Dataset.from_arrays(X, y, output_names=outputs, feature_names=features)

    network = Network.initialize(CPU(), (4, 3))
    train(named(("x", "y", "z"), tuple("abcd")), network=network)
    schema = network.schema
    assert (schema.output_names, schema.feature_names) == (("x", "y", "z"), tuple("abcd"))
    train(data, network=network)
    with pytest.raises(InputError, match=r"output_names is \('z', 'y', 'x'\), the network's is"):
        train(named(("z", "y", "x"), tuple("abcd")), network=network)
    with pytest.raises(InputError, match=r"feature_names is .*load_data\(..., like=network\)"):
        train(named(("x", "y", "z"), tuple("dcba")), network=network)
    network.schema = replace(schema, feature_names=None)
    with pytest.raises(InputError, match="output_names is"):  # and nothing is taken over
        train(named(("z", "y", "x"), tuple("abcd")), network=network)
    assert network.schema.feature_names is None


def test_class_weights_of_a_given_regression_network_are_refused(data):
    numbers = Dataset.from_arrays(data.train.X, data.train.X[:, 0], objective="regression")
    network = Network.initialize(CPU(), (4, 1), objective="regression")
    with pytest.raises(InputError, match="class_weight needs the objective multiclass"):
        train(numbers, Config(class_weight=(1, 2, 3)), network=network)


@pytest.mark.parametrize("data", [None, np.zeros((3, 2)), ([[1.0]], [0])])
def test_anything_but_a_dataset_is_refused(data):
    with pytest.raises(
        InputError, match=r"give rows and their labels, as in train\(X, y\), or a Dataset"
    ):
        train(data)


def test_anything_but_a_config_is_refused(data):
    for settings in ({"epochs": 3}, {}):
        with pytest.raises(InputError, match=r"are of type dict; give a Config, such as Config\("):
            train(data, settings)


def test_labels_that_are_all_the_same_name_the_option_for_tables_alone(data):
    same = Dataset.from_arrays(data.train.X, np.zeros(60))
    with pytest.raises(InputError, match=r"give at least two classes$"):
        train(same)
    table = Dataset("t", same.train, None, 1, feature_names=tuple("abcd"), label="kind")
    with pytest.raises(InputError, match="if 'kind' isn't the label, name it with --label"):
        train(table)


def test_numpys_numbers_are_settings():
    for lr in (*np.logspace(-3, 0, 4), np.float32(0.5), np.array(0.5), np.longdouble(0.5)):
        config = Config(lr=lr)
        assert config.lr == float(lr)
        assert type(config.lr) is float
    config = Config(
        hidden=np.array([3, 4]), epochs=np.int64(3), seed=np.uint8(7), shuffle=np.bool_(False),
        betas=[np.float64(0.5), 0.9], optimizer="adam", class_weight=np.array([1.0, 2.0]),
    )  # fmt: skip
    assert config == Config(
        hidden=(3, 4), epochs=3, seed=7, shuffle=False, betas=(0.5, 0.9), optimizer="adam",
        class_weight=(1.0, 2.0),
    )  # fmt: skip
    assert all(type(width) is int for width in config.hidden)
    assert Config(betas=np.longdouble([0.5, 0.25]), optimizer="adam").betas == (0.5, 0.25)
    for wrong in ({"epochs": np.float64(2.5)}, {"lr": np.nan}, {"epochs": np.bool_(True)},
                  {"lr": np.array([0.1, 0.2])}, {"class_weight": [None, 1.0]},
                  {"dtype": np.float64}, {"lr": np.clongdouble(0.5 + 3j)}):  # fmt: skip
        with pytest.raises(InputError, match=next(iter(wrong))):
            Config(**wrong)


@pytest.mark.parametrize("values", [None, [], "lr", {1: 2}])
def test_a_configuration_that_is_none_is_refused(values):
    with pytest.raises(InputError, match="configuration"):
        Config.from_dict(values)


def test_a_network_can_be_copied_and_pickled(data):
    network = Trainer(data, Config(hidden=(5,), standardize=True), CPU()).network
    network.schema = replace(network.schema, output_names=("a", "b", "c"))
    expected = predict(network, data.train.X)
    for other in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert predict(other, data.train.X).tobytes() == expected.tobytes()
        assert other.schema == network.schema
        other.layers[0].W += 1
    assert predict(network, data.train.X).tobytes() == expected.tobytes()


def test_the_loss_before_the_first_step_is_nan(data):
    assert np.isnan(Trainer(data, Config(), CPU()).loss)
