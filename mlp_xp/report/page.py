"""A report as one HTML file, which needs no network, no server and no other file."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from mlp_xp import __version__
from mlp_xp.errors import InputError
from mlp_xp.files import write_atomic
from mlp_xp.report import inner_sections, origin, sections
from mlp_xp.report.answer_sections import answers_section
from mlp_xp.report.comparison import comparison_sections
from mlp_xp.report.drawing import drawing_script, drawing_style
from mlp_xp.report.parts import Section
from mlp_xp.report.reading import ReportRun, read_runs

TEMPLATES = resources.files("mlp_xp.report") / "templates"
SECTIONS = (
    sections.result_section, sections.learning_section, sections.confusion_section,
    sections.numbers_section, sections.calibration_section, answers_section,
    inner_sections.learned_section, inner_sections.drawing, inner_sections.inside_section,
    origin.data_section, origin.settings_section, origin.repeat_section,
)  # fmt: skip
"""The sections of a report on one run, in their order: each is left out where it has nothing."""


def write_report(runs: Sequence[Path], out: Path, *, data: str | None = None) -> None:
    """Write the report on a run, or the comparison of several, to `out`, whole or not at all.

    data: where the data of a single run is, if it has moved. What can't be had, such as the data of
    a run that has gone, is left out with a warning, and the page says so. Raises InputError
    without matplotlib and Jinja, for a folder that holds no run or a damaged one, and if the
    file can't be written.
    """
    read = read_runs(runs, data)
    if len(read) > 1:
        names = ", ".join(run.name for run in read)
        page = _render("Comparison of runs", names, "", comparison_sections(read), [])
    else:
        run = read[0]
        found = [section for make in SECTIONS if (section := make(run)) is not None]
        page = _render("Report of a run", run.summary.name, _about(run), found, run.missing)
    write_atomic(out, _encoded(page))


def write_drawing(path: Path, out: Path, *, data: str | None = None) -> None:
    """Write the page on which one draws a picture for a run's model, alone.

    Raises InputError as write_report() does, and for a model that takes no pictures.
    """
    run = ReportRun(path, data)
    section = inner_sections.drawing(run, alone=True)
    if section is None or not section.fragment:
        why = run.missing or (section and section.texts) or ["the model takes no pictures"]
        raise InputError(f"{path}: there is nothing to draw on: {why[0]}")
    page = _render("A network at work", run.summary.name, _about(run), [section], [])
    write_atomic(out, _encoded(page))


def _encoded(page: str) -> bytes:
    """In UTF-8; the name of a folder may hold bytes that no text has, and are then spelled out."""
    return page.encode(errors="backslashreplace")


def _about(run: ReportRun) -> str:
    """The run in a line: its data, and its network."""
    parts = [run.summary.data]
    if run.model is not None:
        parts += ["-".join(map(str, run.model.sizes)), run.model.activation_name]
    if run.summary.started:
        parts.append(run.summary.started[:10])
    return " · ".join(parts)


def _render(
    kind: str, title: str, about: str, found: Sequence[Section], missing: Sequence[str]
) -> str:
    """The page. All texts are escaped; only SVG, style, scripts and fragments are HTML already."""
    try:
        import jinja2
        from markupsafe import Markup
    except ImportError as error:
        raise InputError("a report needs Jinja: pip install '.[plot]' in the clone") from error
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mlp_xp.report"), autoescape=True, trim_blocks=True,
        lstrip_blocks=True, undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    environment.filters["capitalize_first"] = lambda text: text[:1].upper() + text[1:]
    style, script = (_text(f"page.{suffix}") for suffix in ("css", "js"))
    if any(section.fragment for section in found):
        style, script = style + drawing_style(), script + drawing_script()
    return environment.get_template("base.html").render(
        kind=kind, title=title, about=about, sections=[_marked(s, Markup) for s in found],
        missing=missing, version=__version__, style=Markup(style), script=Markup(script),
    )  # fmt: skip


def _marked(section: Section, markup: Any) -> dict[str, Any]:
    """The section for the template, with what is HTML already marked as such."""
    figures = [(markup(svg), text) for svg, text in section.figures]
    return {**vars(section), "figures": figures, "fragment": markup(section.fragment)}


def _text(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")
