"""Parts of your own, in a training loop of your own: python examples/custom_loop.py [DEVICE].

How long may a delivery take, if nine of ten have to be quicker? This trains a network on that 90 %
quantile, with an activation, an objective and an optimizer that the package doesn't have, checks
its gradient by finite differences, and its result on new rows. In the end train() does the same.
"""

import sys

import numpy as np

from mlp_xp import Config, Dataset, Network, get_device, predict, train
from mlp_xp.data import DataLoader
from mlp_xp.nn import ACTIVATIONS, OBJECTIVES, OPTIMIZERS, Activation, Objective, Optimizer

HIDDEN, BATCH, EPOCHS, LR = 32, 32, 30, 0.002


def swish(xp, Z):
    """Z sigmoid(Z), with sigmoid(Z) = (1 + tanh(Z/2)) / 2.    Ramachandran et al. 2017."""
    return Z * (xp.tanh(Z / 2) + 1) / 2


def swish_derivative(xp, Z, A):
    """s + Z s (1 - s) = s + A (1 - s),  s = sigmoid(Z)."""
    s = (xp.tanh(Z / 2) + 1) / 2
    return s + A * (1 - s)


class Quantile(Objective):
    """The number that a share q of all targets lie below.    Koenker, Bassett 1978."""

    q = 0.9

    def loss(self, xp, logits, y, weights=None):
        """The mean of q e where e = y - z > 0, of (q - 1) e elsewhere, and its gradient in z."""
        e = y.astype(logits.dtype) - logits
        losses = xp.maximum(self.q * e, (self.q - 1) * e).mean(axis=-1)
        dlogits = ((e < 0) - self.q).astype(logits.dtype) / logits.size
        if weights is not None:
            losses, dlogits = losses * weights, dlogits * weights[:, None]
        return losses.mean(), dlogits

    def predict(self, xp, logits):
        """The quantiles themselves."""
        return logits


class RMSprop(Optimizer):
    """v <- d v + (1 - d) g^2, theta <- theta - lr g / (sqrt(v) + eps).    Tieleman, Hinton 2012."""

    slots = ("v",)

    def __init__(self, decay=0.9, eps=1e-8):
        super().__init__()
        self.decay, self.eps = decay, eps

    def update_one(self, parameter, gradient, lr, *slots):
        """Change the parameter and v in place."""
        (v,) = slots
        v *= self.decay
        v += (1 - self.decay) * gradient**2
        parameter -= lr * gradient / (v**0.5 + self.eps)


ACTIVATIONS["swish"] = Activation(swish, swish_derivative, initializer="he")
OBJECTIVES["quantile"] = Quantile
OPTIMIZERS["rmsprop"] = RMSprop


def gradients(network, X, y):
    """The loss of a batch, and the gradient of every parameter."""
    A, Z = network.forward(X)
    loss, dlogits = network.objective.loss(network.xp, Z[-1], y)
    return loss, network.backward(A, Z, dlogits)


def check_gradients(network, X, y, h=1e-6):
    """Compare ten elements of every gradient with finite differences."""
    _, formulas = gradients(network, X, y)
    for parameter, formula in zip(network.parameters(), formulas, strict=True):
        flat = parameter.reshape(-1)  # a view: what changes here changes in the network
        for i in range(min(10, flat.size)):
            flat[i] += h
            up, _ = gradients(network, X, y)
            flat[i] -= 2 * h
            down, _ = gradients(network, X, y)
            flat[i] += h
            assert abs((up - down) / (2 * h) - formula.reshape(-1)[i]) < 1e-7


def deliveries(rng, rows):
    """Distances from 0 to 1, and days: more of them, and less certain, the longer the way."""
    X = rng.uniform(0, 1, (rows, 1))
    return X, 1 + 2 * X[:, 0] + rng.exponential(0.1 + X[:, 0])


def main():
    """Check, train and test; the assertions say what has to come out."""
    device = get_device(*sys.argv[1:2])
    rng = np.random.default_rng(0)
    data = Dataset.from_arrays(*deliveries(rng, 4000), objective="quantile")
    X_test, y_test = deliveries(rng, 4000)

    parts = {"activation": "swish", "objective": "quantile", "dtype": "float64"}
    network = Network.initialize(device, (1, HIDDEN, 1), **parts)
    loader, optimizer = DataLoader(device, data.train, chunk_rows=BATCH), RMSprop()

    X, y, _ = next(loader.epoch(1))
    check_gradients(network, network.prepare(X), y)
    print("the gradient agrees with finite differences")

    for epoch in range(1, EPOCHS + 1):
        total = 0.0
        for X, y, _ in loader.epoch(epoch):
            loss, dW = gradients(network, network.prepare(X), y)
            optimizer.step(network.parameters(), dW, LR)
            total += loss * len(X)  # stays on the device
        if epoch % 10 == 0:
            print(f"epoch {epoch}  loss {float(total) / len(data.train):.3f}")

    below = y_test < predict(network, X_test)[:, 0]
    far = X_test[:, 0] > 0.5
    for name, rows in {"near": ~far, "far": far}.items():
        print(f"{name}: {below[rows].mean():.0%} of new deliveries take less than predicted")
        assert abs(below[rows].mean() - 0.9) < 0.03

    config = Config(
        **parts, hidden=(HIDDEN,), optimizer="rmsprop", batch_size=BATCH, epochs=EPOCHS, lr=LR,
        schedule="constant",
    )  # fmt: skip
    same = train(data, config, device).network
    for ours, theirs in zip(network.parameters(), same.parameters(), strict=True):
        assert abs(ours - theirs).max() < 1e-9
    print("train() ends with the same weights")


if __name__ == "__main__":
    main()
