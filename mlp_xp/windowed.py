"""Exact mini-batch SGD with the first layer's updates deferred over a window of batches.

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

Three more things, each measured on 784-128-10 in float32, one core, per step at batch 1 unless it
says otherwise. They leave the results what they are:

- Only *live* inputs take part, those that aren't zero in every row of the window. A dead one adds
  nothing to Z, and its weights' gradient is zero. Of MNIST's 784 inputs 490 are live in 64 rows:
  the products with them take 0.61 of the time.
- exp() of the logits is not shifted by their maximum. Where it left its range, which the sums
  tell, the window is taken again with the shift: 0.8 of the loop's time at batch 32.
- The rate is folded into the divisor, d = rate onehot - e / (sum e / rate), and weights above the
  first layer lie transposed, so that every product writes where its result is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from mlp_xp.errors import InputError
from mlp_xp.functions import Array, scale_inputs
from mlp_xp.threads import WORTH_SHARING, Product, blas_threads

if TYPE_CHECKING:
    from mlp_xp.network import Network

ROWS = 64
"""Rows a window: from 48 to 96 the time is the same to 3 %, 32 takes 3 to 7 % more."""

SYMMETRIC_BELOW = 32
"""Below this batch size G is one product, for which BLAS has a symmetric routine that takes half;
from it on, only the blocks below the diagonal are computed (0.94 of the time at 32)."""

SHIFT_FROM = 64
"""The batch size from which the maximum costs so little that exp() is always shifted by it."""

SAFE = 60.0
"""How far from 0 log(sum e) may be for unshifted exp() to have lost nothing, in float32."""

LEAST_RATE = 1e-30
"""Rates below this are taken for it, so that their inverse is a number in float32: neither moves
a weight."""


class WindowedStepper:
    """Plain SGD on softmax cross-entropy, a window at a time: a steps.Stepper.

    It takes over the network's weights: Network.layers become views of its arrays, so the network
    is up to date whenever a call returns. length is the number of batches a window, None for what
    was measured to be best.
    """

    update_above: Callable[[Buffers, float], None] | None = None
    """Takes the step of the layers above the first; None: they add what the loop computes."""

    def __init__(self, network: Network, batch_size: int, length: int | None = None):
        xp = self.xp = network.xp
        self.network = network
        self.batch_size = batch_size
        self.length = length or max(1, ROWS // batch_size)
        # Both cost a wait for the device that only the host's arrays don't have.
        on_host = network.backend.device == "cpu"
        self.only_live = on_host and network.standardisation is None
        self.product = Product(xp, blas_threads() if on_host else 1)
        self.always_shift = not on_host or batch_size >= SHIFT_FROM
        first, *upper = [xp.concatenate([layer.W, layer.b[None]]) for layer in network.layers]
        self.W = first
        self.upper = [xp.ascontiguousarray(W.T) for W in upper]
        for layer, W in zip(network.layers, [first] + [WT.T for WT in self.upper], strict=True):
            layer.W, layer.b = W[:-1], W[-1]
        self.dW = xp.empty_like(first)
        self.live_W: Array = xp.empty_like(first) if self.only_live else None
        self.first_W = network.layers[0].W
        self.onehot = xp.eye(network.sizes[-1], dtype=network.dtype)
        constants = network.activation.constants
        self.constants = [xp.asarray(value, dtype=network.dtype) for value in constants]
        self.buffers: dict[tuple[int, int], Buffers] = {}

    def __call__(
        self, X: Array, y: Array, weights: None, lrs: Sequence[float], rng: object
    ) -> Array:
        """Take the steps of one segment; see steps.Stepper."""
        if self.network.layers[0].W is not self.first_W:
            raise InputError("another Run has taken over this network since; train in one of them")
        xp, B = self.xp, self.batch_size
        rates = [self.rate(lr, B) for lr in lrs]
        if len(X) % B:
            rates[-1] = self.rate(lrs[-1], len(X) % B)
        by_row = xp.repeat(xp.asarray(rates, dtype=self.W.dtype), B)[: len(X)]
        targets = self.onehot[y] * by_row[:, None]
        loss_sum = xp.zeros((), dtype="float64")
        whole = len(X) // B  # the last batch may be shorter, and is a window of its own
        first = 0
        while first < len(lrs):
            m = min(self.length, whole - first) or 1
            rows = slice(first * B, (first + m) * B)
            steps = slice(first, first + m)
            loss_sum += self._window(
                X[rows], y[rows], targets[rows], by_row[rows], rates[steps], lrs[steps]
            )
            first += m
        return loss_sum

    def rate(self, lr: float, rows: int) -> float:
        """What -dlogits is multiplied with, so that U is what updates add."""
        return max(lr / rows, LEAST_RATE)

    def begin(self, buffers: Buffers, XT: Array, W: Array, lrs: Sequence[float]) -> None:
        """P into U."""
        self.product(XT.T, W, buffers.U)

    def end(self, buffers: Buffers, XT: Array, W: Array) -> None:
        """W as it is after the window's last step."""
        dW = self.dW[: len(XT)]
        self.product(XT, buffers.U, dW)
        W += dW

    def _window(
        self,
        X: Array,
        y: Array,
        targets: Array,
        by_row: Array,
        rates: list[float],
        lrs: Sequence[float],
    ) -> Array:
        """The steps of one window, each with its rate; returns the sum of its rows' losses.

        targets (K, n_out) and by_row (K,): one-hot labels times the rate, and the rate, by row.
        """
        xp, m = self.xp, len(rates)
        B = len(X) // m
        buffers = self.buffers.get((m, B))
        if buffers is None:
            buffers = self.buffers[m, B] = Buffers(self, m, B)
        buffers.targets[...] = targets
        live, XT = self._inputs(X, buffers)
        buffers.gram(XT)
        W = self.W
        if live is not None:
            # Without a mode, take() would gather into a buffer of its own first.
            W = xp.take(self.W, live, axis=0, out=self.live_W[: len(XT)], mode="clip")
        self.begin(buffers, XT, W, lrs)
        if self.always_shift:
            self._loop(buffers, rates, lrs, shift=True)
            log_sums = xp.log(buffers.sums[:, 0] * by_row)
        else:
            again = partial(self.begin, buffers, XT, W, lrs)
            log_sums = self._loop_on_host(buffers, rates, lrs, by_row, again)
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
        xp.any(X, axis=0, out=buffers.seen[:-1])
        live = xp.nonzero(buffers.seen)[0]
        XT = buffers.XT[: len(live)]
        scale_inputs(xp, X.T[live[:-1]], self.W.dtype, out=XT[:-1])
        XT[-1] = 1
        return live, XT

    def _loop_on_host(
        self,
        buffers: Buffers,
        rates: list[float],
        lrs: Sequence[float],
        by_row: Array,
        begin: Callable[[], None],
    ) -> Array:
        """_loop() without the shift, and, from begin() on, with it if exp() left its range.

        Returns log(sum e) of each row.
        """
        xp = self.xp
        kept = [WT.copy() for WT in self.upper]
        with xp.errstate(all="ignore"):
            self._loop(buffers, rates, lrs, shift=False)
            log_sums = xp.log(buffers.sums[:, 0] * by_row)
        if not -SAFE < log_sums.min() <= log_sums.max() < SAFE:  # true of NaN as well
            for WT, before in zip(self.upper, kept, strict=True):
                WT[...] = before
            begin()
            self._loop(buffers, rates, lrs, shift=True)
            log_sums = xp.log(buffers.sums[:, 0] * by_row)
        return log_sums

    def _loop(
        self, buffers: Buffers, rates: list[float], lrs: Sequence[float], *, shift: bool
    ) -> None:
        """The part that must go batch by batch: Z[j], the layers above, U[j]."""
        xp, symmetric, constants = self.xp, buffers.symmetric, self.constants
        update_above, product = self.update_above, self.product
        # A call of product() that shares nothing is one more than batches of one row can bear.
        shared = any(buffers.B * WT.size >= WORTH_SHARING for WT in self.upper)
        function, derivative = self.network.activation.function, self.network.activation.derivative
        exp, divide, subtract, multiply, add = (
            xp.exp, xp.divide, xp.subtract, xp.multiply, xp.add,
        )  # fmt: skip
        K = len(self.onehot)
        # e @ divisor is every row's sum over the rate, K times over: dividing needs no broadcast.
        rate, divisor = rates[0], xp.full((K, K), 1 / rates[0], dtype=self.W.dtype)
        for (g, u, P, Z0, up, logits, e, sums, target, d, down), rate_j, lr in zip(
            buffers.steps, rates, lrs, strict=True
        ):
            if rate_j != rate:
                rate = rate_j
                divisor.fill(1 / rate)
            if g is None:
                Z0[...] = P
            else:
                g.dot(u, Z0)
                if not symmetric:
                    add(Z0, P, Z0)
            for Z, A, A_ones, slope, W, out in up:
                function(xp, Z, A, *constants)
                derivative(xp, Z, A, slope)
                if shared:
                    product(A_ones, W, out)
                else:
                    A_ones.dot(W, out)
            if shift:
                subtract(logits, logits.max(axis=1, keepdims=True), logits)
            exp(logits, e)
            e.dot(divisor, sums)
            divide(e, sums, d)
            subtract(target, d, d)
            for d_out, d_out_T, WT, back, back_A, slope, d_in, A_ones, dWT in down:
                if shared:
                    product(d_out, WT, back)
                else:
                    d_out.dot(WT, back)
                multiply(back_A, slope, d_in)
                if shared:
                    product(d_out_T, A_ones, dWT)
                else:
                    d_out_T.dot(A_ones, dWT)
                if update_above is None:
                    add(WT, dWT, WT)
            if update_above is not None:
                update_above(buffers, lr)


