"""The sections of a report on several runs: what they have come to, and what they differ in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlp_xp.report import figures
from mlp_xp.report.origin import shown
from mlp_xp.report.parts import Section, Table, share
from mlp_xp.report.reading import ReportRun
from mlp_xp.report.sections import of_outputs, told_of
from mlp_xp.run_list import differing, duration, sort_runs


def comparison_sections(runs: Sequence[ReportRun]) -> list[Section]:
    """The runs as a table, their curves in one picture, and the classes side by side."""
    sections = [Section("runs", "The runs", tables=[_results(runs), _settings(runs)])]
    curves = [run.curves for run in runs if run.curves.epochs]
    if curves:
        svg = figures.to_svg(figures.draw_curves(curves), "curves", "Learning curves")
        text = "The training loss of each run."
        if any(value is not None for c in curves for value in c.validation):
            text = "Solid lines are the training loss, dashed ones that on the validation set."
        told = [[c.name, told_of(c)] for c in curves]
        table = Table("The curves in words", ["run", "curve"], told)
        sections.append(Section("learning", "Learning", figures=[(svg, text)], folded=[table]))
    classes = _by_class(runs)
    return [*sections, classes] if classes else sections


def _results(runs: Sequence[ReportRun]) -> Table:
    """The best run first."""
    by_path = {run.summary.path: run for run in runs}
    order = [by_path[s.path] for s in sort_runs([run.summary for run in runs], "test")]
    splits = dict.fromkeys(r.summary.result["split"] for r in runs if r.summary.result)
    head = ["run", "data", *splits, "validation", "epochs", "training", "device", "state"]
    rows = []
    for run in order:
        s = run.summary
        rows.append([
            run.name, s.data, *(_score(s.columns.get(name)) for name in splits),
            _score(s.columns.get("validation")), f"{s.epochs_done}/{s.epochs}",
            duration(s.seconds), s.device or "", s.state,
        ])  # fmt: skip
    used = [i for i in range(len(head)) if any(row[i] for row in rows)]
    numbers = [
        i
        for i, place in enumerate(used)
        if head[place] in (*splits, "validation", "epochs", "training")
    ]
    return Table(
        "Results, the best first" if len({run.summary.data for run in order}) == 1 else "Results",
        [head[i] for i in used],
        [[row[i] for i in used] for row in rows], frozenset(numbers),
    )  # fmt: skip


def _score(score: Any) -> str:
    if score is None:
        return ""
    name, value = score
    return {"accuracy": share(value), "r2": f"R2 {value:.3f}", "loss": f"loss {value:.4f}"}[name]


def _settings(runs: Sequence[ReportRun]) -> Table:
    """A row for each setting that isn't the same in all runs, a column for each run."""
    names = differing([run.summary for run in runs])
    rows = [
        [name, *(shown(run.summary.settings_by_column.get(name)) for run in runs)] for name in names
    ]
    caption = "The settings that differ" if rows else "All settings are the same"
    return Table(caption, ["setting", *(run.name for run in runs)], rows)


def _by_class(runs: Sequence[ReportRun]) -> Section | None:
    """F1 of each class or label, where all runs have the same."""
    names = runs[0].names
    if not names or any(run.names != names for run in runs):
        return None
    columns = [of_outputs(run.summary.result or {}, ["f1"], len(names)) for run in runs]
    if not all(columns):
        return None
    rows = [[name, *(share(c[0][k], 1) for c in columns)] for k, name in enumerate(names)]
    head = ["class", *(run.name for run in runs)]
    table = Table("F1 of each class", head, rows, frozenset(range(1, len(head))))
    return Section("classes", "Classes", tables=[table])
