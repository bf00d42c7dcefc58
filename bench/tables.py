"""Scores on tables: config_for() against scikit-learn's multi-layer perceptron, both by default.

python -m bench.tables [NAME...]        prints the table of docs/scores.md; NAME: only these sets
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
from sklearn import datasets
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression
from sklearn.metrics import accuracy_score, balanced_accuracy_score, r2_score
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bench.machine import processor, versions
from mlp_xp import train
from mlp_xp.errors import TrainingWarning

SEEDS = range(10)
MORE_SEEDS = range(100)
"""For sets of fewer than FEW_ROWS rows, whose few test rows say little each."""
FEW_ROWS = 1000
TEST_SHARE = 0.2
Arrays = tuple[np.ndarray, np.ndarray]
Score = Callable[[np.ndarray, np.ndarray], float]


def label_accuracy(y: np.ndarray, decided: np.ndarray) -> float:
    """The share of single labels that are right."""
    return float((y == decided).mean())


SCORES: dict[str, dict[str, Score]] = {
    "multiclass": {"accuracy": accuracy_score, "balanced accuracy": balanced_accuracy_score},
    "multilabel": {"rows all right": accuracy_score, "labels right": label_accuracy},
    "regression": {"R²": r2_score},
}
"""By objective; the first one judges."""


@dataclass(frozen=True)
class Table:
    """A data set: what makes X and y, and the objective."""

    load: Callable[[], Arrays]
    objective: str = "multiclass"
    both_scores: bool = False


def classes(rows: int = 1000, columns: int = 20, informative: int = 10, **options: Any) -> Arrays:
    """make_classification() with a seed, and without columns that only repeat others."""
    return datasets.make_classification(
        rows, columns, n_informative=informative, n_redundant=0, random_state=0, **options
    )


def scales() -> Arrays:
    """20 columns in units from 1e-6 to 1e9."""
    X, y = classes(n_classes=3)
    return X * np.logspace(-6, 9, X.shape[1]), y


def heavy_tails() -> Arrays:
    """Cubes, plus Student's t with 2 degrees of freedom, whose variance is infinite."""
    X, y = classes()
    return X**3 + np.random.default_rng(0).standard_t(2, X.shape), y


TABLES = {
    "iris": Table(lambda: datasets.load_iris(return_X_y=True)),
    "wine": Table(lambda: datasets.load_wine(return_X_y=True)),
    "breast cancer": Table(lambda: datasets.load_breast_cancer(return_X_y=True)),
    "digits": Table(lambda: datasets.load_digits(return_X_y=True)),
    "column scales 1e-6 to 1e9": Table(scales),
    "classes 1:50": Table(
        lambda: classes(5100, informative=8, weights=[50 / 51], flip_y=0), both_scores=True
    ),
    "3 of 200 columns matter": Table(lambda: classes(1000, 200, informative=3)),
    "heavy tails": Table(heavy_tails),
    "50 classes": Table(
        lambda: classes(5000, 30, informative=20, n_classes=50, n_clusters_per_class=1)
    ),
    "multilabel": Table(
        lambda: datasets.make_multilabel_classification(1000, random_state=0),
        "multilabel", both_scores=True,
    ),
    "diabetes": Table(lambda: datasets.load_diabetes(return_X_y=True), "regression"),
    "friedman1": Table(
        lambda: datasets.make_friedman1(1000, noise=1.0, random_state=0), "regression"
    ),
    "friedman1, 20,000 rows": Table(
        lambda: datasets.make_friedman1(20_000, noise=1.0, random_state=0), "regression"
    ),
}  # fmt: skip


def fit_ours(
    X: np.ndarray, y: np.ndarray, objective: str, seed: int
) -> Callable[[np.ndarray], np.ndarray]:
    """Train without any option but the seed; the result decides for rows."""
    with warnings.catch_warnings():  # that whole numbers are taken for a regression
        warnings.simplefilter("ignore", TrainingWarning)
        model, _ = train(X, y, seed=seed)
    assert model.objective_name == objective
    if objective == "regression":  # of one target
        return lambda rows: model.predict(rows)[:, 0]
    if objective == "multilabel":
        return lambda rows: (model.predict(rows) > 0.5).astype(int)
    return lambda rows: model.predict(rows).argmax(axis=1)


