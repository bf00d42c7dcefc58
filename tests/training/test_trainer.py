"""Training against scikit-learn, against the notebook's own loop, and against itself."""

import math

import numpy as np
import pytest
from sklearn.neural_network import MLPClassifier

from mlp_xp import (
    PRESETS,
    Callback,
    Config,
    Dataset,
    InputError,
    Network,
    Split,
    Trainer,
    evaluate,
    train,
)
from mlp_xp.data.loader import epoch_order
from mlp_xp.devices import CPU, Device
from mlp_xp.nn.optimizers import OPTIMIZERS, SGD
from mlp_xp.nn.schedules import SCHEDULES, Constant, Linear
from mlp_xp.training.setup import CHUNK_ROWS


def small_data(rng: np.random.Generator, rows: int = 120, features: int = 7) -> Dataset:
    X = rng.standard_normal((rows, features))
    y = (np.abs(X[:, :3]).argmax(axis=1)).astype(np.int64)
    y[:3] = [0, 1, 2]
    return Dataset("small", Split(X, y), None, 3)


@pytest.mark.parametrize("hidden", [(5,), (8, 6)])
def test_training_steps_equal_scikit_learns(hidden, rng):
    data = small_data(rng)
    batch, steps = 20, 6

    def scikit_learn(lr: float) -> MLPClassifier:
        classifier = MLPClassifier(
            hidden, solver="sgd", alpha=0, momentum=0, nesterovs_momentum=False, shuffle=False,
            learning_rate_init=lr, batch_size=batch, random_state=3,
        )  # fmt: skip
        for start in range(0, steps * batch, batch):
            rows = slice(start, start + batch)
            classifier.partial_fit(data.train.X[rows], data.train.y[rows], classes=[0, 1, 2])
        return classifier

    # With a rate this small nothing moves: the weights that its random_state begins with.
    begin, end = scikit_learn(1e-300), scikit_learn(0.1)
    network = Network.initialize(CPU(), (7, *hidden, 3), dtype="float64")
    for layer, W, b in zip(network.layers, begin.coefs_, begin.intercepts_, strict=True):
        layer.W[...], layer.b[...] = W, b
    config = Config(
        hidden=hidden, batch_size=batch, epochs=1, lr=0.1, schedule="constant", shuffle=False,
        dtype="float64",
    )  # fmt: skip
    trained = train(data, config, network.device, network=network)
    for layer, W, b in zip(trained.network.layers, end.coefs_, end.intercepts_, strict=True):
        np.testing.assert_allclose(layer.W, W, rtol=1e-10, atol=1e-14)
        np.testing.assert_allclose(layer.b, b, rtol=1e-10, atol=1e-14)


def notebook_loop(images, labels, epochs, lr=0.01):
    """The notebook's formulas, one sample at a time: the mean loss of each epoch, and W1, W2."""
    np.random.seed(0)
    W1, b1 = np.random.randn(128, 784) * np.sqrt(2 / 784), np.zeros(128)
    W2, b2 = np.random.randn(10, 128) * np.sqrt(2 / 128), np.zeros(10)
    X = images.astype(np.float32) / np.float32(255)
    losses = []
    for _ in range(epochs):
        total = 0.0
        for x, label in zip(X, labels, strict=True):
            z1 = W1 @ x + b1
            a1 = np.maximum(0, z1)
            z2 = W2 @ a1 + b2
            p = np.exp(z2 - z2.max()) / np.exp(z2 - z2.max()).sum()
            total -= np.log(p[label] + 1e-12)
            dz2 = p - (np.arange(10) == label)
            dz1 = (W2.T @ dz2) * (z1 > 0)
            W2, b2 = W2 - lr * np.outer(dz2, a1), b2 - lr * dz2
            W1, b1 = W1 - lr * np.outer(dz1, x), b1 - lr * dz1
        losses.append(total / len(X))
    return losses, W1, W2


def test_notebook_preset_is_the_notebooks_loop_on_a_prefix(mnist):
    rows = 400
    data = Dataset("prefix", Split(mnist.train.X[:rows], mnist.train.y[:rows]), mnist.test, 10)
    losses, W1, W2 = notebook_loop(data.train.X, data.train.y, epochs=2)
    config = Config.from_dict({**PRESETS["notebook"], "epochs": 2})
    network, history = train(data, config, CPU())
    # 1e-12 in the notebook's logarithm is the only difference in the formulas.
    np.testing.assert_allclose([epoch.loss for epoch in history], losses, rtol=1e-9)
    np.testing.assert_allclose(network.layers[0].W, W1.T, rtol=1e-9, atol=1e-13)
    np.testing.assert_allclose(network.layers[1].W, W2.T, rtol=1e-9, atol=1e-13)


