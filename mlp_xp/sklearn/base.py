"""What the two estimators share: fitting, the weights, and reading rows."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from itertools import pairwise
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, column_or_1d

from mlp_xp.devices import Device, get_device
from mlp_xp.errors import InputError, TrainingWarning
from mlp_xp.nn import Dense, Network
from mlp_xp.nn.losses import Objective
from mlp_xp.sklearn.convert import to_model
from mlp_xp.sklearn.fitting import Fit, batch_rows
from mlp_xp.sklearn.lbfgs import fit_lbfgs
from mlp_xp.sklearn.parameters import ACTIVATION_NAMES, STOCHASTIC, check_parameters
from mlp_xp.sklearn.progress import Progress
from mlp_xp.sklearn.rows import Loader, check_weights, device_of, read_rows, to_host
from mlp_xp.sklearn.validation import Validation
from mlp_xp.training.model import Model
from mlp_xp.types import Array, HostArray

FITTED = (
    "coefs_", "intercepts_", "classes_", "loss_", "best_loss_", "loss_curve_", "validation_scores_",
    "validation_loss_curve_", "best_validation_score_", "n_iter_", "n_layers_", "n_outputs_",
    "out_activation_", "t_",
)  # fmt: skip
"""What a fit sets, beside the number of features and their names."""


def is_stochastic(estimator: Any) -> bool:
    """Whether it has partial_fit(); raises AttributeError otherwise, as available_if() wants it."""
    if estimator.solver not in STOCHASTIC:
        raise AttributeError(f"partial_fit needs the solver sgd or adam, not {estimator.solver}")
    return True


class BaseMLP(BaseEstimator):
    """See MLPClassifier and MLPRegressor.

    The weights are coefs_ and intercepts_, NumPy's arrays, and nothing else: each call makes a
    network of them on its device, so that what was fitted on a GPU can be used without one.
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None, validation: Any = None) -> Self:
        """Fit to rows X (N, n) and their targets y.

        X: an array, a table, a sparse matrix, or an array on a GPU (by DLPack), which stays there.
        y: (N,), or (N, K) for K labels or numbers a row. sample_weight: (N,), from 0.
        validation: (X, y) or (X, y, sample_weight) of other rows, to validate on after each epoch;
        early_stopping then holds no rows out.

        Returns the estimator. Raises ValueError for what can't be used.
        """
        return self._fit(X, y, sample_weight, validation, incremental=False)

    def _fit(
        self, X: Any, y: Any, sample_weight: Any, validation: Any, *, incremental: bool
    ) -> Self:
        parameters = self._parameters(incremental)
        first = not hasattr(self, "coefs_") or not (self.warm_start or incremental)
        if first:
            self._forget(["coefs_"] if incremental else FITTED)
        X, y = self._read(X, y, reset=first)
        targets = self._targets(y, first and not incremental)
        if sample_weight is not None:
            sample_weight = check_weights(sample_weight, X)
        weights = self._row_weights(y, sample_weight, X.dtype)
        if weights is not None and not weights.any():
            raise InputError("class_weight and sample_weight make all weights zero")
        random_state = check_random_state(self.random_state)
        hidden = parameters["hidden_layer_sizes"]
        sizes = (X.shape[1], *hidden, self._n_outputs(targets))
        if first:
            layers = _initial_layers(sizes, self.activation, X.dtype, random_state)
            self.n_layers_, self.n_outputs_, self.t_ = len(sizes), sizes[-1], 0
            self.out_activation_ = self._output
        else:  # copies, which a fit that fails may spoil
            layers = [(W.copy(), b.copy()) for W, b in self._layers]
            found = (self.coefs_[0].shape[0], *(b.size for b in self.intercepts_))
            if found != sizes or self.out_activation_ != self._output:
                raise InputError(
                    f"the layers are to be {sizes}, {self._output}, but those to go on from are "
                    f"{found}, {self.out_activation_}; give warm_start=False, or call fit() first"
                )
        network = self._network(layers, self._device(X), parameters["activation"])
        objective = self._objective
        if self.solver in STOCHASTIC:
            self._fit_stochastic(
                (X, targets, weights, sample_weight), validation, parameters, network, objective,
                random_state, incremental,
            )  # fmt: skip
        elif validation is not None:
            raise InputError("validation needs the solver sgd or adam, and it is lbfgs")
        else:
            loader = Loader(network.device, X, targets, weights)
            loss, iterations = fit_lbfgs(network, objective, loader, parameters)
            self._keep_weights(network)
            self.loss_, self.n_iter_ = loss, iterations
        return self

    def _fit_stochastic(
        self, data: tuple[Any, ...], validation: Any, parameters: dict[str, Any],
        network: Network, objective: Objective, random_state: Any, incremental: bool,
    ) -> None:  # fmt: skip
        X, targets, weights, sample_weight = data
        rows = validate = None
        if validation is not None:
            others = self._validation_rows(validation)
            validate = Validation(
                network, objective, Loader(network.device, *others), self._score_of
            )
        elif self.early_stopping:
            rows, held_out = self._split(
                targets, sample_weight, parameters["validation_fraction"], random_state
            )
            loader = Loader(network.device, X, targets, sample_weight, rows=held_out)
            validate = Validation(network, objective, loader, self._score_of)
        progress = self._progress.copy()
        if not incremental:
            progress.optimizer = None
        size = batch_rows(parameters, X.shape[0] if rows is None else len(rows))
        loader = Loader(network.device, X, targets, weights, rows=rows, batch_size=size)
        fit = Fit(
            parameters, network, objective, loader, random_state, progress, validate,
            weighted=weights is not None,
        )  # fmt: skip
        fit.run(1 if incremental else None)
        self._keep_weights(network)
        self._keep_figures(fit, progress)

    def _read(self, X: Any, y: Any, reset: bool) -> tuple[Any, Array]:
        """X and y as read_rows() has them; a y of one column is (N,)."""
        X, y = read_rows(self, X, y, reset=reset, multi_output=True, y_numeric=self._y_numeric)
        if y.ndim == 2 and y.shape[1] == 1:
            y = y.reshape(-1) if device_of(y) else column_or_1d(y, warn=True)
        return X, y

    def _parameters(self, incremental: bool) -> dict[str, Any]:
        """The parameters, checked."""
        # Not get_params(): a class derived from ours may take fewer.
        given = {name: getattr(self, name) for name in self._defaults}
        parameters = check_parameters(given, self._defaults)
        if incremental and self.early_stopping:
            raise InputError("partial_fit is a single epoch; give early_stopping=False")
        if incremental and self.schedule is not None:
            raise InputError("a schedule needs fit(), which knows how many epochs there will be")
        return parameters

    def _forget(self, names: Iterable[str]) -> None:
        """Drop what an earlier fit has left, so that one that fails leaves nothing half fitted."""
        for name in names:
            self.__dict__.pop(name, None)
        self._progress = Progress()

    @property
    def _layers(self) -> list[tuple[HostArray, HostArray]]:
        return list(zip(self.coefs_, self.intercepts_, strict=True))

    def _network(
        self, layers: list[tuple[HostArray, HostArray]], device: Device, activation: str
    ) -> Network:
        """The network of these W and b on a device."""
        device.use()
        to_device = device.to_device
        dense = [Dense(to_device(W), to_device(b)) for W, b in layers]
        return Network(device, dense, activation, self._objective_name)

    def _device(self, X: Any) -> Device:
        """The device that X lies on; for an array of the host, the estimator's own."""
        name = device_of(X)
        if name is not None:
            return get_device(name, require=True)
        if isinstance(self.device, Device):
            return self.device
        device = get_device(self.device)
        if device.fallback_reason is not None and self.device != "auto":
            warnings.warn(
                f"it runs on the CPU: {device.fallback_reason}", TrainingWarning, stacklevel=4
            )
        return device

    def _split(self, targets: Array, weights: HostArray | None, share: float, state: Any) -> Any:
        """The numbers of the rows to train on, and of those that early_stopping holds out."""
        stratify = to_host(targets).ravel() if self._stratifies else None
        rows, held_out = train_test_split(
            np.arange(len(targets)), random_state=state, stratify=stratify, test_size=share
        )
        if len(held_out) < 2 or (weights is not None and not weights[held_out].any()):
            raise InputError(
                f"of {len(targets)} rows, validation_fraction={share} holds out "
                f"{len(held_out)}; they must be two or more, and not all of weight zero"
            )
        return rows, held_out

    def _validation_rows(self, validation: Any) -> tuple[Any, Array, HostArray | None]:
        """X, targets and weights of the rows that fit() was given to validate on."""
        if not isinstance(validation, tuple | list) or len(validation) not in (2, 3):
            raise InputError("validation must be rows and targets, (X, y), or these and weights")
        X, y = self._read(validation[0], validation[1], reset=False)
        weights = check_weights(validation[2], X) if len(validation) == 3 else None
        targets = self._targets(y, learn=False, whole=False)
        if len(targets) < 2 or self._n_outputs(targets) != self.n_outputs_:
            raise InputError(
                f"validation has {len(targets)} rows of {self._n_outputs(targets)} outputs; give "
                f"two or more, of {self.n_outputs_}"
            )
        return X, targets, weights

    def _keep_weights(self, network: Network) -> None:
        arrays = [network.device.to_host(array) for array in network.parameters()]
        if not all(np.isfinite(array).all() for array in arrays):
            raise InputError(
                "the weights became infinite or NaN: lower learning_rate_init, or scale the "
                "inputs, as by StandardScaler"
            )
        self.coefs_, self.intercepts_ = arrays[::2], arrays[1::2]

    def _keep_figures(self, fit: Fit, progress: Progress) -> None:
        """Set scikit-learn's attributes of a fit by sgd or adam."""
        early, validated = self.early_stopping, fit.validate is not None
        self._progress = progress
        progress.move(fit.network.device.to_host)  # a pickle has no array of a GPU
        self.n_iter_, self.t_ = len(fit.history), progress.rows_seen
        self.loss_curve_ = progress.loss_curve
        self.loss_ = fit.loss if not progress.loss_curve else progress.loss_curve[-1]
        self.best_loss_ = None if early else progress.best_loss
        self.validation_scores_ = progress.validation_scores if validated else None
        self.validation_loss_curve_ = progress.validation_losses if validated else None
        self.best_validation_score_ = progress.best_score if early else None

    def _predictions(self, X: Any) -> tuple[Array, Device]:
        """What the objective predicts for the rows, (N, K), and the device that it lies on."""
        check_is_fitted(self)
        X = read_rows(self, X, reset=False)
        activation = ACTIVATION_NAMES[self.activation]
        network, objective = (
            self._network(self._layers, self._device(X), activation),
            self._objective,
        )
        loader = Loader(network.device, X, np.empty(X.shape[0], dtype=bool))
        with np.errstate(all="ignore"):
            parts = [
                objective.predict(network.xp, network.logits(network.prepare(chunk[0])))
                for chunk in loader.chunks()
            ]
        return network.xp.concatenate(parts), network.device

    def to_model(self) -> Model:
        """The fitted network as a Model: save_model() and the formats of `export` take it.

        Raises InputError for the loss poisson.
        """
        check_is_fitted(self)
        return to_model(self)

    def __sklearn_is_fitted__(self) -> bool:
        """For check_is_fitted()."""
        return hasattr(self, "coefs_")

    def __sklearn_tags__(self) -> Any:
        """Sparse matrices are read."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _initial_layers(
    sizes: tuple[int, ...], activation: str, dtype: Any, random_state: np.random.RandomState
) -> list[tuple[HostArray, HostArray]]:
    """W and b of each layer, from U(-r, r), r = sqrt(6 / (n_in + n_out)), 2 for 6 with logistic.

    Glorot, Bengio 2010, equation 16, drawn in scikit-learn's order.
    """
    scale, layers = 2.0 if activation in ("logistic", "sigmoid") else 6.0, []
    for n_in, n_out in pairwise(sizes):
        bound = np.sqrt(scale / (n_in + n_out))
        W = random_state.uniform(-bound, bound, (n_in, n_out)).astype(dtype, copy=False)
        b = random_state.uniform(-bound, bound, n_out).astype(dtype, copy=False)
        layers.append((W, b))
    return layers
