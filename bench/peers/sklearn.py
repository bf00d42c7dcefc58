"""scikit-learn's MLPClassifier, solver "sgd" or "adam" without penalty. It has no dropout.

As documented (scikit-learn.org, user guide 1.17 "Neural network models (supervised)"): inputs are
floats, scaled once and outside the clock. fit with warm_start and max_iter=1 trains one more epoch
per call, with an optimizer of its own, so that the learning rate can change between epochs; there
is no schedule within an epoch, so each uses the mean of its rates. partial_fit trains one more
epoch with the optimizer as the last one left it, which momentum and Adam need. To start from the
problem's weights, a small first fit allocates the network, whose coefs_ and intercepts_ are then
overwritten.
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
from bench.problem import BETAS, EPSILON, Array, Labels, Problem, Rows, chunks

# One epoch per call is intended: nothing was cut short.
warnings.simplefilter("ignore", ConvergenceWarning)


class Classifier(Peer):
    def __init__(self, problem: Problem, X: Rows, y: Labels) -> None:
        super().__init__(problem, X, y)
        self.X, self.y = self.scaled(X[: problem.rows]), y[: problem.rows]
        self.model = MLPClassifier(
            problem.hidden,
            solver=problem.optimizer,
            alpha=0,
            momentum=problem.momentum,
            nesterovs_momentum=False,
            beta_1=BETAS[0],
            beta_2=BETAS[1],
            epsilon=EPSILON,
            shuffle=False,
            max_iter=1,
            warm_start=True,
        )
        one_each = np.unique(self.y, return_index=True)[1]
        self.model.set_params(batch_size=len(one_each)).fit(self.X[one_each], self.y[one_each])
        self.model.set_params(batch_size=problem.batch_size)
        self.fit = self.model.fit
        self.model.coefs_, self.model.intercepts_ = map(list, zip(*problem.weights(), strict=True))

    def scaled(self, X: Rows) -> Array:
        floats: Array = X.astype(self.problem.dtype)
        floats /= 255
        return floats

    def epoch(self, order: NDArray[np.int64], rates: NDArray[np.float64]) -> float:
        rows = order.ravel()
        self.model.set_params(learning_rate_init=float(rates.mean()))
        self.fit(self.X[rows], self.y[rows])
        if self.problem.schedule == "constant":
            self.fit = self.model.partial_fit
        return float(self.model.loss_)

    def predict(self, X: Rows) -> Array:
        return np.concatenate([self.model.predict_proba(self.scaled(part)) for part in chunks(X)])

    def save(self, path: Path) -> None:
        path.with_suffix(".pickle").write_bytes(pickle.dumps(self.model))