@pytest.mark.full
def test_notebook_preset_prints_the_notebooks_digits(mnist):
    config = Config.from_dict(PRESETS["notebook"])
    network, history = train(mnist, config, CPU())
    losses = [f"{epoch.loss:.4f}" for epoch in history]
    assert losses == ["0.2115", "0.0968", "0.0658", "0.0482", "0.0365"]
    assert f"{evaluate(network, mnist.test).accuracy:.2%}" == "97.08%"


@pytest.mark.full
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_default_recipe_reaches_98_percent(mnist, seed):
    network, _ = train(mnist, Config(seed=seed), CPU())
    assert evaluate(network, mnist.test).accuracy >= 0.98


@pytest.mark.filterwarnings("ignore:the training loss")  # need not fall here
@pytest.mark.parametrize("batch_size", [1, 7, 32, 500])
def test_same_seed_same_bits(batch_size, dtype, device: Device, rng):
    data = small_data(rng)
    config = Config(hidden=(6, 5), batch_size=batch_size, epochs=2, dtype=dtype, lr=0.05)
    first, second = (train(data, config, device) for _ in range(2))
    other = train(data, Config.from_dict({**config.to_dict(), "seed": 1}), device)
    for a, b, c in zip(*(run.network.parameters() for run in (first, second, other)), strict=True):
        assert str(a.dtype) == dtype
        a, b, c = (device.to_host(array) for array in (a, b, c))
        assert a.tobytes() == b.tobytes()
        assert a.tobytes() != c.tobytes()
    assert [epoch.loss for epoch in first.history] == [epoch.loss for epoch in second.history]


def test_epoch_loss_is_the_mean_over_rows_with_a_ragged_last_batch(rng):
    data = small_data(rng, rows=50)
    config = Config(hidden=(4,), batch_size=32, epochs=1, lr=1e-300, dtype="float64")
    network, (epoch,) = train(data, config, CPU())
    assert epoch.loss == pytest.approx(evaluate(network, data.train).loss, rel=1e-12)


def test_every_epoch_has_an_order_of_its_own_and_covers_all_rows():
    orders = [epoch_order(0, epoch, 1000) for epoch in (1, 2)]
    for order in orders:
        np.testing.assert_array_equal(np.sort(order), np.arange(1000))
    assert (orders[0] != orders[1]).mean() > 0.9
    np.testing.assert_array_equal(epoch_order(0, 2, 1000), orders[1])


def test_callbacks_see_every_chunk_and_epoch(rng):
    class Watch(Callback):
        def __init__(self):
            self.chunks, self.epochs = [], []

        def on_chunk(self, trainer):
            assert math.isfinite(trainer.loss)
            self.chunks.append((trainer.epoch, trainer.rows))

        def on_epoch(self, trainer):
            self.epochs.append(trainer.history[-1])

    watch = Watch()
    rows = CHUNK_ROWS + 100
    data = small_data(rng, rows=rows)
    config = Config(hidden=(2,), batch_size=64, epochs=2)
    _, history = train(data, config, CPU(), [watch])
    assert watch.chunks == [(1, CHUNK_ROWS), (1, rows), (2, CHUNK_ROWS), (2, rows)]
    assert watch.epochs == history
    assert [epoch.epoch for epoch in history] == [1, 2]
    for epoch in history:
        assert epoch.samples_per_second == pytest.approx(rows / epoch.seconds)


def test_a_loss_that_is_not_finite_stops_the_run(rng):
    data = small_data(rng)
    with np.errstate(all="ignore"), pytest.raises(InputError, match=r"epoch 1.*lower --lr"):
        train(data, Config(lr=1e30, batch_size=4, epochs=3), CPU())


def test_a_callback_reads_the_learning_rate_and_stops_the_training(rng):
    class Stop(Callback):
        def __init__(self, at: str):
            self.at, self.rates = at, []

        def on_chunk(self, trainer):
            self.rates.append(trainer.learning_rate)
            if self.at == "chunk" and len(self.rates) == 3:
                trainer.stop()

        def on_epoch(self, trainer):
            if self.at == "epoch" and trainer.history[-1].epoch == 2:
                trainer.stop()

    rows = CHUNK_ROWS + 64
    data = small_data(rng, rows=rows)
    config = Config(hidden=(2,), batch_size=64, epochs=4, lr=0.5)
    steps = rows // 64
    for at, epochs, chunks, rows_done in (("chunk", 1, 3, CHUNK_ROWS), ("epoch", 2, 4, 0)):
        stop = Stop(at)
        trainer = Trainer(data, config, CPU())
        trainer.fit([stop])
        assert (len(trainer.history), len(stop.rates), trainer.rows) == (epochs, chunks, rows_done)
        assert not trainer.finished
        last = [steps - 2, steps - 1, 2 * steps - 2, 2 * steps - 1][:chunks]
        assert stop.rates == [0.5 * (1 - step / (4 * steps)) for step in last]
        trainer.fit()
        assert trainer.finished
        assert len(trainer.history) == 4


