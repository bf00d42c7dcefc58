"""`runs`: the list of runs, from what they leave on disk."""

import json
import os
import shutil
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from processes import run_python

from mlp_xp import InputError
from mlp_xp.cli import main
from mlp_xp.cli.columns import width
from mlp_xp.files import exclusive, is_locked
from mlp_xp.run_list import RunSummary, duration, read_run, sort_runs
from mlp_xp.run_settings import RunSettings

START = {
    "record": "start", "time": "2030-01-01T00:00:00+0000",
    "device": {"requested": "auto", "used": "cpu", "fallback_reason": None}, "data": {"name": "d"},
}  # fmt: skip


def epoch(number: int, **figures: float) -> dict:
    return {"record": "epoch", "epoch": number, "loss": 1 / number, "seconds": 2.5, **figures}


def write_run(path: Path, records: list[dict], **settings: object) -> Path:
    """A run's folder, as `train` leaves it."""
    path.mkdir(parents=True)
    values = {**RunSettings().to_dict(), "data": "/some/data.csv", **settings}
    (path / "config.json").write_text(json.dumps(values))
    (path / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    return path


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    later = {**START, "time": "2030-01-01T03:00:00+0200"}  # an hour later
    scores = {"validation_loss": 0.5, "validation_accuracy": 0.7}
    better = {"validation_loss": 0.6, "validation_accuracy": 0.8}
    write_run(
        Path("runs/old"), [START, epoch(1, **scores), epoch(2, **better),
        {"record": "test", "loss": 0.4, "accuracy": 0.75}], epochs=2, lr=0.3,
    )  # fmt: skip
    write_run(Path("runs/new"), [later, epoch(1), {"record": "test", "loss": 0.3, "accuracy": 0.9}],
              epochs=1, lr=0.05, hidden=[30, 20])  # fmt: skip
    write_run(Path("runs/half"), [START, epoch(1), {**START, "record": "resume"}, epoch(2)], lr=0.1)
    Path("runs/notes").mkdir()
    Path("runs/a file").write_text("")
    return tmp_path


def rows_of(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_what_differs_is_a_column(place, capsys):
    assert not main(["runs"])
    out, err = capsys.readouterr()
    assert err == ""
    assert out.splitlines()[0].split() == [
        "name", "data", "hidden", "lr", "epochs", "validation", "test", "time", "device", "state"
    ]  # fmt: skip
    assert out.splitlines()[1:] == [
        "new   d      30,20  0.05     1/1              90.00%  2.5 s  cpu     finished",
        "half  d        256   0.1    2/10                      5.0 s  cpu     stopped",
        "old   d        256   0.3     2/2      80.00%  75.00%  5.0 s  cpu     finished",
    ]


@pytest.mark.parametrize(
    ("column", "order"),
    [
        ("test", "new old half"),
        ("validation", "old half new"),
        ("validation_loss", "old half new"),
        ("lr", "new half old"),
        ("name", "half new old"),
        ("epochs", "new half old"),
        ("time", "new half old"),
        ("loss", "half old new"),
        ("state", "new old half"),
        ("started", "new half old"),
        ("validation-accuracy", "old half new"),
        ("hidden", "half old new"),
        ("test_share", "half new old"),
    ],
)
def test_sorting(column, order, place, capsys):
    main(["runs", "--sort", column])
    assert [row[0] for row in rows_of(capsys.readouterr().out)[1:]] == order.split()


def test_an_unknown_column_is_an_error(place, capsys):
    assert main(["runs", "--sort", "tset"]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "no column 'tset' to sort by; there are " in err


def test_json_has_everything(place, capsys):
    assert not main(["runs", "--json"])
    new, half, old = json.loads(capsys.readouterr().out)
    assert old == {
        "name": "old", "path": "runs/old", "data": "d", "state": "finished",
        "started": START["time"], "device": "cpu", "epochs_done": 2, "epochs": 2, "seconds": 5.0,
        "loss": 0.5, "validation_loss": 0.5, "validation_accuracy": 0.8,
        "result": {"loss": 0.4, "accuracy": 0.75, "split": "test"},
        "settings": json.loads(Path("runs/old/config.json").read_text()),
    }  # fmt: skip
    assert (half["state"], half["result"], half["validation_loss"]) == ("stopped", None, None)
    assert new["settings"]["hidden"] == [30, 20]


def test_kinds_of_results_in_one_list(place, capsys):
    figures = {"regression": {"r2": 0.43, "rmse": 3.0}, "clusters": {}}
    for name, values in figures.items():
        result = {"record": "test", "loss": 0.25, "accuracy": None, **values}
        write_run(place / "runs" / name, [START, epoch(1, validation_loss=0.25), result])
    write_run(place / "runs" / "rows", [START, epoch(1), {"record": "train", "accuracy": 0.99}])
    main(["runs", "--sort", "test"])
    head, *lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["new", "old", "regression", "clusters"]
    assert "R2 0.43" in lines[2]
    assert lines[3].count("loss 0.2500") == 2
    (line,) = [line for line in lines if line.startswith("rows")]
    end = head.index("train") + len("train")
    assert line[:end].endswith(" 99.00%")


def test_a_run_by_itself_from_within_too(place, capsys, monkeypatch):
    main(["runs", "runs/old"])
    by_path = capsys.readouterr().out
    monkeypatch.chdir("runs/old")
    main(["runs", "."])
    assert capsys.readouterr().out == by_path
    assert by_path.splitlines()[0].split() == [
        "name", "data", "epochs", "validation", "test", "time", "device", "state"
    ]  # fmt: skip


def test_nothing_to_list(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["runs"]) == 2
    assert capsys.readouterr() == (
        "", "mlp_xp: error: runs: No such file or directory; give a folder with runs\n"
    )  # fmt: skip
    Path("runs").mkdir()
    assert not main(["runs", "--sort", "test"])
    assert capsys.readouterr() == ("", "runs: no runs in there\n")
    assert not main(["runs", "--json"])
    assert capsys.readouterr() == ("[]\n", "")
    Path("file").write_text("")
    assert main(["runs", "file"]) == 2
    assert capsys.readouterr().err.endswith("file: Not a directory; give a folder with runs\n")


DAMAGES = {
    "no JSON": ("config.json", b"{"),
    "no object": ("config.json", b"[1]"),
    "NaN": ("config.json", b'{"lr": NaN, "epochs": 1}'),
    "infinite": ("config.json", b'{"lr": 1e999, "epochs": 1}'),
    "epochs": ("config.json", b'{"epochs": "many"}'),
    "data": ("config.json", b'{"data": 3, "epochs": null}'),
    "bytes": ("metrics.jsonl", b"\xff\xfe\n"),
    "a line": ("metrics.jsonl", b'{"record": "start"\n{}\n'),
    "no record": ("metrics.jsonl", b"[1]\n"),
    "deep": ("metrics.jsonl", b"[" * 100_000 + b"\n"),
    "start": ("metrics.jsonl", b'{"record": "start", "data": 3}\n'),
    "loss": ("metrics.jsonl", b'{"record": "epoch", "loss": "low"}\n'),
    "seconds": ("metrics.jsonl", b'{"record": "epoch", "seconds": Infinity}\n'),
    "no end": ("config.json", b'{"epochs": Infinity}'),
    "no float": ("metrics.jsonl", b'{"record": "test", "accuracy": 1%b}\n' % (b"0" * 400)),
    "sum": ("metrics.jsonl", b'{"record": "epoch", "loss": 1, "seconds": 1%b}\n' % (b"0" * 400)),
    "result": ("metrics.jsonl", b'{"record": "test", "accuracy": [1]}\n'),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_run_is_a_line_and_the_others_are_listed(damage, place, capsys):
    name, content = damage
    broken = write_run(place / "runs" / "broken\n\x1b[31m", [START, epoch(1)])
    (broken / name).write_bytes(content)
    assert not main(["runs"])
    out, err = capsys.readouterr()
    assert [row[0] for row in rows_of(out)] == ["name", "new", "half", "old"]
    assert err.count("\n") == 1
    assert err.startswith("mlp_xp: warning: left out: runs/broken\\n\\x1b[31m")
    assert main(["runs", str(broken)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("name", ["metrics.jsonl", "config.json", ".lock"])
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes here")
def test_a_pipe_is_not_waited_for(name, place):
    half = place / "runs" / "half"
    (half / name).unlink(missing_ok=True)
    os.mkfifo(half / name)
    done = run_python("runs", folder=place)
    found = [row[0] for row in rows_of(done.stdout)]
    assert found == ["name", "new", *["half"][: name == ".lock"], "old"]


@pytest.mark.skipif(sys.platform == "win32", reason="there are no locks")
def test_to_look_at_a_lock_refuses_nobody(tmp_path):
    """As `runs` does while `train` starts."""
    import fcntl

    with (tmp_path / ".lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        letting_go = threading.Timer(0.03, fcntl.flock, (file, fcntl.LOCK_UN))
        letting_go.start()
        with exclusive(tmp_path / ".lock"):
            assert is_locked(tmp_path / ".lock")
            with pytest.raises(InputError, match="another process is writing there"):
                exclusive(tmp_path / ".lock").__enter__()
        letting_go.join()


def test_what_a_kill_leaves_is_no_damage(place):
    with Path("runs/half/metrics.jsonl").open("a") as file:
        file.write('{"record": "epoch", "epoch": 3, "lo')
    (place / "runs" / "half" / ".lock").write_bytes(b"")
    run = read_run(Path("runs/half"))
    assert (run.state, run.epochs_done) == ("stopped", 2)
    Path("runs/half/metrics.jsonl").write_text("")
    run = read_run(Path("runs/half"))
    assert (run.data, run.started, run.device, run.epochs_done) == ("data", None, None, 0)


def test_a_run_that_another_process_trains_is_running(place):
    lock = place / "runs" / "half" / ".lock"
    with exclusive(lock):
        assert read_run(Path("runs/half")).state == "running"
    assert read_run(Path("runs/half")).state == "stopped"
    assert not lock.exists()


@pytest.mark.parametrize("room", [20, 70, 80, 100, 120, 300])
def test_a_table_fits_a_terminal(room, place, capsys, monkeypatch):
    """By cutting texts first, then by leaving columns to --json; names are there in full."""
    long = place / "runs" / "a run with a rather long name 表格表格表格表格表格表格"
    write_run(long, [START], optimizer="adam", validation_data="/some/where/far/away.npz")
    monkeypatch.setenv("COLUMNS", str(room))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    main(["runs"])
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert max(map(width, lines)) <= max(room, width(f"{long.name}  90.00%  finished"))
    shown = set(lines[0].split())
    assert {"name", "test", "state"} <= shown
    listed = err.removeprefix("(no room for ").partition(": --json")[0].split(", ") if err else []
    every = {"name", "data", "hidden", "lr", "optimizer", "validation_data", "epochs",
             "validation", "test", "time", "device", "state"}  # fmt: skip
    assert shown | {*listed} == every
    assert not shown & {*listed}
    assert (listed == []) == (room == 300)
    assert long.name in out


@given(st.lists(st.tuples(*3 * [st.none() | st.floats(0, 1)]), min_size=1, max_size=9))
def test_sorting_loses_no_run_and_puts_the_best_first(figures):
    summary = RunSummary(
        name="", path="", data="", state="", started=None, device=None, epochs_done=0, epochs=1,
        seconds=0, loss=None, validation_loss=None, validation_accuracy=None, result=None,
        settings={},
    )  # fmt: skip
    runs = [
        replace(summary, name=str(i), settings={"lr": rate},
                result={"split": "test", "accuracy": accuracy, "loss": loss})
        for i, (accuracy, loss, rate) in enumerate(figures)
    ]  # fmt: skip
    for column in ("test", "lr"):
        ordered = sort_runs(runs, column)
        assert sorted(run.name for run in ordered) == sorted(run.name for run in runs)
        values = [run.columns[column] for run in ordered]
        known = [value for value in values if value is not None]
        assert values[: len(known)] == known
        if column == "lr":
            assert known == sorted(known)
            continue
        for kind, sign in (("accuracy", -1), ("loss", 1)):
            scores = [score for name, score in known if name == kind]
            assert scores == sorted(scores, key=lambda score: sign * score)
    with pytest.raises(InputError, match="no column 'nothing'"):
        sort_runs(runs, "nothing")


def test_durations():
    seconds = (0, 59.94, 59.96, 61, 3599.4, 3599.6, 86400)
    assert [duration(s) for s in seconds] == [
        "0.0 s", "59.9 s", "1 min 00 s", "1 min 01 s", "59 min 59 s", "1 h 00 min", "24 h 00 min"
    ]  # fmt: skip


def test_what_train_leaves_is_listed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.savez("rows.npz", X=np.random.default_rng(0).random((50, 3)), y=np.arange(50) % 2)
    for i, rate in enumerate(("0.1", "0.01")):
        main(["train", "--data", "rows.npz", "--epochs", "2", "--lr", rate, "--device", "cpu",
              "--out", f"runs/{i}", "--quiet"])  # fmt: skip
    capsys.readouterr()
    main(["runs", "--json"])
    listed = json.loads(capsys.readouterr().out)
    assert {run["name"]: run["settings"]["lr"] for run in listed} == {"0": 0.1, "1": 0.01}
    assert all(run["state"] == "finished" and run["result"]["split"] == "test" for run in listed)
    assert all(run["result"]["rows"] == 10 and run["data"] == "rows" for run in listed)


def test_five_hundred_runs_take_about_a_second(place):
    for i in range(500):
        shutil.copytree("runs/old", f"many/{i}")
    started = time.perf_counter()
    done = run_python("runs", "many", folder=place)
    assert time.perf_counter() - started < 5  # on a machine that may be busy
    assert len(done.stdout.splitlines()) == 501
