"""scikit-learn's MLPClassifier, solver "sgd" without momentum or penalty.

As documented (scikit-learn.org, user guide 1.17 "Neural network models (supervised)"): inputs are
floats, scaled once and outside the clock; warm_start with max_iter=1 trains one more epoch per
call, so that the learning rate can change between epochs. There is no schedule within an epoch, so
each epoch uses the mean of its rates. To start from the problem's weights, a small first fit
allocates the network, whose coefs_ and intercepts_ are then overwritten.
"""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from bench.peers import Peer
from bench.problem import Array, Labels, Problem, Rows, chunks

# One epoch per call is intended: nothing was cut short.
warnings.simplefilter("ignore", ConvergenceWarning)


class Classifier(Peer):
    def __init__(self, problem: Problem, X: Rows, y: Labels) -> None:
        super().__init__(problem, X, y)
        self.X, self.y = self.scaled(X), y
        self.model = MLPClassifier(
            problem.hidden,
            solver="sgd",
            alpha=0,
            momentum=0,
            nesterovs_momentum=False,
            batch_size=problem.batch_size,
            shuffle=False,
            max_iter=1,
            warm_start=True,
        )
        one_each = np.unique(y, return_index=True)[1]
        self.model.set_params(batch_size=len(one_each)).fit(self.X[one_each], y[one_each])
        self.model.set_params(batch_size=problem.batch_size)
        self.model.coefs_, self.model.intercepts_ = map(list, zip(*problem.weights(), strict=True))

    def scaled(self, X: Rows) -> Array:
        floats: Array = X.astype(self.problem.dtype)
        floats /= 255
        return floats

    def epoch(self, order: NDArray[np.int64], rates: NDArray[np.float64]) -> float:
        rows = order.ravel()
        self.model.set_params(learning_rate_init=float(rates.mean()))
        self.model.fit(self.X[rows], self.y[rows])
        return float(self.model.loss_)

    def predict(self, X: Rows) -> Array:
        return np.concatenate([self.model.predict_proba(self.scaled(part)) for part in chunks(X)])

    def save(self, path: Path) -> None:
        path.with_suffix(".pickle").write_bytes(pickle.dumps(self.model))
