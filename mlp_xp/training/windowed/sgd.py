"""Stands in for training/step.py with plain SGD: the same updates, the first layer's deferred.

Plain SGD reads and rewrites the first layer's whole weight matrix for every batch; with batches of
one row that is nearly all of the time. But the layer's inputs are known in advance. Take a window
of m batches of B rows, X in all, and let U[i] = -(lr/B) dZ[i] be what batch i's scaled delta adds.
Before batch j the weights are W + sum_{i<j} X[i]^T U[i], and so

    Z[j] = X[j] W + sum_{i<j} (X[j] X[i]^T) U[i]

where X has a last column of ones and W the bias as its last row. The window begins with two
matrix products, P = X W and the Gram matrix G = X X^T. P is written into U and G's diagonal blocks
become the identity, so that Z[j] = G[j, :j+1] U[:j+1] is one small product: U[j] still holds P[j].
The layers above take their ordinary step, U[j] receives batch j's delta, and the window ends with
W += X^T U. Nothing is approximated, only sums are added up in another order: with m = 1 it is the
ordinary step.

Three more things, which don't change the results. They were measured on 784-128-10 in float32, one
core, at batch 1 unless it says otherwise:

- Only *live* inputs take part, those that aren't zero in every row of the window. A dead one adds
  nothing to Z, and its weights' gradient is zero. Of MNIST's 784 inputs 490 are live in 64 rows:
  the products with them take 0.61 of the time.
- exp() of the logits is not shifted by their maximum. Where it left its range, which the sums
  show, the window is computed again with the shift: 0.8 of the loop's time at batch 32.
- The rate is folded into the divisor, d = rate onehot - e / (sum e / rate), and weights above the
  first layer lie transposed, so that every product writes where its result is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial

from mlp_xp.devices.blas import one_blas_thread
from mlp_xp.nn.inputs import scale_inputs
from mlp_xp.nn.network import Network
from mlp_xp.nn.optimizers import SGD
from mlp_xp.training.windowed.buffers import Buffers
from mlp_xp.training.windowed.layout import activation_in_place, by_parameter, copy_arrays, windows
from mlp_xp.training.windowed.product import WORTH_SHARING, SharedProduct
from mlp_xp.types import Array, Arrays, Chunk, HostArray

WINDOW_ROWS = 64
"""Rows a window: from 48 to 96 the time is the same to 3 %, 32 takes 3 to 7 % more."""

DEVICE_ROWS, DEVICE_BATCHES = 1024, 256
"""On a GPU, rows of a window, and the most batches: guesses, measured on none."""

SHIFT_FROM = 64
"""The batch size from which the maximum costs so little that exp() is always shifted by it."""

SAFE = 60.0
"""How far from 0 log(sum e) may be for unshifted exp() to have lost nothing, in float32."""

LEAST_RATE = 1e-30
"""Smaller rates are raised to this, so that their inverse is finite in float32; neither moves a
weight."""


class WindowedSGD:
    """Plain SGD on softmax cross-entropy, a window at a time: a TrainStep.

    It works on copies of the weights in a layout of its own, made when a chunk starts and written
    back when it ends (12 us each way at 784 x 128, where the chunk takes 10,000 or more): the
    network is up to date whenever a call returns, and unchanged if one fails. length is the number
    of batches in a window, None for what suits the device.
    """

    skips_dead_inputs = True
    """Whether an update leaves the weights of dead inputs unchanged."""
    needs_shift = False
    """Whether a window can't be computed twice, as it may have to be without the shift."""

    def __init__(
        self,
        network: Network,
        optimizer: SGD,
        batch_size: int,
        length: int | None = None,
        threads: int = 1,
    ):
        xp = self.xp = network.xp
        self.network, self.optimizer = network, optimizer
        self.batch_size = batch_size
        on_host = network.device.on_host
        rows, most = (WINDOW_ROWS, WINDOW_ROWS) if on_host else (DEVICE_ROWS, DEVICE_BATCHES)
        self.length = length or min(max(1, rows // batch_size), most)
        # On a GPU both would have to wait for results.
        self.only_live = self.skips_dead_inputs and on_host and network.standardization is None
        self.always_shift = self.needs_shift or not on_host or batch_size >= SHIFT_FROM
        shared = SharedProduct(xp, threads) if on_host else None
        self.product: Callable[..., object] = shared or network.device.product
        self.W, *upper = (xp.concatenate([layer.W, layer.b[None]]) for layer in network.layers)
        self.upper = [xp.ascontiguousarray(W.T) for W in upper]
        self.dW = xp.empty_like(self.W)
        # A GPU adds to a matrix in its product; NumPy has none that does.
        self.adds_in_product = not on_host
        self.live_W: Array = xp.empty_like(self.W) if self.only_live else None
        self.n_out = network.sizes[-1]
        in_place = activation_in_place(network.activation, xp, network.dtype)
        self.function, self.derivative = in_place
        self.buffers: dict[tuple[int, int], Buffers] = {}

    def running(self) -> AbstractContextManager[None]:
        """One BLAS thread: SharedProduct splits what is large."""
        return one_blas_thread()

    def __call__(self, chunk: Chunk, lrs: Sequence[float], rng: object) -> Array:
        """Take the steps of one chunk, which has no weights; see TrainStep. rng isn't used."""
        X, y, _ = chunk
        self.read()
        loss_sum = self.xp.zeros((), dtype="float64")
        for rows, steps in windows(len(X), self.batch_size, self.length):
            numbers = self.numbers(lrs[steps], rows.stop - rows.start)
            numbers = self.xp.asarray(numbers, self.W.dtype)
            loss_sum += self.window((X[rows], y[rows], None), None, numbers)
        self.write(len(lrs))
        return loss_sum

    def read(self) -> None:
        """Copy the network's weights, as they are now."""
        copy_arrays(self.network.parameters(), by_parameter(self.W, self.upper))

    def write(self, n_steps: int) -> None:
        """Copy the weights back, after so many steps."""
        copy_arrays(by_parameter(self.W, self.upper), self.network.parameters())
        self.optimizer.steps += n_steps

    def state(self) -> Arrays:
        """The copies: all that a window changes."""
        return [self.W, *self.upper]

    def numbers(self, lrs: Sequence[float], rows: int) -> Sequence[float] | HostArray:
        """What a window of so many rows needs to know of its steps' learning rates.

        The first m are what each step's -dlogits is multiplied by, so that U is what the updates
        add. window() takes them as an array on the device, in the network's dtype.
        """
        B = rows // len(lrs)
        return [max(lr / B, LEAST_RATE) for lr in lrs]

    def begin(self, buffers: Buffers, XT: Array, W: Array, numbers: Array) -> None:
        """Write P into U."""
        self.product(XT.T, W, buffers.U)

    def end(self, buffers: Buffers, XT: Array, W: Array, numbers: Array) -> None:
        """Apply the window's updates to W."""
        if self.adds_in_product:
            self.product(XT, buffers.U, W, add=True)
            return
        dW = self.dW[: len(XT)]
        self.product(XT, buffers.U, dW)
        W += dW

    update_above: Callable[[Buffers, Array], None] | None = None
    """Takes the step of the layers above the first; None: their weights add dWT."""

    def window(self, chunk: Chunk, masks: Arrays | None, numbers: Array) -> Array:
        """The steps of one window of rows X (K, n) with labels y (K,); see numbers().

        Returns the sum of its rows' losses: float64, shape ().
        """
        X, y, _ = chunk
        xp, m = self.xp, self.n_steps(numbers)
        buffers = self.buffers.get((m, len(X)))
        if buffers is None:
            device, B = self.network.device, len(X) // m
            buffers = Buffers(
                device, self.W, self.upper, self.n_out, m, B, in_P=self.adds_in_product
            )
            self.buffers[m, len(X)] = buffers
        buffers.start(y, numbers[:m])
        live, XT = self._inputs(X, buffers)
        buffers.gram(XT)
        W = self.W
        if live is not None:
            # Without a mode, take() would collect into a buffer of its own first.
            W = xp.take(self.W, live, axis=0, out=self.live_W[: len(XT)], mode="clip")
        self.begin(buffers, XT, W, numbers)
        if self.always_shift:
            self._loop(buffers, numbers, shift=True)
            log_sums = buffers.log_sums()
        else:
            again = partial(self.begin, buffers, XT, W, numbers)
            log_sums = self._loop_on_host(buffers, numbers, again)
        self.end(buffers, XT, W, numbers)
        if live is not None:
            self.W[live] = W
        return buffers.loss_sum(log_sums)

    def lrs(self, numbers: Array) -> Array:
        """What update_above() takes in each step, (m,)."""
        return numbers

    def n_steps(self, numbers: Array) -> int:
        """The number of steps m that these numbers are of."""
        return len(numbers)

    def _inputs(self, X: Array, buffers: Buffers) -> tuple[Array | None, Array]:
        """Which rows of W take part, None for all, and the inputs with a last row of ones, X^T."""
        xp = self.xp
        if not self.only_live:
            buffers.XT[:-1] = self.network.prepare(X).T
            return None, buffers.XT
        xp.any(X, axis=0, out=buffers.live[:-1])
        live = xp.nonzero(buffers.live)[0]
        XT = buffers.XT[: len(live)]
        divisor = self.network.input_scale
        scale_inputs(xp, X.T[live[:-1]], self.W.dtype, divisor, out=XT[:-1])
        XT[-1] = 1
        return live, XT

    def _loop_on_host(self, buffers: Buffers, numbers: Array, begin: Callable[[], None]) -> Array:
        """_loop() without the shift, and, from begin() on, with it if exp() left its range.

        Returns log(sum e) of each row.
        """
        xp = self.xp
        before = [WT.copy() for WT in self.upper]
        with xp.errstate(all="ignore"):
            self._loop(buffers, numbers, shift=False)
            log_sums = buffers.log_sums()
        if not -SAFE < log_sums.min() <= log_sums.max() < SAFE:  # true of NaN as well
            copy_arrays(before, self.upper)
            begin()
            self._loop(buffers, numbers, shift=True)
            log_sums = buffers.log_sums()
        return log_sums

    def _loop(self, buffers: Buffers, numbers: Array, *, shift: bool) -> None:
        """The part that must go batch by batch: Z[j], the layers above, U[j]."""
        xp = self.xp
        function, derivative, update_above = self.function, self.derivative, self.update_above
        in_product = self.adds_in_product
        adds_to_P = in_product and not buffers.symmetric
        # Even a call of product() that shares nothing is too slow for batches of one row.
        shared = any(buffers.B * WT.size >= WORTH_SHARING for WT in self.upper)
        product: Callable[..., object] = self.product if shared or in_product else _product
        exp, divide, subtract, multiply, add = (
            xp.exp, xp.divide, xp.subtract, xp.multiply, xp.add,
        )  # fmt: skip
        for step, lr in zip(buffers.steps, self.lrs(numbers), strict=True):
            if (step.G is None or adds_to_P) and step.Z is not step.P:
                step.Z[...] = step.P
            if step.G is not None and adds_to_P:
                product(step.G, step.U, step.Z, add=True)
            elif step.G is not None:
                product(step.G, step.U, step.Z)
                if not buffers.symmetric:
                    add(step.Z, step.P, step.Z)
            for layer in step.upward:
                function(layer.Z, layer.A)
                derivative(layer.Z, layer.A, layer.slope)
                product(layer.A_ones, layer.W, layer.out)
            if shift:
                logits = step.logits
                subtract(logits, logits.max(axis=1, keepdims=True), logits)
            exp(step.logits, step.exp)
            # e @ divisor is every row's sum over the rate, K times over: no need to broadcast.
            if buffers.few_classes:
                product(step.exp, step.divisor, step.sums)
            else:
                multiply(step.exp.sum(axis=1, keepdims=True), step.divisor, step.sums)
            divide(step.exp, step.sums, step.delta)
            subtract(step.targets, step.delta, step.delta)
            for layer in step.downward:
                product(layer.delta, layer.WT, layer.dA_ones)
                multiply(layer.dA, layer.slope, layer.delta_below)
                if in_product and update_above is None:
                    product(layer.delta_T, layer.A_ones, layer.WT, add=True)
                    continue
                product(layer.delta_T, layer.A_ones, layer.dWT)
                if update_above is None:
                    add(layer.WT, layer.dWT, layer.WT)
            if update_above is not None:
                update_above(buffers, lr)


def _product(a: Array, b: Array, out: Array) -> None:
    """out = a b."""
    a.dot(b, out)
