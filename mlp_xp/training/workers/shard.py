"""One worker's part of a step: its columns of one layer, its rows of the next.

Layers are taken in pairs. A worker has some columns of the first one's W, so it computes some of
its units without having the others, and the rows of the second one's W, V, that those units are
multiplied by:

    A' = f(A W[:, own] + b[own]),    Z = sum over workers of A' V[own, :], + the bias, once

So a pair needs one sum over the workers; and its gradients, of W[:, own] and V[own, :], follow from
dZ without another. Only dA = sum over workers of dA' W[:, own]^T is one, which the lowest pair
doesn't need: with one or two hidden layers the workers wait for each other once a step.
                                                     Shoeybi et al. 2019 (Megatron-LM), section 3
The last of an odd number of layers has no partner, and every worker computes all of it.

Sums are taken in the same order everywhere, so all workers have the same bits, whatever the timing.
With one worker this is the step of training/step.py itself, with every array made once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlp_xp.data.loader import chunk_bounds
from mlp_xp.nn.losses import Objective
from mlp_xp.nn.network import Dense, Network
from mlp_xp.nn.optimizers import Optimizer, clip_gradients
from mlp_xp.training.config import Config
from mlp_xp.training.windowed.layout import activation_in_place
from mlp_xp.training.workers.losses import chunk_loss
from mlp_xp.training.workers.parts import Part, cut, parts
from mlp_xp.training.workers.team import SharedTeam
from mlp_xp.types import Array, Arrays, Chunk

BLOCK = 1 << 15
"""Weights that the optimizer changes at a time: the blocks of all its arrays fit into a cache."""
PREPARED_BYTES = 1 << 20
"""Bytes of rows that are prepared at a time: enough to make calls and waits few, little enough to
stay in a core's cache."""


@dataclass(slots=True)
class LayerViews:
    """What a step of b rows needs of one layer's part; n_in and n_out are the part's.

    W (n_in + 1, n_out), its biases the last row, and gradient; WT (n_out, n_in), without the
    biases. inputs (b, n_in + 1), the last column for the biases; dA (b, n_in): the loss's gradient
    in them. Of the hidden layer whose outputs these are: A in inputs, without that column, and
    slope, f'(Z), both (b, n_in). addends: for even and odd steps, every worker's part of Z or dA.
    """

    part: Part
    W: Array
    WT: Array
    gradient: Array
    inputs: Array
    A: Array
    slope: Array
    dA: Array
    Z: Array
    addends: list[list[Array]]


