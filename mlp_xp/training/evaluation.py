"""Evaluation and prediction with a trained network."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from queue import SimpleQueue

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlp_xp.data import Split
from mlp_xp.data.checks import as_array, as_numbers, check_finite, check_targets
from mlp_xp.devices.blas import default_threads, one_blas_thread
from mlp_xp.errors import DivergenceError, InputError
from mlp_xp.nn.network import Network
from mlp_xp.training.metrics import Evaluation
from mlp_xp.training.tally import ClassTally, LabelTally, NumberTally, Tally
from mlp_xp.training.team import Team
from mlp_xp.types import Array, HostArray

BATCH_ROWS = 512  # few enough that activations stay in the cache
DEVICE_ROWS, DEVICE_BYTES = 8192, 1 << 26
"""On a GPU, where each batch is a wait: at most so many rows, and bytes of them. No GPU has
measured these guesses."""
WORTH_THREADS = 1_000_000_000
"""Multiplications of a prediction, some 15 ms, from which several threads share it."""


@np.errstate(all="ignore")  # what overflows is refused, with its row
def predict(network: Network, X: ArrayLike, *, first_row: int = 0) -> NDArray[np.floating]:
    """The network's prediction for each row of X (N, ...), on the host: (N, K).

    Probabilities of the classes, which add up to 1; probabilities of the labels; or numbers. All
    in the network's dtype, except that numbers in the targets' own units, which a network with a
    target_scaling returns, are float64. The last bits may depend on the number of rows and cores.
    X: as Dataset.from_arrays() takes it. first_row: the number of X's first row in messages.

    Raises InputError for no rows, rows of the wrong length, values that aren't numbers, NaN and
    infinity, and where the network's outputs aren't finite.
    """
    rows = as_array(X, "the data")
    if rows.ndim < 2:
        raise InputError(
            f"the data has shape {rows.shape}; it needs one row a sample, as X[None] is of one"
        )
    if len(rows) == 0:
        raise InputError("there are no rows to predict")
    rows = as_numbers(rows, "the data")
    network.device.use()
    outputs = np.concatenate(_predictions(network, rows, first_row))
    if network.target_scaling is not None:
        # In float32, numbers like 1e9 + 1 are 64 apart: all predictions could be the same.
        mean, std = network.target_scaling
        outputs = outputs * std + mean
    _check_outputs(outputs, first_row)
    return outputs


def _predictions(network: Network, rows: HostArray, first_row: int) -> list[HostArray]:
    """What objective.predict() makes of the rows, batch by batch, on the host.

    Many rows are shared between threads of Python, each part with BLAS's one thread: products of
    this size hold no lock, and on a busy machine BLAS's own threads take many times as long as one.
    """

    def predict_part(start: int, buffer: Array) -> Array:
        X = rows[start : start + len(buffer)]
        logits = _logits(network, X, first_row + start, buffer)
        return network.objective.predict(network.xp, logits)

    starts = range(0, len(rows), _batch_rows(network))
    work = len(rows) * sum(layer.W.size for layer in network.layers)
    threads = default_threads() if network.device.on_host and work >= WORTH_THREADS else 1
    if threads == 1:
        buffer = _buffer(network)
        parts = [predict_part(start, buffer) for start in starts]
        return [network.device.to_host(part) for part in parts]
    buffers = SimpleQueue[Array]()
    for _ in range(threads):
        buffers.put(_buffer(network))

    @np.errstate(all="ignore")  # it holds for a thread
    def take_part(start: int) -> Array:
        buffer = buffers.get()
        try:
            return predict_part(start, buffer)
        finally:
            buffers.put(buffer)

    with one_blas_thread(), ThreadPoolExecutor(threads, "predict") as pool:
        return list(pool.map(take_part, starts))


@np.errstate(all="ignore")
def evaluate(network: Network, split: Split) -> Evaluation:
    """All figures over the rows of a split, and those of answering the same on every row.

    Raises InputError if inputs or targets don't fit the network, for NaN and infinity, and where
    the network's outputs aren't finite.
    """
    if not isinstance(split, Split):
        raise InputError(
            f"evaluate() takes a Split, such as data.test or Split(X, y), not "
            f"{type(split).__name__}"
        )
    device, objective = network.device, network.objective
    device.use()
    buffer = _buffer(network)
    tally = _new_tally(network)
    loss_sum = 0.0
    for start in range(0, len(split), len(buffer)):
        X, y, _ = split.take(start, min(start + len(buffer), len(split)))
        logits = _logits(network, X, start, buffer)
        _check_targets(network, y)
        loss, _ = objective.loss(network.xp, logits, device.to_device(_scaled(network, y)))
        loss_sum += float(loss) * len(y)
        outputs = device.to_host(logits)
        _check_outputs(outputs, start)
        decided = objective.decide(outputs)
        if decided is None:
            tally.add(_residuals(network, outputs, y))
        else:
            tally.add(y, decided)
    prior = getattr(network, "prior", None)  # a Model has one
    return Evaluation(loss_sum / len(split), rows=len(split), **tally.result(split, prior))


def _new_tally(network: Network) -> Tally:
    n_outputs, objective = network.sizes[-1], network.objective
    if objective.single_label:
        return ClassTally(n_outputs)
    decides = objective.decide(np.zeros((1, n_outputs))) is not None
    return LabelTally(n_outputs) if decides else NumberTally(n_outputs)


def _scaled(network: Network, y: HostArray) -> HostArray:
    """The targets that the network's outputs stand for."""
    if network.target_scaling is None:
        return y
    mean, std = network.target_scaling
    return np.asarray((y - mean) / std, dtype=network.dtype)


