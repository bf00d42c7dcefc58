"""The package as users get it: built, then installed into empty environments with each extra."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mlp_xp

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
USER_PROGRAM = ROOT / "tests" / "helpers" / "user_program.py"

FIT = (
    "import numpy as np; from mlp_xp.sklearn import MLPClassifier;"
    "from sklearn.model_selection import cross_val_score;"
    "X = np.random.default_rng(0).normal(size=(90, 3)); y = X[:, 0] > 0;"
    "print(MLPClassifier(max_iter=5).fit(X, y).score(X, y));"
    "print(cross_val_score(MLPClassifier(max_iter=5), X, y, cv=3))"
)
# For each extra, lines of sh that need it, and nothing else. The folder has a table, pictures,
# arrays, and a run.
NEEDS = {
    "table": "mlp-xp train --data t.csv --epochs 1 --out t --device cpu && "
    "mlp-xp predict t t.csv --out t.parquet",
    "pictures": "mlp-xp train --data pictures --epochs 1 --out p --device cpu && "
    "mlp-xp predict p pictures/a/0.png",
    "plot": "mlp-xp report run && mlp-xp plot run --what weights --out w.pdf",
    "completion": "mlp-xp --completion bash >script && . ./script && "
    "COMP_LINE='mlp-xp tr' COMP_POINT=9 _ARGCOMPLETE=1 mlp-xp 8>answer && grep train answer",
    "sklearn": f"python -c '{FIT}'",
    "onnx": "python -m mlp_xp export run --format onnx --out m.onnx && test -s m.onnx",
    "mpi": "mlp-xp train --data a.npz --epochs 1 --out one --distributed && "
    "mpiexec -n 2 mlp-xp train --data a.npz --epochs 1 --out two --distributed",
    "tensorboard": "mlp-xp train --data a.npz --epochs 1 --out tb --log tensorboard && "
    "find . -name '*tfevents*' | grep .",
}
NOT_ALONE = {
    "cuda12": "half a gigabyte, for a GPU: its versions are looked up, see below",
    "cuda13": "the same; the tests of the images install it",
    "test": "the README's second command installs it alone",
    "emulator": "for the tests of CUDA, which CI runs with it",
    "image": "for the tests of the images",
    "bench": "several gigabytes of peers",
    "lint": "CI's own",
}

Environments = Callable[[str], Path]


def call(*command: object, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in command], cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": "", **environment}, timeout=600,
    )  # fmt: skip


def run(lines: str, environment: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Lines of sh with the environment active."""
    path = f"{environment / 'bin'}:{os.environ['PATH']}"
    return call("bash", "-c", lines, folder=folder, PATH=path)


