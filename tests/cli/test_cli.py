"""The commands as users run them, most of them in a process of their own."""

import json
import platform
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from processes import ENVIRONMENT
from processes import run_python as run

import mlp_xp
from mlp_xp.cli import main
from mlp_xp.nn import ACTIVATIONS, Activation
from mlp_xp.runs import RunFolder


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with a data set of three well-separated classes, and a run called `run`."""
    folder = tmp_path_factory.mktemp("cli")
    rng = np.random.default_rng(4)
    y = np.arange(240) % 3
    X = rng.integers(0, 50, (240, 4, 4), dtype=np.uint8)
    X[np.arange(240), y] += 180
    np.savez(folder / "bars.npz", x_train=X[:200], y_train=y[:200], x_test=X[200:], y_test=y[200:])
    np.savez(folder / "rows.npz", X=X[:50], y=y[:50])
    options = ["--recipe", "image", "--hidden", "8", "--out", "run"]
    done = run("train", "--data", "bars.npz", *options, folder=folder)
    assert done.returncode == 0, done.stderr
    (folder / "printed").write_text(done.stdout)
    recipe, notice, saved = done.stderr.splitlines()
    assert recipe == (
        "mlp_xp: bars: recipe image (200 rows of 16 bytes): inputs as they are, sgd, lr 0.3, "
        "10 epochs"
    )
    assert re.match(r"device (cpu: \w|cuda:0$)", notice)
    assert saved == f"saved {Path('run') / 'model.safetensors'}"
    return folder


def one_line(done: subprocess.CompletedProcess[str], status: int = 2) -> str:
    assert done.returncode == status, done.stderr
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def test_train_prints_an_epoch_a_line_and_the_accuracy_last(place):
    lines = (place / "printed").read_text().splitlines()
    assert len(lines) == 11
    for number, line in enumerate(lines[:10], start=1):
        assert re.fullmatch(
            rf"epoch {number}/10  loss \d\.\d{{4}}  \d+\.\d\d s  [\d,]+ samples/s", line
        )
    assert lines[10].startswith("test accuracy 100.00%  (always '0'")


def test_train_leaves_a_run_folder(place):
    assert {path.name for path in (place / "run").iterdir()} == {
        "model.safetensors",
        "metrics.jsonl",
        "config.json",
        "checkpoint.safetensors",
    }
    start, *epochs, test = map(
        json.loads, (place / "run" / "metrics.jsonl").read_text().splitlines()
    )
    assert start["record"] == "start"
    assert start["device"]["requested"] == "auto"
    assert re.fullmatch(r"cpu|cuda:0", start["device"]["used"])
    assert start["versions"]["numpy"] == np.__version__
    assert start["config"]["hidden"] == [8]
    assert start["data"] == {
        "name": "bars", "train_rows": 200, "test_rows": 40, "features": 16, "outputs": 3,
        "notes": [],
    }  # fmt: skip
    assert [record["epoch"] for record in epochs] == list(range(1, 11))
    assert {"record", "loss", "seconds", "samples_per_second"} <= epochs[0].keys()
    assert test["record"] == "test"
    assert test["accuracy"] == 1.0
    assert 0 < test["loss"] < 1


def test_config_runs_the_same_again(place):
    done = run("train", "--config", "run/config.json", "--out", "again", folder=place)
    assert done.returncode == 0, done.stderr
    models = [(place / name / "model.safetensors").read_bytes() for name in ("run", "again")]
    assert models[0] == models[1]


def test_an_option_beside_a_preset_overrides_it(place):
    done = run(
        "train", "--preset", "notebook", "--data", "bars.npz", "--epochs", 2, "--no-shuffle",
        "--out", "preset", "--quiet", folder=place,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.splitlines()[0].startswith("epoch 1/2  loss ")
    config = json.loads((place / "preset" / "config.json").read_text())
    assert (config["epochs"], config["batch_size"], config["dtype"]) == (2, 1, "float64")


def test_no_hidden_layer_trains(place):
    options = ["--recipe", "image", "--hidden", "", "--out", "linear"]
    done = run("train", "--data", "bars.npz", *options, folder=place)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("test accuracy 100.00%  (always ")
    assert json.loads((place / "linear" / "config.json").read_text())["hidden"] == []
    assert mlp_xp.load_model(place / "linear").sizes == (16, 3)


def test_an_activation_of_a_users_own_script(place, monkeypatch, capsys):
    def softsign(xp, Z):
        return Z / (1 + abs(Z))

    def derivative(xp, A, Z):
        return (1 - abs(A)) ** 2

    monkeypatch.chdir(place)
    command = ["train", "--data", "bars.npz", "--activation", "softsign", "--out", "softsign"]
    command += ["--recipe", "image"]
    with pytest.raises(SystemExit, match="2"):
        main(command)
    assert "invalid choice: 'softsign'" in capsys.readouterr().err
    monkeypatch.setitem(ACTIVATIONS, "softsign", Activation(softsign, derivative, "glorot"))
    assert main(command) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("test accuracy 100.00%  (")
    assert main(["evaluate", "softsign"]) == 0
    assert mlp_xp.load_model("softsign").activation_name == "softsign"
    with pytest.raises(SystemExit, match="0"):
        main(["train", "--help"])
    assert "|softsign" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("objective", "y", "prediction"),
    [
        ("multilabel", np.array([[1, 0], [0, 0], [1, 1]] * 20), r"[01],[01],0\.\d{9},0\.\d{9}"),
        ("regression", np.linspace(-1, 1, 60), r"-?\d[-.e\d]*"),
    ],
)
def test_other_objectives(objective, y, prediction, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.savez("data.npz", X=np.arange(120, dtype=np.uint8).reshape(60, 2), y=y)
    command = ["--data", "data.npz", "--objective", objective, "--hidden", "8"]
    command += ["--recipe", "image", "--lr", "0.01", "--standardize"]
    command += ["--test", "0"]
    options = ["--epochs", "2", "--out", "run", "--quiet"]
    assert main(["train", *command, *options]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    line = {
        "multilabel": r"accuracy \d+\.\d\d%  exact match \d+\.\d\d%  \(always the more .*\)",
        "regression": r"R2 -?\d+\.\d\d  \(RMSE [\d.]+; always the mean.*: 0\.587\)",
    }[objective]
    assert re.fullmatch(f"train {line}", last)
    assert main(["evaluate", "run"]) == 0
    first, *rows = capsys.readouterr().out.splitlines()
    numbers = r"  loss \d\.\d{4}  rows 60  "
    assert re.fullmatch("data train " + line.replace(r"  \(", numbers + r"\(", 1), first)
    assert [row.split()[0] for row in rows[1:3]] == {
        "multilabel": ["0", "1"], "regression": ["0"]
    }[objective]  # fmt: skip
    np.save("rows.npy", np.arange(12, dtype=np.uint8).reshape(6, 2))
    assert main(["predict", "run", "rows.npy"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head == {"multilabel": "row,0,1,p(0),p(1)", "regression": "row,0"}[objective]
    assert len(lines) == 6
    for number, line in enumerate(lines):
        assert re.fullmatch(rf"{number},{prediction}", line), line


def test_validation_is_a_share_or_a_data_set(place, monkeypatch):
    monkeypatch.chdir(place)
    command = ["train", "--data", "bars.npz", "--epochs", "1", "--quiet"]
    assert main([*command, "--recipe", "image", "--validation", "0.2", "--out", "share"]) == 0
    first, second = RunFolder(Path("share")), RunFolder(Path("set"))
    found = first.read_settings()
    assert (found.source.validation_data, found.config.validation) == (None, 0.2)
    assert json.loads(first.metrics.read_text().splitlines()[0])["data"]["train_rows"] == 160
    options = ["--config", str(first.config), "--validation", "rows.npz", "--out", "set"]
    assert main([*command, *options]) == 0
    found = second.read_settings()
    assert found.source.validation_data == str(Path("rows.npz").resolve())
    assert found.config.validation == 0
    start, epoch, _ = map(json.loads, second.metrics.read_text().splitlines())
    assert start["data"]["train_rows"] == 200
    assert epoch["validation_accuracy"] > 0


def test_a_run_folder_gets_a_name(place):
    done = run("train", "--data", "bars.npz", "--epochs", 1, folder=place)
    assert done.returncode == 0, done.stderr
    (folder,) = (place / "runs").iterdir()
    assert re.fullmatch(r"bars-\d{8}-\d{6}", folder.name)


def test_a_run_is_never_overwritten(place):
    before = (place / "run" / "model.safetensors").read_bytes()
    done = run("train", "--data", "bars.npz", "--epochs", 1, "--out", "run", folder=place)
    assert "already holds a run" in one_line(done)
    assert (place / "run" / "model.safetensors").read_bytes() == before


def test_without_a_test_set_the_training_set_is_named(place):
    options = ["--epochs", 30, "--test", 0, "--out", "rows"]
    done = run("train", "--data", "rows.npz", *options, folder=place)
    assert done.stdout.splitlines()[-1].startswith("train accuracy ")
    done = run("evaluate", "rows", folder=place)
    assert done.stdout.startswith("rows train accuracy ")


def test_evaluate(place):
    done = run("evaluate", "run", "--data", "bars.npz", folder=place)
    first, *classes, head, _, _, _ = done.stdout.splitlines()
    rows = done.stdout.splitlines()[-3:]
    line = r"bars.npz test accuracy 100\.00%  loss \d\.\d{4}  rows 40  \(always '0': 32\.5%\)"
    assert re.fullmatch(line, first)
    assert classes[1].split() == ["0", "1.000", "1.000", "1.000", "13"]
    assert head.split()[-3:] == ["0", "1", "2"]
    assert [line.split() for line in rows] == [
        ["0", "13", "0", "0"],
        ["1", "0", "13", "0"],
        ["2", "0", "0", "14"],
    ]


def test_a_run_is_evaluated_on_its_own_data(place):
    (place / "elsewhere").mkdir(exist_ok=True)
    done = run("evaluate", place / "run", folder=place / "elsewhere")
    line = r"bars test accuracy 100\.00%  loss \d\.\d{4}  rows 40  \("
    assert re.match(line, done.stdout), done.stderr


def test_runs_of_the_same_second_get_folders_of_their_own(place):
    folder = place / "crowd"
    folder.mkdir()
    (folder / "some_bars.npz").write_bytes((place / "bars.npz").read_bytes())
    options = ("--data", "some_bars.npz", "--epochs", 1, "--quiet", "--device", "cpu")
    command = [sys.executable, "-m", "mlp_xp", "train", *map(str, options)]
    crowd = [subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, stdout=-3) for _ in range(4)]
    assert [process.wait() for process in crowd] == [0] * 4
    names = [path.name for path in (folder / "runs").iterdir()]
    assert len(names) == 4
    assert all(re.fullmatch(r"some_bars-\d{8}-\d{6}(_\d)?", name) for name in names), names


def test_output_that_cannot_be_written_is_one_line(place):
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "mlp_xp", "evaluate", "run", "--device", "cpu"],
            cwd=place, stdout=full, stderr=subprocess.PIPE, text=True, check=False,
            env=ENVIRONMENT,
        )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == "mlp_xp: error: standard output: No space left on device\n"


def test_suffixes_may_be_capitals(place):
    (place / "BARS.NPZ").write_bytes((place / "bars.npz").read_bytes())
    done = run("evaluate", "run", "--data", "BARS.NPZ", folder=place)
    assert done.stdout.startswith("BARS.NPZ test accuracy 100.00%"), done.stderr


def test_predict_reads_arrays_and_pictures(place):
    digit = np.zeros((4, 4), dtype=np.uint8)
    digit[1] = 230
    np.save(place / "one.npy", digit[np.newaxis])
    Image.fromarray(digit).save(place / "digit.png")
    Image.fromarray(255 - digit).save(place / "inverted.png")
    done = run("predict", "run", "bars.npz", "one.npy", "digit.png", "inverted.png", folder=place)
    head, *lines = [line.split(",") for line in done.stdout.splitlines()]
    assert head == ["row", "file", "class", "p(0)", "p(1)", "p(2)"]
    assert len(lines) == 40 + 3
    files = ["one.npy", "digit.png", "inverted.png"]
    assert [line[:2] for line in lines[-4:]] == [["39", "bars.npz"], *(["0", f] for f in files)]
    assert {line[2] for line in lines[-3:]} == {"1"}
    assert lines[-1][2:] == lines[-2][2:] == lines[-3][2:]
    for line in lines:
        assert sum(map(float, line[3:])) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "--data", "absent.npz"], "absent.npz: no such file"),
        (["train", "--hidden", "a,b"], "'a,b' is not a list of numbers; write 128 or 512,256"),
        (["train", "--epochs", "0"], "epochs is 0"),
        (["train", "--epochs", "many"], "invalid int value"),
        (["train", "--preset", "notebook", "--config", "run/config.json"], "exclude each other"),
        (["train", "--config", "bars.npz"], "bars.npz: not valid JSON"),
        (["train", "--config", "absent.json"], "absent.json: No such file"),
        (
            ["train", "--data", "bars.npz", "--out", "bars.npz"],
            "bars.npz: can't be created: File exists; use another --out",
        ),
        (["train", "--data", "bars.npz", "--lr", "nan"], "lr is nan"),
        (["evaluate", "absent"], "absent: "),
        (["evaluate", "bars.npz"], "not a model"),
        (["evaluate", "run", "--data", "mnist"], "takes 16 inputs, the data has 784"),
        (["predict", "run", "printed"], "printed: predict reads .npy"),
        (["predict", "run", "absent.npy"], "No such file"),
        (["teach"], "invalid choice"),
        ([], "required"),
    ],
)
def test_errors_are_one_line(arguments, words, place):
    before = sorted(path for path in place.rglob("*"))
    assert words in one_line(run(*arguments, folder=place))
    assert sorted(path for path in place.rglob("*")) == before


def test_version_and_help(place):
    done = run("--version", folder=place)
    own, python, numpy, cupy = done.stdout.splitlines()
    assert own == f"mlp_xp {mlp_xp.__version__}"
    assert python.startswith(f"Python {platform.python_version()}, ")
    assert re.fullmatch(rf"NumPy {re.escape(np.__version__)}, \w+ \S+ \(.+\), \d+ threads", numpy)
    assert re.fullmatch(r"CuPy (not installed|cupy\S* \d\S*)", cupy)
    assert done.stderr == ""
    for command in ([], ["train"], ["evaluate"], ["predict"], ["doctor"]):
        done = run(*command, "--help", folder=place)
        assert done.returncode == 0
        assert done.stdout.startswith(" ".join(["usage: mlp_xp", *command]) + " ")
        assert done.stderr == ""


@pytest.mark.parametrize("command", ["evaluate run --device cpu --data bars.npz", "train --help"])
def test_a_reader_that_goes_away_is_not_an_error(command, place):
    done = subprocess.run(
        f'"{sys.executable}" -m mlp_xp {command} | true',
        shell=True, cwd=place, capture_output=True, text=True, check=False,
        env=ENVIRONMENT,
    )  # fmt: skip
    assert done.stderr == ""