class Shard:
    """The part of a training's steps that one worker of a team computes, on the network's device.

    network: for its layers' sizes, its activation and how it prepares rows. flats: each worker's
    weights, and what the optimizer keeps for them, (1 + slots, n): that is what changes. longest:
    rows of the longest batch.
    """

    def __init__(
        self,
        network: Network,
        objective: Objective,
        optimizer: Optimizer,
        config: Config,
        team: SharedTeam,
        longest: int,
        *,
        weighted: bool,
    ):
        self.network, self.optimizer = network, optimizer
        xp, self.product = network.xp, network.device.product
        self.batch_size, self.dropout, self.clip_norm = (
            config.batch_size, config.dropout, config.clip_norm
        )  # fmt: skip
        self.team, dtype = team, network.dtype
        self.loss = chunk_loss(network, objective, weighted=weighted)
        self.parts = [parts(network.sizes, rank, team.size) for rank in range(team.size)]
        self.own_parts = self.parts[team.rank]
        n_arrays = 1 + len(optimizer.slots)
        self.flats = [
            team.allocate((n_arrays, sum(part.size for part in mine)), dtype) for mine in self.parts
        ]
        flat = self.flats[team.rank]
        gradient = xp.zeros_like(flat[0])
        n = flat.shape[1]
        block = BLOCK if network.device.on_host else n
        self.blocks = [
            (flat[0, i : i + block], gradient[i : i + block], [a[i : i + block] for a in flat[1:]])
            for i in range(0, n, block)
        ]
        self.gradient = gradient
        self.function, self.derivative = activation_in_place(network.activation, xp, dtype)
        self.longest = longest
        width = network.sizes[0] + 1
        self.group = max(1, PREPARED_BYTES // (longest * width * dtype.itemsize))
        self.inputs = team.allocate((self.group * longest, width), dtype)
        self.inputs[:, -1] = 1
        self.addends = [self._addends(i) for i in range(len(self.own_parts))]
        self.views: dict[int, list[LayerViews]] = {}

    def _addends(self, i: int) -> Array | None:
        """Common memory (2, workers, batch size, n) for what workers add up at layer i, if any."""
        part = self.own_parts[i]
        whole = not part.is_summed and i + 1 == len(self.own_parts)
        if whole or i == 0:
            return None
        n = part.n_out if part.is_summed else part.n_in
        return self.team.allocate((2, self.team.size, self.longest, n), self.network.dtype)

    def _views(self, b: int) -> list[LayerViews]:
        """The views of each layer for steps of b rows."""
        xp, dtype, team = self.network.xp, self.network.dtype, self.team
        made: list[LayerViews] = []
        weights = cut(self.flats[team.rank][0], self.own_parts)
        gradients = cut(self.gradient, self.own_parts)
        layers = zip(self.own_parts, weights, gradients, self.addends, strict=True)
        for part, W, gradient, common in layers:
            n = part.n_in if made else 0  # the first one's inputs are the rows
            inputs = xp.full((b, n + 1), part.has_bias, dtype)
            slope, dA = (xp.empty((b, n), dtype) for _ in range(2))
            addends = [] if common is None else [[a[:b] for a in half] for half in common]
            made.append(
                LayerViews(
                    part=part, W=W, WT=W[:-1].T, gradient=gradient, inputs=inputs,
                    A=inputs[:, :-1], slope=slope, dA=dA, Z=xp.empty((b, part.n_out), dtype),
                    addends=addends,
                )
            )  # fmt: skip
        return made

    def __call__(self, chunk: Chunk, lrs: Sequence[float], rng: np.random.Generator) -> Array:
        """Take the steps of a chunk; see TrainStep. Every worker returns the same."""
        X = chunk[0]
        self.loss.begin(chunk, self.batch_size)
        batches = [slice(*bounds) for bounds in chunk_bounds(len(X), self.batch_size)]
        for k, (rows, lr) in enumerate(zip(batches, lrs, strict=True)):
            if k % self.group == 0:
                first = rows.start
                self._prepare(X[first : first + self.group * self.batch_size])
            inputs = self.inputs[rows.start - first : rows.stop - first]
            self.optimizer.steps += 1
            self._step(inputs, rows, self._masks(rng, len(inputs)), self.optimizer.rates(lr), k % 2)
        return self.loss.end()

    def step(self, batch: Chunk, masks: Arrays | None, rates: Any) -> Array:
        """A single step of a worker alone; rates: the optimizer's. Returns the sum of losses."""
        n_rows = len(batch[0])
        inputs = self.inputs[:n_rows]
        self.network.prepare(batch[0], out=inputs[:, :-1])
        self.loss.begin(batch, n_rows)
        self._step(inputs, slice(0, n_rows), masks, rates, 0)
        return self.loss.end()

    def _step(
        self, inputs: Array, rows: slice, masks: Arrays | None, rates: Any, parity: int
    ) -> None:
        """Forward, backward, update; rows: where the batch lies in the chunk."""
        b = len(inputs)
        if b not in self.views:
            self.views[b] = self._views(b)
        layers = self.views[b]
        layers[0].inputs = inputs
        logits = self._forward(layers, masks, parity)
        self._backward(layers, self.loss.gradient(logits, rows), parity)
        if self.clip_norm is not None:
            clip_gradients(self.network.xp, [self.gradient], self.clip_norm)
        for parameter, gradient, slots in self.blocks:
            self.optimizer.update_one(parameter, gradient, rates, *slots)

    def _prepare(self, X: Array) -> None:
        """Prepare these rows in place of those before; each worker takes a share, for all."""
        self.team.barrier()  # the others have done with those
        rows = self.team.share(len(X))
        if rows.start < rows.stop:
            self.network.prepare(X[rows], out=self.inputs[rows, :-1])
        self.team.barrier()

    def _masks(self, rng: np.random.Generator, b: int) -> Arrays | None:
        """The dropout masks of the units that are inputs of each layer but the first, here."""
        if not self.dropout:
            return None
        masks = self.network.dropout_masks(rng, b, self.dropout)
        return [mask[:, part.rows] for mask, part in zip(masks, self.own_parts[1:], strict=True)]

    def _forward(self, layers: list[LayerViews], masks: Arrays | None, parity: int) -> Array:
        """The logits, (b, n_out); leaves in each layer what _backward() needs."""
        team, Z = self.team, layers[0].Z
        for i, layer in enumerate(layers):
            if i:
                self.function(Z, layer.A)
                self.derivative(Z, layer.A, layer.slope)
                if masks is not None:
                    layer.A *= masks[i - 1]
                    layer.slope *= masks[i - 1]
            if layer.part.is_summed:
                addends = layer.addends[parity]
                self.product(layer.inputs, layer.W, addends[team.rank])
                Z = team.sum(addends, layer.Z)
            else:
                Z = self.product(layer.inputs, layer.W, layer.Z)
        return Z

    def _backward(self, layers: list[LayerViews], dZ: Array, parity: int) -> None:
        """Every gradient, from dZ = d loss / d logits."""
        team = self.team
        for i in reversed(range(len(layers))):
            layer = layers[i]
            self.product(layer.inputs.T, dZ, layer.gradient)
            if i and layer.addends and not layer.part.is_summed:
                addends = layer.addends[parity]
                self.product(dZ, layer.WT, addends[team.rank])
                dA = team.sum(addends, layer.dA)
            elif i:
                dA = self.product(dZ, layer.WT, layer.dA)
            if i:
                dZ = self.network.xp.multiply(dA, layer.slope, layer.dA)

    def copy(self, network: Network, optimizer: Optimizer, *, back: bool) -> None:
        """Copy weights and state, of all workers, from the network's arrays or back to them."""
        kinds = [network.parameters(), *optimizer.state.values()]
        for flats, mine in zip(self.flats, self.parts, strict=True):
            for arrays, flat in zip(kinds, flats, strict=True):
                layers = [Dense(W, b) for W, b in zip(arrays[::2], arrays[1::2], strict=True)]
                for part, own, layer in zip(mine, cut(flat, mine), layers, strict=True):
                    for here, there in part.pairs(own, layer):
                        source, target = (here, there) if back else (there, here)
                        target[...] = source