def fit_sklearn(
    X: np.ndarray, y: np.ndarray, objective: str, seed: int
) -> Callable[[np.ndarray], np.ndarray]:
    """scikit-learn's default network on standardized inputs."""
    kind = MLPRegressor if objective == "regression" else MLPClassifier
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return make_pipeline(StandardScaler(), kind(random_state=seed)).fit(X, y).predict  # type: ignore[no-any-return]


def fit_linear(
    X: np.ndarray, y: np.ndarray, objective: str, seed: int
) -> Callable[[np.ndarray], np.ndarray]:
    """Linear regression, which a network has to beat."""
    return LinearRegression().fit(X, y).predict  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Result:
    """Scores (seeds,) and mean processor seconds of a training, of ours and of scikit-learn's."""

    ours: np.ndarray
    theirs: np.ndarray
    seconds: float
    their_seconds: float

    @property
    def difference(self) -> float:
        """Ours less theirs, on average."""
        return float((self.ours - self.theirs).mean())

    @property
    def error(self) -> float:
        """The standard error of that difference, paired by seed."""
        return standard_error(self.ours - self.theirs)

    @property
    def passes(self) -> bool:
        """Whether ours is at most one standard error below."""
        return self.difference >= -self.error


def standard_error(values: np.ndarray) -> float:
    """Of the mean of these values."""
    return float(values.std(ddof=1) / len(values) ** 0.5)


def seeds_for(rows: int) -> Sequence[int]:
    """The seeds to measure a set of so many rows with."""
    return MORE_SEEDS if rows < FEW_ROWS else SEEDS


def measure(table: Table, against: Any = fit_sklearn) -> dict[str, Result]:
    """Train both on every seed's split, in turn; from a score's name to the results."""
    X, y = table.load()
    seeds = seeds_for(len(X))
    scores = SCORES[table.objective]
    found: dict[str, list[list[float]]] = {name: [[], []] for name in scores}
    seconds: list[list[float]] = [[], []]
    for seed in seeds:
        X_train, X_test, y_train, y_test = train_test_split(
            X, y, test_size=TEST_SHARE, random_state=seed,
            stratify=y if table.objective == "multiclass" else None,
        )  # fmt: skip
        for which, fit in enumerate((fit_ours, against)):
            started = time.process_time()
            decide = fit(X_train, y_train, table.objective, seed)
            seconds[which].append(time.process_time() - started)
            decided = decide(X_test)
            for name, score in scores.items():
                found[name][which].append(float(score(y_test, decided)))
    return {
        name: Result(np.array(ours), np.array(theirs), fmean(seconds[0]), fmean(seconds[1]))
        for name, (ours, theirs) in found.items()
    }


def row(name: str, score: str, table: Table, result: Result) -> str:
    """A line of the Markdown table."""
    X, _ = table.load()
    cells = (
        name, f"{len(X):,} × {X.shape[1]}", score,
        f"{result.ours.mean():.4f} ± {standard_error(result.ours):.4f}",
        f"{result.theirs.mean():.4f} ± {standard_error(result.theirs):.4f}",
        f"{result.difference:+.4f} ± {result.error:.4f}",
        f"{result.seconds:.2f} s", f"{result.their_seconds:.2f} s",
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def main(names: Sequence[str]) -> None:
    """Measure and print, set by set."""
    print("| data | rows × columns | score | mlp_xp | scikit-learn | difference | takes | takes |")
    print("|---|---|---|---|---|---|---|---|")
    for name in names or TABLES:
        table = TABLES[name]
        results = measure(table)
        for score in list(results)[: 2 if table.both_scores else 1]:
            print(row(name, score, table, results[score]), flush=True)
    if not names or "diabetes" in names:
        result = measure(TABLES["diabetes"], against=fit_linear)["R²"]
        print(f"\nLinear regression on diabetes: R² {result.theirs.mean():.4f}.")
    found = versions()
    libraries = ", ".join(
        f"{name} {found[name]}" for name in ("mlp_xp", "python", "numpy", "scikit-learn")
    )
    print(
        f"\nMeans and standard errors over {len(SEEDS)} seeds, or {len(MORE_SEEDS)} for fewer than "
        f"{FEW_ROWS:,} rows. Each splits off {TEST_SHARE:.0%} for the test and seeds the training. "
        "Times are the processor's, for a training; set OMP_NUM_THREADS=1 to measure them. "
        f"{processor()}, {libraries}."
    )


if __name__ == "__main__":
    main(sys.argv[1:])