class Buffers:
    """The arrays that a window of m batches of B rows needs, and each step's views of them."""

    def __init__(self, stepper: WindowedStepper, m: int, B: int):
        xp, W, upper, K = stepper.xp, stepper.W, stepper.upper, m * B

        def empty(*shape: int) -> Array:
            return xp.empty(shape, dtype=W.dtype)

        n_out = len(stepper.onehot)
        self.m, self.B = m, B
        self.symmetric = B < SYMMETRIC_BELOW
        self.XT = xp.ones((len(W), K), dtype=W.dtype)  # transposed: a row for each input
        self.seen = xp.ones(len(W), dtype=bool)  # which inputs are live; the bias always is
        self.G = [empty(K, K)] if self.symmetric else [empty(B, j * B) for j in range(m)]
        self.U = empty(K, W.shape[1])
        self.logits, self.targets = empty(K, n_out), empty(K, n_out)
        self.e, self.sums = empty(K, n_out), empty(K, n_out)
        self.rows, self.block = xp.arange(K), xp.arange(m)
        self.identity = xp.eye(B, dtype=W.dtype)
        # Each layer above the first: its input's Z and A, A with a column of ones, the slope;
        # the gradients of that A and of its own weights.
        layers = []
        for WT in upper:
            A_ones = xp.ones((B, WT.shape[1]), dtype=W.dtype)
            Z, slope = empty(B, WT.shape[1] - 1), empty(B, WT.shape[1] - 1)
            layers.append(
                (Z, A_ones[:, :-1], A_ones, slope, empty(*A_ones.shape), empty(*WT.shape))
            )
        Zs = [layer[0] for layer in layers]
        self.dWTs = [layer[5] for layer in layers]
        self.steps = []
        for j in range(m):
            rows = slice(j * B, (j + 1) * B)
            P, logits = self.U[rows], self.logits[rows]
            outputs = [*Zs, logits]
            deltas = [P, *Zs[1:], empty(B, n_out)] if layers else [P]
            up = [
                (Z, A, A_ones, slope, WT.T, out)
                for WT, (Z, A, A_ones, slope, _, _), out in zip(
                    upper, layers, outputs[1:], strict=True
                )
            ]
            down = [
                (d, d.T, WT, back, back[:, :-1], slope, d_in, A_ones, dWT)
                for WT, (_, _, A_ones, slope, back, dWT), d_in, d in zip(
                    upper, layers, deltas[:-1], deltas[1:], strict=True
                )
            ]
            g = self.G[0][rows, : rows.stop] if self.symmetric else self.G[j]
            u = self.U[: rows.stop if self.symmetric else rows.start]
            self.steps.append(
                (g if j else None, u, P, outputs[0], up, logits, self.e[rows], self.sums[rows],
                 self.targets[rows], deltas[-1], down[::-1])
            )  # fmt: skip

    def gram(self, XT: Array) -> None:
        """G of these inputs, (live inputs, K): its blocks below the diagonal are what counts."""
        if self.m == 1:
            return
        if self.symmetric:
            (G,) = self.G
            XT.T.dot(XT, G)
            blocks = G.reshape(self.m, self.B, self.m, self.B)
            blocks[self.block, :, self.block] = self.identity
        else:
            for j in range(1, self.m):
                rows = slice(j * self.B, (j + 1) * self.B)
                XT[:, rows].T.dot(XT[:, : rows.start], self.G[j])
