"""mlp_xp.sklearn beside scikit-learn's own networks: same data, settings and seeds.

python -m bench.estimators [NAME...]   prints the table of docs/scikit-learn.md; NAME: only these
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sklearn import datasets, neural_network
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

import mlp_xp.sklearn
from bench.machine import processor, versions
from bench.tables import TEST_SHARE, standard_error
from mlp_xp import load_data

SEEDS = range(10)
SETTINGS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "sgd, early stopping": {"solver": "sgd", "early_stopping": True},
    "lbfgs": {"solver": "lbfgs"},
}
Parts = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""X and y to train on, X and y to test on."""


def split(load: Callable[..., Any], seed: int) -> Parts:
    """A seed's rows, standardized."""
    X, y = load(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, test_size=TEST_SHARE, random_state=seed)
    scaler = StandardScaler().fit(X)
    return scaler.transform(X), y, scaler.transform(X_test), y_test


def mnist(seed: int) -> Parts:
    """All of MNIST, in float32 from 0 to 1; a seed has no influence."""
    data = load_data("mnist")
    (X, y), (X_test, y_test) = (
        (part.X.astype("f") / 255, part.y) for part in (data.train, data.test)
    )
    return X, y, X_test, y_test


DATA: dict[str, tuple[str, Callable[[int], Parts]]] = {
    "iris": ("MLPClassifier", lambda seed: split(datasets.load_iris, seed)),
    "wine": ("MLPClassifier", lambda seed: split(datasets.load_wine, seed)),
    "breast cancer": ("MLPClassifier", lambda seed: split(datasets.load_breast_cancer, seed)),
    "digits": ("MLPClassifier", lambda seed: split(datasets.load_digits, seed)),
    "diabetes": ("MLPRegressor", lambda seed: split(datasets.load_diabetes, seed)),
    "MNIST": ("MLPClassifier", mnist),
}


def measure(name: str, settings: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, float]:
    """Scores and processor seconds, (seeds, 2) each, of ours and theirs, fitted in turn.

    And the largest difference between two losses of an epoch, or between the final ones.
    """
    kind, load = DATA[name]
    scores, seconds = np.empty((len(SEEDS), 2)), np.empty((len(SEEDS), 2))
    differences = []
    for i, seed in enumerate(SEEDS):
        X, y, X_test, y_test = load(seed)
        losses = []
        for j, module in enumerate((mlp_xp.sklearn, neural_network)):
            estimator = getattr(module, kind)(random_state=seed, **settings)
            started = time.process_time()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                estimator.fit(X, y)
            seconds[i, j] = time.process_time() - started
            scores[i, j] = estimator.score(X_test, y_test)
            losses.append(getattr(estimator, "loss_curve_", [estimator.loss_]))
        same = len(losses[0]) == len(losses[1])
        gap = np.abs(np.subtract(*losses) / losses[1]).max() if same else np.inf
        differences.append(float(gap))
    return scores, seconds, max(differences)


def row(name: str, setting: str) -> str:
    """A line of the Markdown table."""
    scores, seconds, gap = measure(name, SETTINGS[setting])
    means = [f"{column.mean():.4f} ± {standard_error(column):.4f}" for column in scores.T]
    ratio = seconds[:, 0].sum() / seconds[:, 1].sum()
    alike = f"{gap:.0e}" if np.isfinite(gap) else "another number of epochs"
    each = f"{seconds[:, 1].mean():.2g} s"
    return f"| {' | '.join((name, setting, *means, alike, each, f'{ratio:.2f}'))} |"


def main(names: Sequence[str]) -> None:
    """Measure and print, set by set."""
    print(
        "| data | settings | score, ours | scikit-learn's | losses differ by | it takes "
        "| ours, in its time |\n|---|---|---|---|---|---|---|"
    )
    for name in names or DATA:
        for setting in ["defaults"] if name == "MNIST" else SETTINGS:
            print(row(name, setting), flush=True)
    found = versions()
    libraries = ", ".join(f"{name} {found[name]}" for name in ("python", "numpy", "scikit-learn"))
    print(f"\n{len(SEEDS)} seeds; processor's time, in turn. {processor()}, {libraries}.")


if __name__ == "__main__":
    main(sys.argv[1:])