def test_a_stopped_fit_goes_on_to_the_same_bits_with_patience_too(rng):
    """The best weights come back at the end alone, never into a training that goes on."""
    data = small_data(rng, rows=400)
    settings = {"hidden": (16,), "batch_size": 8, "validation": 0.3, "patience": 2, "epochs": 60}
    config = Config(**settings, lr=1.0, schedule="constant")

    class StopAfterEach(Callback):
        def on_epoch(self, trainer):
            trainer.stop()

    whole, halting = (Trainer(data, config, CPU()) for _ in range(2))
    whole.fit()
    while not halting.finished:
        halting.fit([StopAfterEach()])
    assert 2 < len(whole.history) < 60
    assert [e.loss for e in whole.history] == [e.loss for e in halting.history]
    for a, b in zip(whole.network.parameters(), halting.network.parameters(), strict=True):
        assert a.tobytes() == b.tobytes()


class OneCycle(Linear):
    """A user's own, which takes settings that aren't any component's."""

    def __init__(self, epochs: int, lr: float = 1.0, lr_factor: float = 0.5):
        self.epochs, self.lr, self.lr_factor = epochs, lr, lr_factor


class Unbuildable(SGD):
    """A user's own, with an argument that is no setting."""

    def __init__(self, rho: float):
        super().__init__()
        self.rho = rho


def test_settings_go_to_the_components_that_take_them(monkeypatch):
    monkeypatch.setitem(SCHEDULES, "one_cycle", OneCycle)
    assert Config(epochs=3, lr=0.1).build(OPTIMIZERS["sgd"]).momentum == 0
    config = Config(epochs=3, schedule="one_cycle", lr_factor=0.7)
    schedule = config.build(OneCycle)
    assert (schedule.epochs, schedule.lr, schedule.lr_factor) == (3, 0.3, 0.7)
    with pytest.raises(InputError, match=r"needs the schedule step or plateau or one_cycle$"):
        Config(lr_factor=0.7)
    with pytest.raises(InputError, match=r"momentum needs the optimizer sgd$"):
        Config(momentum=0.7, optimizer="adam", schedule="one_cycle")
    monkeypatch.setitem(OPTIMIZERS, "unbuildable", Unbuildable)
    with pytest.raises(InputError, match="Unbuildable takes rho, which is no setting"):
        Config(optimizer="unbuildable")


@pytest.mark.parametrize("warmup", [2.0, 1e308])
def test_a_warmup_may_be_as_long_as_the_run_or_longer(warmup, rng):
    config = Config(batch_size=20, epochs=2, warmup=warmup, lr=1.0, schedule="constant")
    rates = Trainer(small_data(rng), config, CPU()).learning_rates(120)
    assert rates == pytest.approx(np.arange(1, 7) / 12, rel=1e-15)


class Ascent(Constant):
    """A user's own, with a mistake."""

    def factor(self, step: int, total: int) -> float:
        return -1.0


@pytest.mark.parametrize("window", [None, 1])
def test_a_learning_rate_below_0_is_refused(window, rng, monkeypatch):
    monkeypatch.setitem(SCHEDULES, "ascent", Ascent)
    with pytest.raises(InputError, match=r"Ascent gives the learning rate -0\.3"):
        train(small_data(rng), Config(schedule="ascent", window=window), CPU())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("hidden", [0]),
        ("hidden", [2.5]),
        ("hidden", 128),
        ("activation", "swish"),
        ("init", "zeros"),
        ("batch_size", 0),
        ("batch_size", True),
        ("epochs", -1),
        ("lr", 0),
        ("lr", math.nan),
        ("lr", "fast"),
        ("schedule", "never"),
        ("shuffle", 1),
        ("seed", -1),
        ("dtype", "float16"),
        ("betas", [0.9]),
        ("betas", [0.9, 1.0]),
        ("eps", 0),
        ("learning_rate", 0.1),
    ],
)
def test_config_names_the_field_that_is_wrong(field, value):
    with pytest.raises(InputError, match=field):
        Config.from_dict({field: value})


def test_config_survives_json():
    config = Config(hidden=(3, 4), lr=0.123456789, shuffle=False)
    assert Config.from_dict(config.to_dict()) == config
