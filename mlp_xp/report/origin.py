"""The sections on where a run comes from: its data, its settings, and how to repeat it."""

from __future__ import annotations

import json
import shlex
from typing import Any

from mlp_xp.report.parts import Card, Section, Table
from mlp_xp.report.reading import ReportRun
from mlp_xp.run_settings import RunSettings
from mlp_xp.training import config_for

OF_DATA = ("data", "label", "validation_data", "weight", "drop", "test", "size", "notes")


def data_section(run: ReportRun) -> Section:
    """What the run was trained on."""
    start = next((r for r in run.records if r["record"] == "start"), {})
    data = start.get("data") or {}
    settings, usual = run.summary.settings, RunSettings().to_dict()
    cards = [
        Card(words, f"{data[name]:,}")
        for name, words in (
            ("train_rows", "training rows"), ("test_rows", "test rows"), ("features", "inputs"),
            ("outputs", "outputs"),
        )
        if isinstance(data.get(name), int)
    ]  # fmt: skip
    rows = [
        [name, shown(settings.get(name))]
        for name in OF_DATA
        if name == "data" or (name != "notes" and settings.get(name) != usual[name])
    ]
    notes = [f"{note[:1].upper()}{note[1:]}." for note in settings.get("notes") or ()]
    table = Table("Where it comes from", ["setting", "value"], rows)
    return Section("data", "Data", cards, tables=[table], after=notes)


def settings_section(run: ReportRun) -> Section:
    """All settings: those that were given, those that follow from the data, and the defaults."""
    settings, usual = run.summary.settings, RunSettings().to_dict()
    by_data = _by_data(run)
    names = [name for name in settings if name not in (*OF_DATA, "threads")]  # see repeat_section
    other = [name for name in names if settings[name] != usual.get(name)]
    followed = [name for name in other if settings[name] == by_data.get(name)]
    given = [name for name in other if name not in followed]
    default = [name for name in names if name not in other]
    tables = [
        Table(caption, ["setting", "value"], [[name, shown(settings[name])] for name in which])
        for caption, which in (("Given", given), ("Chosen by the data", followed))
        if which
    ]
    rest = [[name, shown(settings[name])] for name in default]
    folded = [Table("All others, which have their defaults", ["setting", "value"], rest)]
    return Section("settings", "Settings", tables=tables, folded=folded)


def _by_data(run: ReportRun) -> dict[str, Any]:
    """The settings that follow from the data, for the run's optimizer; none without the data."""
    if run.data is None:
        return {}
    optimizer = config_for(run.data).optimizer
    config = config_for(run.data, optimizer=run.summary.settings.get("optimizer", optimizer))
    return {**config.to_dict(), "optimizer": optimizer}


def repeat_section(run: ReportRun) -> Section:
    """How to get the same again."""
    config = shlex.quote(str(run.folder.config.absolute()))
    code = [f"python -m mlp_xp train --config {config}"]
    starts = [record for record in run.records if record["record"] in ("start", "resume")]
    texts = [
        "The same settings, seed, data and number of threads give the same bits on the same kind "
        "of processor and device. This starts the run once more, in a new folder:"
    ]
    rows: list[list[str]] = []
    if starts:
        last = starts[-1]
        rows += [[name, shown(value)] for name, value in (last.get("versions") or {}).items()]
        device = last.get("device") or {}
        rows += [
            ["device", shown(device.get("used"))],
            ["worker processes", shown(device.get("workers"))],
            ["ranks", shown(device.get("ranks", 1))],
        ]
        rows += [["started", shown(starts[0].get("time"))]]
        if len(starts) > 1:
            rows += [["continued", ", ".join(shown(s.get("time")) for s in starts[1:])]]
    rows += [["threads", shown(run.summary.settings.get("threads"))]]
    rows += [["run folder", str(run.path.absolute())]]
    after = []
    if run.summary.settings.get("init_from"):
        after = ["The run began with the weights of another model, which --init-from names."]
    if len(starts) > 1:
        after.append(
            "The run was continued. If that was with more epochs or other settings than it was "
            "started with, a run that has them from its start goes another way: repeat the steps."
        )
    table = Table("Where it ran", ["what", "value"], rows)
    return Section("repeat", "Repeat it", texts=texts, code=code, tables=[table], after=after)


def shown(value: Any) -> str:
    """A setting's value as a reader has it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(shown, value)) or "none"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value) if isinstance(value, str | int) else json.dumps(value)
