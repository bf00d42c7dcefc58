"""MLPRegressor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils.metaestimators import available_if

from mlp_xp.devices import Device
from mlp_xp.errors import InputError
from mlp_xp.nn.losses import Objective
from mlp_xp.sklearn.base import BaseMLP, is_stochastic
from mlp_xp.sklearn.losses import HalfPoisson, HalfSquaredError
from mlp_xp.sklearn.parameters import defaults_of
from mlp_xp.sklearn.rows import like, to_host
from mlp_xp.training.callbacks import Callback
from mlp_xp.types import Array, HostArray

OUTPUTS = {"squared_error": "identity", "poisson": "exp"}
"""From a loss to out_activation_."""


class MLPRegressor(RegressorMixin, BaseMLP):
    """A network that predicts numbers, in place of sklearn.neural_network.MLPRegressor.

    The parameters up to max_fun, and the attributes, are scikit-learn's, with its defaults, which
    its documentation describes. Then come those that MLPClassifier's docstring lists, except
    class_weight and label_smoothing.
    """

    def __init__(
        self,
        loss: str = "squared_error",
        hidden_layer_sizes: int | Sequence[int] = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: int | np.random.RandomState | None = None,
        tol: float = 1e-4,
        verbose: bool | int = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        device: str | Device = "cpu",
        dropout: float = 0.0,
        schedule: str | None = None,
        clip_norm: float | None = None,
        window: int | None = None,
        callbacks: Sequence[Callback] | None = None,
    ):
        arguments = dict(locals())
        del arguments["self"]
        self.__dict__.update(arguments)

    _defaults = defaults_of(__init__)

    _objective_name = "regression"
    _y_numeric = True
    _stratifies = False

    @available_if(is_stochastic)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Go on from the weights there are, if any, with one epoch over these rows; see fit()."""
        return self._fit(X, y, sample_weight, None, incremental=True)

    def predict(self, X: Any) -> Any:
        """The numbers for rows X (N, n), (N,) or (N, K): an array of X's kind, on its device."""
        predictions, device = self._predictions(X)
        return like(X, predictions[:, 0] if predictions.shape[1] == 1 else predictions, device)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """R^2 of predict(), the mean over outputs."""
        predictions, device = self._predictions(X)
        return float(r2_score(to_host(y), device.to_host(predictions), sample_weight=sample_weight))

    def _targets(self, y: Array, learn: bool, whole: bool = True) -> Array:
        if y.dtype.kind not in "fiub":
            raise InputError(f"y is of type {y.dtype}; give numbers")
        y = y.reshape(len(y), -1)
        if self.loss == "poisson" and not HalfPoisson().is_valid(y).all():
            raise InputError("y has values below 0; the loss poisson takes numbers from 0")
        return y

    @property
    def _output(self) -> str:
        return OUTPUTS[self.loss]

    @property
    def _objective(self) -> Objective:
        return HalfPoisson() if self.out_activation_ == "exp" else HalfSquaredError()

    def _n_outputs(self, targets: Array) -> int:
        return int(targets.shape[1])

    def _row_weights(self, y: Array, sample_weight: HostArray | None, dtype: Any) -> Any:
        return sample_weight

    def _score_of(self, y: HostArray, predictions: HostArray, weights: HostArray | None) -> float:
        return float(r2_score(y, predictions, sample_weight=weights))