def _residuals(network: Network, outputs: HostArray, y: HostArray) -> NDArray[np.float64]:
    """y - prediction in the targets' own units, (B, K); y and the logits `outputs` (B, K)."""
    predictions = network.objective.predict(np, outputs)
    if network.target_scaling is None:
        return np.subtract(y, predictions, dtype=np.float64)
    # Relative to the mean, which may be large beside what is left.
    mean, std = network.target_scaling
    return np.asarray((y - mean) - predictions * std)


def validate(network: Network, split: Split, epoch: int, team: Team) -> Evaluation:
    """evaluate() on the rows that validate an epoch, which a DivergenceError names.

    The first worker does it for all, so that no rounding lets one of them stop earlier.
    """
    try:
        return team.from_first(partial(evaluate, network, split))
    except DivergenceError as error:
        raise DivergenceError(f"validation after epoch {epoch}: {error}") from error


def _check_targets(network: Network, y: HostArray) -> None:
    """Raise InputError unless the targets fit the network's objective and outputs."""
    n_outputs, single = network.sizes[-1], network.objective.single_label
    if single != (y.ndim == 1):
        wanted = "one class a row" if single else f"{n_outputs} columns"
        raise InputError(f"the network was trained for {wanted}, but the data's targets differ")
    if single and not 0 <= y.min() <= y.max() < n_outputs:
        wrong = y.max() if y.min() >= 0 else y.min()
        raise InputError(
            f"the data has a label {wrong}, the network knows classes 0 to {n_outputs - 1}"
        )
    if not single and y.shape[1] != n_outputs:
        raise InputError(f"the network has {n_outputs} outputs, the data {y.shape[1]} columns")
    if not single:
        check_targets(y, y, "the data", network.objective)


def _check_outputs(outputs: HostArray, first_row: int) -> None:
    """Raise DivergenceError unless the outputs (B, K) are finite; the first row is `first_row`."""
    finite = np.isfinite(outputs)
    if not finite.all():
        row = int(finite.all(axis=1).argmin())
        raise DivergenceError(
            f"the network's output for row {first_row + row} isn't finite: the "
            "row's values are too large, or the training has diverged"
        )


def _batch_rows(network: Network) -> int:
    """How many rows to take at a time."""
    if network.device.on_host:
        return BATCH_ROWS
    fitting = DEVICE_BYTES // (max(network.sizes) * network.dtype.itemsize)
    return max(BATCH_ROWS, min(DEVICE_ROWS, fitting))


def _buffer(network: Network) -> Array:
    """An array for a batch of prepared rows."""
    # Used again and again: allocating a new array takes as long as filling it.
    return network.xp.empty((_batch_rows(network), network.sizes[0]), dtype=network.dtype)


def _logits(network: Network, X: HostArray, first_row: int, buffer: Array) -> Array:
    """The logits (B, K) of at most BATCH_ROWS rows on the host, the first of this number."""
    check_finite(X, "the data", first_row)
    batch = network.prepare(network.device.to_device(X), buffer[: len(X)])
    if X.dtype.itemsize > network.dtype.itemsize and not network.xp.isfinite(batch).all():
        row = int(network.xp.isfinite(batch).all(axis=1).argmin())
        raise InputError(
            f"the data holds a value too large for the network's {network.dtype}, first in row "
            f"{first_row + row}; leave the row out"
        )
    return network.logits(batch)
