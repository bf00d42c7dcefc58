"""Evaluations as text, by example."""

import re
from dataclasses import replace

import numpy as np
import pytest

from mlp_xp.cli.columns import width
from mlp_xp.cli.results import headline, summary, table
from mlp_xp.training import Baseline, Evaluation


def of_classes(confusion: list[list[int]] | np.ndarray, answer: int = 0) -> Evaluation:
    counts = np.array(confusion)
    tp, predicted, support = np.diag(counts), counts.sum(axis=0), counts.sum(axis=1)
    n = int(counts.sum())
    return Evaluation(
        0.5, float(tp.sum() / n), counts, n,
        Baseline(answer, True, float(support[answer] / n)),
        tp / np.maximum(predicted, 1), tp / np.maximum(support, 1),
        2 * tp / np.maximum(predicted + support, 1), support, predicted,
    )  # fmt: skip


TWO = of_classes([[8, 2], [1, 4]])
LABELS = replace(
    TWO, confusion=None, label_accuracy=np.array([0.9, 0.85]), exact_match=0.8,
    baseline=Baseline(np.array([True, False]), True, 0.7, 0.5),
)  # fmt: skip
NUMBERS = Evaluation(
    0.57, rows=40, r2=0.43, rmse=54.123, mae=40.0, r2_by_target=np.array([0.43]),
    rmse_by_target=np.array([54.123]), mae_by_target=np.array([40.0]),
    baseline=Baseline(np.array([3.0]), True, rmse=74.91, rmse_by_target=np.array([74.91])),
)  # fmt: skip


def unknown(result: Evaluation) -> Evaluation:
    return replace(result, baseline=replace(result.baseline, from_training=False))


@pytest.mark.parametrize(
    ("result", "names", "line"),
    [
        (TWO, ("no", "yes"), "test accuracy 80.00%  (always 'no': 66.7%)"),
        (
            unknown(TWO), ("no", "yes"),
            "test accuracy 80.00%  (always 'no', the most frequent here: 66.7%)",
        ),
        (TWO, ("a\nb", "yes"), r"test accuracy 80.00%  (always 'a\nb': 66.7%)"),
        (
            LABELS, ("a", "b"),
            "test accuracy 80.00%  exact match 80.00%  "
            "(always the more frequent value: 70.0%, 50.0%)",
        ),
        (NUMBERS, ("y",), "test R2 0.43  (RMSE 54.1; always the mean: 74.9)"),
        (
            unknown(NUMBERS), ("y", "z"),
            "test R2 0.43  (RMSE 54.1; always the mean of these rows: 74.9, means of 2 targets)",
        ),
        (Evaluation(0.25), ("y",), "test loss 0.2500"),
    ],
)  # fmt: skip
def test_a_result_in_one_line(result, names, line):
    assert summary("test", result, names) == line


def test_the_first_line_of_evaluate():
    assert headline("iris test", TWO, ("no", "yes")) == (
        "iris test accuracy 80.00%  loss 0.5000  rows 15  (always 'no': 66.7%)"
    )


def test_two_classes():
    assert table(TWO, ("no", "yes")).splitlines() == [
        "class  precision  recall     F1  rows",
        "no         0.889   0.800  0.842    10",
        "yes        0.667   0.800  0.727     5",
        "mean over those with rows: precision 0.778  recall 0.800  F1 0.785",
        "",
        "true \\ predicted  no  yes",
        "no                 8    2",
        "yes                1    4",
    ]


def test_labels():
    assert table(LABELS, ("a", "b")).splitlines() == [
        "label  accuracy  precision  recall     F1  rows",
        "a         0.900      0.889   0.800  0.842    10",
        "b         0.850      0.667   0.800  0.727     5",
        "mean over those with rows: accuracy 0.875  precision 0.778  recall 0.800  F1 0.785",
    ]


