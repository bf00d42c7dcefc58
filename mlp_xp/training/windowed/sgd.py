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
from mlp_xp.training.windowed.layout import activation_in_place, by_parameter, copy_arrays
from mlp_xp.training.windowed.product import WORTH_SHARING, SharedProduct
from mlp_xp.types import Array, Chunk

WINDOW_ROWS = 64
"""Rows a window: from 48 to 96 the time is the same to 3 %, 32 takes 3 to 7 % more."""

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
    of batches in a window, None for WINDOW_ROWS rows.
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
        self.length = length or max(1, WINDOW_ROWS // batch_size)
        # On a GPU both would have to wait for results.
        on_host = network.device.on_host
        self.only_live = self.skips_dead_inputs and on_host and network.standardization is None
        self.always_shift = self.needs_shift or not on_host or batch_size >= SHIFT_FROM
        self.product = SharedProduct(xp, threads if on_host else 1)
        self.W, *upper = (xp.concatenate([layer.W, layer.b[None]]) for layer in network.layers)
        self.upper = [xp.ascontiguousarray(W.T) for W in upper]
        self.dW = xp.empty_like(self.W)
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
        self._read()
        xp, B = self.xp, min(self.batch_size, len(X))
        rates = [self.rate(lr, B) for lr in lrs]
        if len(X) % B:
            rates[-1] = self.rate(lrs[-1], len(X) % B)
        rate_by_row = xp.repeat(xp.asarray(rates, dtype=self.W.dtype), B)[: len(X)]
        loss_sum = xp.zeros((), dtype="float64")
        whole = len(X) // B  # the last batch may be shorter, and is a window of its own
        first = 0
        while first < len(lrs):
            m = min(self.length, whole - first) or 1
            rows, steps = slice(first * B, (first + m) * B), slice(first, first + m)
            loss_sum += self._window(X[rows], y[rows], rate_by_row[rows], rates[steps], lrs[steps])
            first += m
        self._write(len(lrs))
        return loss_sum

    def _read(self) -> None:
        """Copy the network's weights, as they are now."""
        copy_arrays(self.network.parameters(), by_parameter(self.W, self.upper))

    def _write(self, n_steps: int) -> None:
        """Copy the weights back, after so many steps."""
        copy_arrays(by_parameter(self.W, self.upper), self.network.parameters())
        self.optimizer.steps += n_steps

    def rate(self, lr: float, rows: int) -> float:
        """What -dlogits is multiplied by, so that U is what the updates add."""
        return max(lr / rows, LEAST_RATE)

    def begin(self, buffers: Buffers, XT: Array, W: Array, lrs: Sequence[float]) -> None:
        """Write P into U."""
        self.product(XT.T, W, buffers.U)

    def end(self, buffers: Buffers, XT: Array, W: Array) -> None:
        """Apply the window's updates to W."""
        dW = self.dW[: len(XT)]
        self.product(XT, buffers.U, dW)
        W += dW

    update_above: Callable[[Buffers, float], None] | None = None
    """Takes the step of the layers above the first; None: their weights add dWT."""

    def _window(
        self,
        X: Array,
        y: Array,
        rate_by_row: Array,
        rates: list[float],
        lrs: Sequence[float],
    ) -> Array:
        """The steps of one window, each with its rate; returns the sum of its rows' losses.

        rate_by_row (K,): the rate of each row's step.
        """
        xp, m = self.xp, len(rates)
        B = len(X) // m
        buffers = self.buffers.get((m, B))
        if buffers is None:
            buffers = Buffers(xp, self.W, self.upper, self.n_out, m, B)
            self.buffers[m, B] = buffers
        buffers.targets.fill(0)
        buffers.targets[buffers.rows, y] = rate_by_row
        live, XT = self._inputs(X, buffers)
        buffers.gram(XT)
        W = self.W
        if live is not None:
            # Without a mode, take() would collect into a buffer of its own first.
            W = xp.take(self.W, live, axis=0, out=self.live_W[: len(XT)], mode="clip")
        self.begin(buffers, XT, W, lrs)
        if self.always_shift:
            self._loop(buffers, rates, lrs, shift=True)
            log_sums = xp.log(buffers.sums[:, 0] * rate_by_row)
        else:
            again = partial(self.begin, buffers, XT, W, lrs)
            log_sums = self._loop_on_host(buffers, rates, lrs, rate_by_row, again)
        self.end(buffers, XT, W)
        if live is not None:
            self.W[live] = W
        return log_sums.sum(dtype="float64") - buffers.logits[buffers.rows, y].sum()

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

    def _loop_on_host(
        self,
        buffers: Buffers,
        rates: list[float],
        lrs: Sequence[float],
        rate_by_row: Array,
        begin: Callable[[], None],
    ) -> Array:
        """_loop() without the shift, and, from begin() on, with it if exp() left its range.

        Returns log(sum e) of each row.
        """
        xp = self.xp
        before = [WT.copy() for WT in self.upper]
        with xp.errstate(all="ignore"):
            self._loop(buffers, rates, lrs, shift=False)
            log_sums = xp.log(buffers.sums[:, 0] * rate_by_row)
        if not -SAFE < log_sums.min() <= log_sums.max() < SAFE:  # true of NaN as well
            copy_arrays(before, self.upper)
            begin()
            self._loop(buffers, rates, lrs, shift=True)
            log_sums = xp.log(buffers.sums[:, 0] * rate_by_row)
        return log_sums

    def _loop(
        self, buffers: Buffers, rates: list[float], lrs: Sequence[float], *, shift: bool
    ) -> None:
        """The part that must go batch by batch: Z[j], the layers above, U[j]."""
        xp, symmetric = self.xp, buffers.symmetric
        function, derivative, update_above = self.function, self.derivative, self.update_above
        product = self.product
        # Even a call of product() that shares nothing is too slow for batches of one row.
        shared = any(buffers.B * WT.size >= WORTH_SHARING for WT in self.upper)
        exp, divide, subtract, multiply, add = (
            xp.exp, xp.divide, xp.subtract, xp.multiply, xp.add,
        )  # fmt: skip
        K, few_classes = self.n_out, buffers.few_classes
        # e @ divisor is every row's sum over the rate, K times over: dividing needs no broadcast.
        rate = rates[0]
        divisor = xp.full((K, K) if few_classes else (), 1 / rate, dtype=self.W.dtype)
        for step, rate_j, lr in zip(buffers.steps, rates, lrs, strict=True):
            if rate_j != rate:
                rate = rate_j
                divisor.fill(1 / rate)
            if step.G is None:
                step.Z[...] = step.P
            else:
                step.G.dot(step.U, step.Z)
                if not symmetric:
                    add(step.Z, step.P, step.Z)
            for layer in step.upward:
                function(layer.Z, layer.A)
                derivative(layer.Z, layer.A, layer.slope)
                if shared:
                    product(layer.A_ones, layer.W, layer.out)
                else:
                    layer.A_ones.dot(layer.W, layer.out)
            if shift:
                logits = step.logits
                subtract(logits, logits.max(axis=1, keepdims=True), logits)
            exp(step.logits, step.exp)
            if few_classes:
                step.exp.dot(divisor, step.sums)
            else:
                multiply(step.exp.sum(axis=1, keepdims=True), divisor, step.sums)
            divide(step.exp, step.sums, step.delta)
            subtract(step.targets, step.delta, step.delta)
            for layer in step.downward:
                if shared:
                    product(layer.delta, layer.WT, layer.dA_ones)
                else:
                    layer.delta.dot(layer.WT, layer.dA_ones)
                multiply(layer.dA, layer.slope, layer.delta_below)
                if shared:
                    product(layer.delta_T, layer.A_ones, layer.dWT)
                else:
                    layer.delta_T.dot(layer.A_ones, layer.dWT)
                if update_above is None:
                    add(layer.WT, layer.dWT, layer.WT)
            if update_above is not None:
                update_above(buffers, lr)
