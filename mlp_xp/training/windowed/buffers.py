"""The arrays of a window, allocated once, and named views of them for each step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlp_xp.devices import Device
from mlp_xp.types import Array

SYMMETRIC_BELOW = 32
"""Below this batch size G is one product, for which BLAS has a symmetric routine in half the time;
from it on, only the blocks below the diagonal are computed (0.94 of the time at 32)."""


MANY_CLASSES = 128
"""Classes from which each row's sum is taken by sum(): multiplying by a K x K matrix of ones is
quicker for a few classes, as its result needs no broadcast, but costs K^2."""


@dataclass(slots=True)
class LayerViews:
    """What a step needs of one layer above the first: its weights WT (n_out, n_in + 1), and W.

    Z, A (B, n_in): output and activation of the layer below; A_ones: A with a column of ones;
    slope: the activation's derivative; out (B, n_out): this layer's output. delta (B, n_out) and
    delta_below (B, n_in): the loss's gradients in the two outputs, times -rate; dA_ones, whose
    part dA belongs to A: that in A_ones. dWT: what the step adds to WT.
    """

    W: Array
    WT: Array
    Z: Array
    A: Array
    A_ones: Array
    slope: Array
    out: Array
    delta: Array
    delta_T: Array
    delta_below: Array
    dA: Array
    dA_ones: Array
    dWT: Array


@dataclass(slots=True)
class StepViews:
    """What step j of a window needs; see the derivation in sgd.py.

    G, U: the factors of Z[j], G None for the first step, whose Z is P. P (B, n): the step's rows of
    U, which hold P[j] and then its delta. Z (B, n): the first layer's output. logits, exp, targets,
    delta (B, n_out), sums (B, n_out) or, for many classes, (B, 1): of the output layer. divisor:
    1 / rate, (n_out, n_out) or, for many classes, (1, 1). upward, downward: the layers above the
    first, from the input to the output and back.
    """

    G: Array | None
    U: Array
    P: Array
    Z: Array
    upward: list[LayerViews]
    downward: list[LayerViews]
    logits: Array
    exp: Array
    sums: Array
    divisor: Array
    targets: Array
    delta: Array


class Buffers:
    """The arrays that a window of m batches of B rows needs, and `steps`, the views of each step.

    W (n_in + 1, n): the first layer's weights, with the bias as the last row; upper: the weights
    of the layers above it, transposed, (n_out, n_in + 1). in_P: whether Z may take P's place, where
    a product can add to it.
    """

    def __init__(
        self, device: Device, W: Array, upper: Sequence[Array], n_out: int, m: int, B: int,
        *, in_P: bool,
    ):  # fmt: skip
        xp = self.xp = device.xp
        self.product, self.m, self.B = device.product, m, B
        K = m * B

        def empty(*shape: int) -> Array:
            return xp.empty(shape, dtype=W.dtype)

        self.symmetric = B < SYMMETRIC_BELOW
        self.XT = xp.ones((len(W), K), dtype=W.dtype)  # transposed: a row for each input
        self.live = xp.ones(len(W), dtype=bool)  # whether each input is live; the bias always is
        self.G = [empty(K, K)] if self.symmetric else [empty(B, j * B) for j in range(m)]
        if self.symmetric:
            self.identity, self.blocks = xp.eye(B, dtype=W.dtype), xp.arange(m)
        self.U = empty(K, W.shape[1])
        self.logits, self.targets = empty(K, n_out), empty(K, n_out)
        self.few_classes = n_out < MANY_CLASSES
        self.exp, self.sums = empty(K, n_out), empty(K, n_out if self.few_classes else 1)
        self.divisors = empty(m, *((n_out, n_out) if self.few_classes else (1, 1)))
        self.rates = empty(K)  # of each row's step
        self.first, self.places = (xp.arange(0, K * n_out, n_out) for _ in range(2))
        self.upper, self.dWTs = upper, [empty(*WT.shape) for WT in upper]
        self.Z, self.slope = ([empty(B, WT.shape[1] - 1) for WT in upper] for _ in range(2))
        self.A_ones = [xp.ones((B, WT.shape[1]), dtype=W.dtype) for WT in upper]
        self.dA_ones = [empty(B, WT.shape[1]) for WT in upper]
        self.delta = empty(B, n_out)
        self.in_P = in_P and not self.symmetric
        self.steps = [self._step(j) for j in range(m)]

    def _step(self, j: int) -> StepViews:
        rows = slice(j * self.B, (j + 1) * self.B)
        P, logits = self.U[rows], self.logits[rows]
        outputs = [*self.Z, logits]
        if self.in_P and self.Z:
            outputs[0] = P
        # A hidden layer's delta takes the place of its Z, which is no longer needed by then.
        deltas = [P, *self.Z[1:], self.delta] if self.upper else [P]
        layers = [
            LayerViews(
                W=WT.T, WT=WT, Z=Z, A=A_ones[:, :-1], A_ones=A_ones, slope=slope,
                out=outputs[i + 1], delta=deltas[i + 1], delta_T=deltas[i + 1].T,
                delta_below=deltas[i], dA=dA_ones[:, :-1], dA_ones=dA_ones, dWT=dWT,
            )
            for i, (WT, Z, A_ones, slope, dA_ones, dWT) in enumerate(zip(
                self.upper, outputs, self.A_ones, self.slope, self.dA_ones, self.dWTs, strict=False,
            ))
        ]  # fmt: skip
        G = self.G[0][rows, : rows.stop] if self.symmetric else self.G[j]
        U = self.U[: rows.stop if self.symmetric else rows.start]
        return StepViews(
            G=G if j else None, U=U, P=P, Z=outputs[0], upward=layers, downward=layers[::-1],
            logits=logits, exp=self.exp[rows], sums=self.sums[rows], divisor=self.divisors[j],
            targets=self.targets[rows], delta=deltas[-1],
        )  # fmt: skip

    def start(self, y: Array, rates: Array) -> None:
        """Take the labels y (K,) and the rate of each step (m,): targets, divisors, rates."""
        xp = self.xp
        self.rates.reshape(self.m, self.B)[...] = rates[:, None]
        xp.divide(1, rates[:, None, None], out=self.divisors)
        self.targets.fill(0)
        # CuPy takes a pair of index arrays in four calls, a single one in one.
        xp.add(self.first, y, out=self.places)
        self.targets.reshape(-1)[self.places] = self.rates

    def log_sums(self) -> Array:
        """log(sum e) of each row, (K,), after the loop."""
        return self.xp.log(self.sums[:, 0] * self.rates)

    def loss_sum(self, log_sums: Array) -> Array:
        """The sum of the rows' losses, each log(sum e) less its label's logit: float64, ()."""
        return log_sums.sum(dtype="float64") - self.logits.reshape(-1)[self.places].sum()

    def gram(self, XT: Array) -> None:
        """Compute G from these inputs, (live inputs, K); blocks above the diagonal aren't used."""
        if self.m == 1:
            return
        if self.symmetric:
            (G,) = self.G
            self.product(XT.T, XT, G)
            blocks = G.reshape(self.m, self.B, self.m, self.B)
            blocks[self.blocks, :, self.blocks] = self.identity
        else:
            for j in range(1, self.m):
                rows = slice(j * self.B, (j + 1) * self.B)
                self.product(XT[:, rows].T, XT[:, : rows.start], self.G[j])