def test_several_targets():
    several = replace(
        NUMBERS, r2_by_target=np.array([0.43, -0.1]), rmse_by_target=np.array([54.123, 1e9]),
        mae_by_target=np.array([40.0, 9e8]),
        baseline=replace(NUMBERS.baseline, rmse_by_target=np.array([74.91, 9.5e8])),
    )  # fmt: skip
    assert table(several, ("y", "price")).splitlines() == [
        "target      R2   RMSE        MAE  RMSE of the mean",
        "y        0.430  54.12         40             74.91",
        "price   -0.100  1e+09  900000000         950000000",
    ]


def test_the_lowest_of_many_targets():
    n = 60
    many = replace(
        NUMBERS, r2_by_target=np.linspace(0.9, 0.1, n), rmse_by_target=np.ones(n),
        mae_by_target=np.ones(n), baseline=replace(NUMBERS.baseline, rmse_by_target=np.ones(n)),
    )  # fmt: skip
    names = [f"y{k}" for k in range(n)]
    lines = table(many, names).splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["y59", "y58", "y57"]
    assert lines[-1] == "(the 20 lowest R2 of 60; --all shows every one)"
    assert len(table(many, names, all_rows=True).splitlines()) == 61


def test_a_confusion_matrix_has_at_most_20_classes():
    for n in (20, 21):
        text = table(of_classes(np.eye(n, dtype=int) * 9), [f"class number {k}" for k in range(n)])
        assert ("true \\ predicted" in text) == (n == 20)
        assert "class number 19" in text


def test_the_worst_of_400_classes():
    counts = np.eye(400, dtype=int) * 10
    counts[[7, 300], [7, 300]] = 0
    counts[7, 0], counts[300, 1] = 5, 9
    counts[44, 44] = 0
    names = [f"c{k}" for k in range(400)]
    lines = table(of_classes(counts), names).splitlines()
    assert len(lines) == 1 + 20 + 2
    assert [line.split() for line in lines[1:3]] == [
        ["c300", "0.000", "0.000", "0.000", "9"],
        ["c7", "0.000", "0.000", "0.000", "5"],
    ]
    assert lines[-2] == "(the 20 lowest F1 of 400; 1 have no rows here; --all shows every one)"
    every = table(of_classes(counts), names, all_rows=True).splitlines()
    assert len(every) == 1 + 400 + 1
    assert [line.split()[0] for line in every[1:-1]] == names


def test_names_keep_the_columns_aligned():
    names = ["表\t格", "é", "x" * 50 + "A", "x" * 50 + "B"]
    lines = table(of_classes(np.eye(4, dtype=int) * 3), names).splitlines()
    first, matrix = lines[:5], lines[7:]
    assert len(set(map(width, first))) == 1
    assert len(set(map(width, matrix))) == 1
    assert first[1].startswith(r"表\t格 ")
    assert re.match(r"x{15}\.\.x{14}A  ", first[3])
    assert re.match(r"x{15}\.\.x{14}B  ", first[4])
    assert matrix[0].split()[-2:] == ["xxxx..xxxA", "xxxx..xxxB"]


def test_a_wide_confusion_matrix_has_numbers_for_names():
    names = [f"{k} is a long name" for k in range(10)]
    lines = table(of_classes(np.eye(10, dtype=int) * 12345), names).splitlines()[-11:]
    assert lines[0].split() == ["true", "\\", "predicted", *map(str, range(1, 11))]
    assert lines[10].split()[0] == "10:"
    assert all(width(line) <= 100 for line in lines)
    assert len(set(map(width, lines))) == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [(54.123, "54.1"), (0.000123456, "0.000123"), (123456.7, "123457"), (2e12, "2e+12"),
     (999.7, "1000"), (float("inf"), "inf")],
)  # fmt: skip
def test_errors_are_written_as_people_do(value, text):
    result = replace(NUMBERS, rmse=value)
    assert f"(RMSE {text};" in summary("test", result, ("y",))


def test_the_width_of_a_text():
    assert [width(text) for text in ("abc", "表格", "e\u0301", "\u200d", "ﾊ")] == [3, 4, 1, 0, 1]
    assert summary("test\n", TWO, ("表" * 40, "b")).count("表") == 14
