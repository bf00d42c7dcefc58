"""MLPClassifier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from scipy import sparse
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets, type_of_target, unique_labels

from mlp_xp.devices import Device, get_device
from mlp_xp.errors import InputError
from mlp_xp.nn.losses import OBJECTIVES, Objective
from mlp_xp.sklearn.base import BaseMLP, is_stochastic
from mlp_xp.sklearn.losses import BoundedClasses, SummedLabels
from mlp_xp.sklearn.parameters import defaults_of
from mlp_xp.sklearn.rows import device_of, like, to_host
from mlp_xp.training.callbacks import Callback
from mlp_xp.types import Array, HostArray


class MLPClassifier(ClassifierMixin, BaseMLP):
    """A network that tells classes or labels apart, for sklearn.neural_network.MLPClassifier.

    The parameters up to max_fun, and the attributes, are scikit-learn's, with its defaults, which
    its documentation describes. activation may also be `gelu` or `leaky_relu`. Beyond these:

    device: `cpu`, `cuda`, `cuda:N` or `auto`; where host arrays are fitted. What lies on a GPU is
    fitted there.
    dropout: share of hidden units dropped in each step.
    class_weight: `balanced`, or a dict from class to weight.
    label_smoothing: share of each label spread over all classes.
    schedule: of the learning rate over max_iter epochs: linear, cosine, step, plateau, constant.
    clip_norm: limit on the norm of all gradients.
    window: batches per update of the first layer, for sgd with alpha=0; None is the fastest.
    callbacks: Callback objects, whose trainer is the Fit in mlp_xp/sklearn/fitting.py.

    validation_loss_curve_ and validation_scores_: a figure for each epoch, where there are
    validation rows; see fit().
    """

    def __init__(
        self,
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
        class_weight: Mapping[Any, float] | str | None = None,
        label_smoothing: float = 0.0,
        schedule: str | None = None,
        clip_norm: float | None = None,
        window: int | None = None,
        callbacks: Sequence[Callback] | None = None,
    ):
        arguments = dict(locals())
        del arguments["self"]
        self.__dict__.update(arguments)

    _defaults = defaults_of(__init__)
    _y_numeric = False

    @available_if(is_stochastic)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> Self:
        """Go on from the weights there are, if any, with one epoch over these rows; see fit().

        classes: all that will ever come, needed in the first call alone.
        """
        if classes is not None:
            classes = unique_labels(to_host(classes))
        if not hasattr(self, "coefs_"):
            if classes is None:
                raise InputError("classes must be given in the first call of partial_fit()")
            self.classes_, self._sparse_labels = classes, sparse.issparse(y)
            self._is_multilabel = type_of_target(to_host(y)) == "multilabel-indicator"
        elif classes is not None and not np.array_equal(classes, self.classes_):
            raise InputError(f"classes is {classes}, and was {self.classes_} in the first call")
        if self.class_weight == "balanced":
            raise InputError("class_weight='balanced' needs fit(), which sees all of the rows")
        return self._fit(X, y, sample_weight, None, incremental=True)

    def predict(self, X: Any) -> Any:
        """The class of each row of X (N, n), (N,), or its labels, (N, K) of 0 and 1.

        An array of X's kind, on its device, unless the classes are no numbers.
        """
        predictions, device = self._predictions(X)
        chosen = self._chosen(predictions)
        if self._is_multilabel:
            labels = like(X, chosen.astype("int64"), device)
            return sparse.csr_matrix(labels) if self._sparse_labels else labels
        index = chosen.reshape(-1).astype("int64")
        if len(self.classes_) == 1:
            index *= 0
        if self.classes_.dtype.kind not in "iufb":
            return self.classes_[device.to_host(index)]
        return like(X, device.to_device(self.classes_)[index], device)

    def predict_proba(self, X: Any) -> Any:
        """Each class's probability, or each label's, for rows X (N, n): (N, K), in X's kind."""
        probabilities, device = self._probabilities(X)
        return like(X, probabilities, device)

    def predict_log_proba(self, X: Any) -> Any:
        """The logarithm of predict_proba()."""
        probabilities, device = self._probabilities(X)
        with np.errstate(divide="ignore"):
            return like(X, device.xp.log(probabilities), device)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The share of rows whose class, or whose every label, is right."""
        predicted = to_host(self.predict(X))
        return float(accuracy_score(to_host(y), predicted, sample_weight=sample_weight))

    def _probabilities(self, X: Any) -> tuple[Array, Device]:
        p, device = self._predictions(X)
        if p.shape[1] == 1:  # of the second class
            p = device.xp.concatenate([1 - p, p], axis=1)
        return p, device

    def _chosen(self, predictions: Array) -> Array:
        """The number of each row's class, (N,), or of two classes and of labels 0 or 1, (N, K)."""
        return OBJECTIVES[self._objective_name]().chosen(predictions)

    def _targets(self, y: Array, learn: bool, whole: bool = True) -> Array:
        """The number of each row's class (N,); of two classes (N, 1), the second's; labels (N, K).

        learn: take the classes from y; otherwise y may only have those that are known. whole: with
        warm_start it must have all of them.
        """
        multilabel = y.ndim == 2
        xp = get_device(device_of(y) or "cpu", require=True).xp
        if xp is np:
            check_classification_targets(y)
        values = y.data if sparse.issparse(y) else y
        if multilabel and not ((values == 0) | (values == 1)).all():
            raise InputError("y has several columns, so they must be labels, 0 or 1")
        # unique_labels(): strings are no longer objects then.
        found = np.arange(y.shape[1]) if multilabel else unique_labels(to_host(xp.unique(y)))
        if learn:
            self.classes_, self._is_multilabel = found, multilabel
            self._sparse_labels = sparse.issparse(y)
        elif self._is_multilabel != multilabel:
            raise InputError("y is labels in one fit and classes in the other; fit anew")
        elif not np.isin(found, self.classes_).all():
            raise InputError(f"y has the classes {found}, those known are {self.classes_}")
        elif whole and self.warm_start and len(found) < len(self.classes_):
            raise InputError(
                f"y has the classes {found}, and with warm_start it must have all that it had "
                f"before: {self.classes_}"
            )
        if multilabel:
            return y.toarray() if sparse.issparse(y) else y
        index = xp.searchsorted(xp.asarray(self.classes_), y)
        return index if self._output == "softmax" else (index == 1).reshape(-1, 1)

    def _n_outputs(self, targets: Array) -> int:
        return int(targets.shape[1]) if targets.ndim == 2 else len(self.classes_)

    @property
    def _output(self) -> str:
        many = len(self.classes_) > 2 and not self._is_multilabel
        return "softmax" if many else "logistic"

    @property
    def _stratifies(self) -> bool:
        return bool(self.n_outputs_ == 1)

    @property
    def _objective_name(self) -> str:
        return "multiclass" if self.out_activation_ == "softmax" else "multilabel"

    @property
    def _objective(self) -> Objective:
        kind = BoundedClasses if self.out_activation_ == "softmax" else SummedLabels
        return kind(self.label_smoothing)

    def _row_weights(self, y: Array, sample_weight: HostArray | None, dtype: Any) -> Any:
        if self.class_weight is None:
            return sample_weight
        labels, weights = to_host(y), self.class_weight
        if isinstance(weights, Mapping):  # of which a part of the rows may lack classes
            unknown = [key for key in weights if key not in self.classes_]
            if unknown:
                raise InputError(f"class_weight has {unknown[0]!r}, which is no class in y")
            of_class = np.array([weights.get(name, 1) for name in self.classes_])
            found = of_class[np.searchsorted(self.classes_, labels)]
        else:
            found = compute_sample_weight(weights, labels)
        found = found.astype(dtype)
        return found if sample_weight is None else found * sample_weight

    def _score_of(self, y: HostArray, predictions: HostArray, weights: HostArray | None) -> float:
        right = (self._chosen(predictions) == y).reshape(len(y), -1).all(axis=1)
        return float(np.average(right, weights=weights))

    def __sklearn_tags__(self) -> Any:
        """Several labels a row, too."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