@pytest.fixture(scope="session")
def built(tmp_path_factory) -> tuple[Path, Path]:
    """The sdist, and the wheel that is built from it."""
    pytest.importorskip("build")
    folder = tmp_path_factory.mktemp("dist")
    done = call(sys.executable, "-m", "build", "--outdir", folder, ROOT, folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return sdist, wheel


@pytest.fixture(scope="session")
def environments(built, tmp_path_factory) -> Environments:
    """Makes an environment with the wheel and an extra, or none for ""."""
    made: dict[str, Path] = {}

    def environment(extra: str) -> Path:
        if extra not in made:
            place = tmp_path_factory.mktemp("environment")
            # pip from outside: an environment with its own takes twice as long to make.
            assert (
                call(sys.executable, "-m", "venv", "--without-pip", place, folder=place).returncode
                == 0
            )
            pip = (sys.executable, "-m", "pip", "--python", place / "bin" / "python")
            package = f"{built[1]}[{extra}]" if extra else built[1]
            done = call(*pip, "install", "-q", "--no-compile", package, folder=place)
            assert done.returncode == 0, done.stderr
            made[extra] = place
        return made[extra]

    return environment


@pytest.fixture(scope="session")
def prepared(environments, tmp_path_factory) -> Path:
    """Outside of the clone: a table, pictures, arrays, and a run of MNIST."""
    folder = tmp_path_factory.mktemp("folder")
    rng = np.random.default_rng(0)
    lines = [f"{a},{b},{'xy'[int(a > b)]}" for a, b in rng.integers(0, 9, (60, 2))]
    (folder / "t.csv").write_text("\n".join(["a,b,kind", *lines]))
    for name in "ab":
        (folder / "pictures" / name).mkdir(parents=True)
        for i in range(9):
            Image.new("L", (6, 6), 9 * i + 150 * (name == "b")).save(
                folder / "pictures" / name / f"{i}.png"
            )
    np.savez(folder / "a.npz", X=rng.normal(size=(60, 4)), y=np.arange(60) % 3)
    done = run("mlp-xp train --epochs 1 --device cpu --out run", environments(""), folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_core_installs_four_packages():
    names = {re.match(r"[\w-]+", dependency)[0] for dependency in PROJECT["dependencies"]}
    assert names == {"numpy", "safetensors", "threadpoolctl", "tqdm"}


def test_every_extra_is_tried_alone_or_a_reason_given():
    assert set(EXTRAS) <= set(NEEDS) | set(NOT_ALONE)


def test_every_remedy_can_be_installed():
    """The package is on no index, so it comes from the clone, with an extra that exists."""
    found = []
    for path in (*(ROOT / "mlp_xp").rglob("*.py"), ROOT / "bench" / "pictures.py"):
        text = path.read_text(encoding="utf-8").replace("{extra}", "cuda13")  # of probe.py
        assert "mlp_xp[" not in text, path
        for extras in re.findall(r"'\.\[([^]]*)\]'", text):
            found += extras.split(",")
    assert set(found) >= {"table", "pictures", "plot", "completion", "cuda12", "cuda13"}
    assert set(found) <= set(EXTRAS)


def test_the_users_program_has_every_public_name():
    text = USER_PROGRAM.read_text(encoding="utf-8")
    assert [name for name in mlp_xp.__all__ if not re.search(rf"\b{name}\b", text)] == []


@pytest.mark.full
def test_the_wheel_holds_the_package_alone(built):
    with zipfile.ZipFile(built[1]) as wheel:
        names = wheel.namelist()
    folders = {name.split("/")[0] for name in names}
    assert folders == {"mlp_xp", f"mlp_xp-{mlp_xp.__version__}.dist-info"}
    assert {"mlp_xp/py.typed", "mlp_xp/data/mnist.npz"} <= set(names)
    assert {"LICENSE", "NOTICE"} <= {name.split("/")[-1] for name in names}
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "mlp_xp").rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == sources


@pytest.mark.full
def test_the_sdist_holds_what_its_tests_need(built, tmp_path):
    """Every file of the repository, in which the tests pass."""
    listed = call("git", "ls-files", folder=ROOT)
    if listed.returncode:
        pytest.skip("not a clone")
    with tarfile.open(built[0]) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert set(listed.stdout.splitlines()) - names == set()


@pytest.mark.full
def test_an_empty_environment_trains(environments, tmp_path):
    environment = environments("")
    installed = call(
        sys.executable, "-m", "pip", "--python", environment / "bin" / "python", "list",
        "--format=freeze", folder=tmp_path,
    ).stdout  # fmt: skip
    names = {line.partition("==")[0] for line in installed.splitlines()}
    assert names == {"mlp_xp", "numpy", "safetensors", "threadpoolctl", "tqdm"}
    done = run("mlp-xp train --epochs 1", environment, tmp_path)
    assert done.returncode == 0, done.stderr
    assert float(re.search(r"test accuracy ([\d.]+)%", done.stdout)[1]) > 90
    for program in ("mlp_xp", "mlp-xp", "python -m mlp_xp"):
        done = run(f"{program} --version", environment, tmp_path)
        assert done.stdout.startswith(f"mlp_xp {mlp_xp.__version__}\nPython ")


@pytest.mark.full
@pytest.mark.parametrize("extra", [extra for extra in EXTRAS if extra in NEEDS])
def test_each_extra_works_alone_and_is_named_where_it_is_missing(extra, environments, prepared):
    done = run(NEEDS[extra], environments(""), prepared)
    assert done.returncode != 0
    remedy = f"pip install '.[{extra}]'"
    assert remedy in done.stderr.splitlines()[-1]
    if extra != "sklearn":  # there it is an exception
        assert "Traceback" not in done.stderr
        assert done.stderr.count(remedy) == 1
    done = run(NEEDS[extra], environments(extra), prepared)
    assert done.returncode == 0, done.stderr


@pytest.mark.full
@pytest.mark.parametrize(
    ("extra", "cupy"), [("cuda12", "cupy-cuda12x"), ("cuda13", "cupy-cuda13x")]
)
def test_the_cuda_extras_can_be_resolved(extra, cupy, built, environments, tmp_path):
    python = environments("") / "bin" / "python"
    done = call(
        *(sys.executable, "-m", "pip", "--python", python, "install", "--dry-run", "--quiet"),
        *("--report", "report.json", f"{built[1]}[{extra}]"),
        folder=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    names = {entry["metadata"]["name"] for entry in report["install"]}
    assert {cupy, "cuda-toolkit"} <= names
    assert any("cublas" in name for name in names)


@pytest.mark.full
def test_a_users_program_runs_and_is_type_checked(environments, tmp_path):
    pytest.importorskip("mypy")
    environment = environments("")
    shutil.copy(USER_PROGRAM, tmp_path)
    done = run(f"python -W error {USER_PROGRAM.name}", environment, tmp_path)
    assert done.returncode == 0, done.stderr
    python = environment / "bin" / "python"
    mypy = (sys.executable, "-m", "mypy", "--strict", "--python-executable", python)
    done = call(*mypy, USER_PROGRAM.name, folder=tmp_path)
    assert done.returncode == 0, done.stdout
