"""Single answers of a model, each with the row it is of."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from mlp_xp.report.figures import style
from mlp_xp.report.findings import Answer
from mlp_xp.report.parts import share
from mlp_xp.schema import Picture

LONGEST = 20


@style.styled
def draw_answers(
    answers: Sequence[Answer], picture: Picture | None, low: float = 0.0, high: float = 1.0
) -> Figure:
    """What a model says of some rows, beside what is true.

    Rows that are pictures are shown, with `2, not 7` above where 2 is the answer and 7 is true, and
    the answer's probability. low, high: the values that are black and white. Of other rows, bars
    show the probabilities of the answer and of the true class; numbers are dots on a line.
    """
    if picture is not None:
        return _pictures(answers, picture, low, high)
    groups = {
        target: [answer for answer in answers if answer.target == target]
        for target in dict.fromkeys(answer.target for answer in answers)
    }  # each in units of its own
    counts = [len(group) for group in groups.values()]
    figure = Figure((style.COLUMN, 0.35 + 0.4 * sum(counts) + 0.4 * len(counts)))
    if not counts:
        return figure
    grid = figure.subplots(len(counts), squeeze=False, gridspec_kw={"height_ratios": counts})
    for (target, group), axes in zip(groups.items(), grid[:, 0], strict=True):
        if all(isinstance(answer.true, float | int) for answer in group):
            _draw_numbers(axes, group)
        else:
            _draw_probabilities(axes, group)
        if target:
            axes.set_title(style.cut(target, 2 * LONGEST))
        axes.set_ylim(len(group) - 0.45, -0.6)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
    figure.legend(
        handles=_handles(answers), loc="outside upper left", ncols=2, borderpad=0,
        handlelength=1, handleheight=0.8, columnspacing=1.2,
    )  # fmt: skip
    return figure


def _pictures(answers: Sequence[Answer], picture: Picture, low: float, high: float) -> Figure:
    titles = [_title(answer) for answer in answers]
    longest = max((len(line) for title in titles for line in title.split("\n")), default=0)
    columns = 5 if longest <= 9 else 4 if longest <= 12 else 3
    rows = max(math.ceil(len(answers) / columns), 1)
    side = style.COLUMN / columns
    lines = max((title.count("\n") + 1 for title in titles), default=0)
    height = side * picture.height / picture.width * 0.86 + 0.14 * lines + 0.06
    figure = Figure((style.COLUMN, rows * height + 0.25))
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(answers) :]:
        axes.set_axis_off()
    for answer, title, axes in zip(answers, titles, grid.flat, strict=False):
        axes.imshow(_image(answer, picture, low, high), vmin=0, vmax=1, cmap="gray")
        style.framed(axes)
        axes.set_title(title, loc="center", fontsize=7, pad=2.5)
    if any(answer.true != answer.given for answer in answers):
        sure = any(answer.p_given is not None for answer in answers)
        figure.suptitle(
            "the answer, not what is true" + "; below it, its probability" * sure, x=0.02,
            ha="left", fontsize=7, color=style.SOFT,
        )  # fmt: skip
    return figure


def _title(answer: Answer) -> str:
    true, given = _name(answer.true), _name(answer.given)
    lines = f"{style.cut(answer.target, LONGEST)}:\n{given}" if answer.target else given
    if true != given:
        lines += f", not {true}" if len(true) + len(given) <= 6 else f",\nnot {true}"
    return lines if answer.p_given is None else f"{lines}\n{share(answer.p_given, 0)}"


def _image(answer: Answer, picture: Picture, low: float, high: float) -> np.ndarray:
    """The row as a picture: (height, width), or (height, width, 3) in color, from 0 to 1."""
    values = np.asarray(answer.x, dtype=np.float64)
    values = np.clip((values - low) / ((high - low) or 1), 0, 1)
    image = np.nan_to_num(values).reshape(picture.height, picture.width, picture.channels)
    return image[..., 0] if picture.channels == 1 else image


def _name(value: str | float) -> str:
    text = value if isinstance(value, str) else f"{value:.4g}".replace("-", "\N{MINUS SIGN}")
    return style.cut(text, LONGEST) or "none"


def _draw_probabilities(axes: Axes, answers: Sequence[Answer]) -> None:
    for i, answer in enumerate(answers):
        true, given = _name(answer.true), _name(answer.given)
        is_right = answer.true == answer.given
        label = f"row {answer.row}: {given}"
        axes.text(0, i - 0.07, label if is_right else f"{label} (true: {true})", fontsize=7.5)
        bars = [(answer.p_given, style.ACCENT if is_right else style.AGAINST)]
        bars += [] if is_right else [(answer.p_true, style.ACCENT)]
        for j, (p, color) in enumerate(bars):
            if p is not None:
                axes.barh(i + 0.2 * j, p, 0.18, color=color, align="edge", left=0)
                axes.annotate(
                    share(p, 1), (p, i + 0.2 * j + 0.1), xytext=(3, 0),
                    textcoords="offset points", va="center", fontsize=6.5, color=style.SOFT,
                )  # fmt: skip
    axes.set_xlim(0, 1.12)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
    axes.xaxis.set_major_formatter(style.in_percent())
    axes.spines["bottom"].set_bounds(0, 1)
    axes.set_xlabel("probability")


def _draw_numbers(axes: Axes, answers: Sequence[Answer]) -> None:
    for i, answer in enumerate(answers):
        label = f"row {answer.row}: {_name(answer.given)} (true: {_name(answer.true)})"
        axes.text(
            0, i - 0.07, label, fontsize=7.5, transform=axes.get_yaxis_transform(),
        )  # fmt: skip
        ends = [float(answer.true), float(answer.given)]
        axes.plot(ends, [i + 0.17] * 2, color=style.LINE, linewidth=2.5, solid_capstyle="round")
        axes.plot(ends[:1], [i + 0.17], "o", color=style.ACCENT, markersize=5)
        axes.plot(ends[1:], [i + 0.17], "D", color=style.AGAINST, markersize=4)
    axes.margins(x=0.06)
    axes.xaxis.set_major_formatter(style.plain())
    axes.grid(axis="x")


def _handles(answers: Sequence[Answer]) -> list[Patch] | list[Line2D]:
    if all(isinstance(answer.true, float | int) for answer in answers):
        return [
            Line2D([], [], linestyle="", marker=marker, markeredgewidth=0, color=color, label=label)
            for marker, color, label in (
                ("o", style.ACCENT, "true"), ("D", style.AGAINST, "predicted"),
            )
        ]  # fmt: skip
    handles = [Patch(color=style.ACCENT, label="the true class")]
    if any(answer.true != answer.given for answer in answers):
        handles.insert(0, Patch(color=style.AGAINST, label="the answer, wrong"))
    return handles
