"""The rules that keep the package simple, checked on its syntax trees."""

import ast
import subprocess
import sys
import traceback
from pathlib import Path

import numpy as np
import pytest
import standin

import mlp_xp
from mlp_xp import Config, Dataset, Split, Trainer
from mlp_xp.cli import COMMANDS
from mlp_xp.devices import Device

PACKAGE = Path(mlp_xp.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
# From the bottom up: each may import those before it, never one after it.
TOP_LEVEL = [
    "types", "lazy", "errors", "files", "versions", "schema", "devices", "nn", "data", "training",
    "run_settings", "runs", "run_data", "run_list", "sklearn", "diagnostics", "export",
    "report", "cli",
]  # fmt: skip
# Within a subpackage, from the bottom up too.
SUBMODULES = {
    "nn": ["activations", "inputs", "rng", "losses", "network", "optimizers", "schedules"],
    "devices": [
        "base", "cores", "kernels", "denormals", "probe", "cublas", "cuda", "nccl", "device",
        "blas",
    ],
    "data": [
        "memory", "checks", "classes", "raw", "values", "columns", "encoder", "labels", "tablefile",
        "header", "csv", "roles", "table", "frames", "arrays", "split", "dataset", "sampling",
        "npz", "idx", "pictures", "source", "rows", "loader", "predictions",
    ],
    "training": [
        "settings", "config", "metrics", "tally", "team", "evaluation", "model", "step",
        "windowed", "ranks", "workers", "captured", "setup", "history", "early_stopping",
        "doubts", "model_file", "checkpoint", "callbacks", "logs", "environment", "trainer",
        "start", "recipes", "api",
    ],
    "sklearn": [
        "losses", "optimizers", "parameters", "convert", "progress", "rows", "step", "validation",
        "fitting", "lbfgs", "base", "classifier", "regressor",
    ],
    "diagnostics": ["kernels", "parity", "ranks", "doctor"],
    "report": [
        "findings", "parts", "answers", "inputs", "inside", "reading", "figures", "plots",
        "pictures", "sections", "answer_sections", "drawing", "inner_sections", "origin",
        "comparison", "page",
    ],
    "export": ["onnx_graph", "onnx_columns", "to_onnx", "to_torch", "from_torch"],
}  # fmt: skip
# Written against xp: these may not name an array library.
MATHEMATICS = {
    "nn/activations.py", "nn/inputs.py", "nn/losses.py", "nn/optimizers.py", "nn/schedules.py",
    "training/windowed/buffers.py", "training/windowed/product.py", "training/windowed/sgd.py",
}  # fmt: skip
EXTRAS = {
    "PIL", "argcomplete", "cupy", "cupyx", "jinja2", "matplotlib", "mpi4py", "onnx", "pyarrow",
    "scipy", "sklearn", "tensorboardX", "torch",
}  # fmt: skip
CORE_LINES = 1000


def name_of(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def imports(path: Path) -> set[str]:
    """Every module that a file imports, wherever in it, apart from imports for type checkers."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            node.body = []
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module or ""}
    return names


def split_name(module: str) -> tuple[str, str]:
    """The top-level name and the submodule in a module's full name."""
    top, _, rest = module.removeprefix("mlp_xp.").partition(".")
    return top, rest.partition(".")[0]


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_import_fence(path):
    top = {name.split(".")[0] for name in imports(path)}
    if path.parent.name != "devices":
        assert not top & {"cupy", "cupyx"}, "cupy is imported in devices/ alone"
    if name_of(path) in MATHEMATICS:
        assert "numpy" not in top, "the mathematics gets its namespace as xp"


def test_the_mathematics_is_there():
    assert set(map(name_of, FILES)) >= MATHEMATICS


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_lower_modules_never_import_higher_ones(path):
    top, sub = split_name(".".join(path.relative_to(PACKAGE).with_suffix("").parts))
    if top in ("__init__", "__main__"):
        return
    for name in imports(path):
        if not name.startswith("mlp_xp."):
            continue
        other_top, other_sub = split_name(name)
        if other_top not in TOP_LEVEL:
            continue  # a name of mlp_xp itself, like __version__
        assert TOP_LEVEL.index(other_top) <= TOP_LEVEL.index(top), f"{top} imports {other_top}"
        order = SUBMODULES.get(top, [])
        if other_top == top and sub in order and other_sub in order:
            assert order.index(other_sub) <= order.index(sub), f"{sub} imports {other_sub}"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_the_estimators_could_be_deleted(path):
    """Nothing else imports them, and they need no more than the library below them."""
    names = {split_name(name)[0] for name in imports(path) if name.startswith("mlp_xp.")}
    if path.parent.name == "sklearn":
        assert names & set(TOP_LEVEL) <= {
            "types", "errors", "schema", "devices", "nn", "data", "training", "sklearn",
        }  # fmt: skip
    else:
        assert "sklearn" not in names


def test_the_top_level_is_complete():
    found = {name_of(path).removesuffix(".py").split("/")[0] for path in FILES}
    assert found - {"__init__", "__main__"} == set(TOP_LEVEL)


def test_the_submodules_are_complete():
    for top, order in SUBMODULES.items():
        found = {path.stem for path in (PACKAGE / top).glob("*.py")} - {"__init__"}
        found |= {path.parent.name for path in (PACKAGE / top).glob("*/__init__.py")}
        assert found == set(order)


def test_importing_everything_imports_neither_cupy_nor_an_extra():
    code = (
        "import sys, mlp_xp.cli; mlp_xp.get_device('cpu'); [getattr(mlp_xp, n) for n in "
        f"mlp_xp.__all__]; print(sorted({EXTRAS} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_importing_the_package_imports_nothing_else():
    code = (
        "import sys; before = set(sys.modules); import mlp_xp;"
        "print({n.split('.')[0] for n in set(sys.modules) - before} - set(sys.stdlib_module_names))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "{'mlp_xp'}\n"


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
def test_a_help_page_imports_no_numpy(command):
    """Which would be most of its time."""
    code = (
        "import sys; from mlp_xp.cli import main\n"
        f"try: main([*{command}, '--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'numpy', 'tqdm', 'safetensors'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)


def test_wings_are_attributes_of_the_package():
    code = "import mlp_xp; print(mlp_xp.nn.Network.__name__, mlp_xp.training.config.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "Network mlp_xp.training.config\n"


def test_public_names_exist():
    assert set(mlp_xp.__all__) <= set(dir(mlp_xp))
    for name in mlp_xp.__all__:
        assert hasattr(mlp_xp, name)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = mlp_xp.nothing


def test_the_core_can_be_read_in_one_sitting():
    core = [*(PACKAGE / "nn").glob("[a-z]*.py"), PACKAGE / "training" / "step.py",
            PACKAGE / "training" / "trainer.py"]  # fmt: skip
    assert sum(len(path.read_text(encoding="utf-8").splitlines()) for path in core) < CORE_LINES


class OnHost(standin.StandIn):
    """NumPy's way, with its calls recorded."""

    on_host = True


@pytest.mark.parametrize("settings", [{}, {"window": 1}], ids=["default", "plain"])
def test_few_calls_lie_between_fit_and_the_first_product(settings, monkeypatch):
    """At most six calls in three files: as deep as a reader has to go."""
    device = OnHost()  # a GPU's steps are the same, captured
    stacks: list[list[traceback.FrameSummary]] = []
    run = standin.Trace.run

    def watched(self, name, *args, **kwargs):
        if name in ("ndarray.dot", "ndarray.__matmul__", "matmul", "dot"):
            stacks.append(traceback.extract_stack())
        return run(self, name, *args, **kwargs)

    monkeypatch.setattr(standin.Trace, "run", watched)
    assert isinstance(device, Device)
    X = np.ones((100, 4), dtype=np.float32)
    data = Dataset("ones", Split(X, np.arange(100) % 3), None, 3)
    Trainer(data, Config(epochs=1, hidden=(3,), **settings), device).fit()
    own = [frame for frame in stacks[0] if Path(frame.filename).is_relative_to(PACKAGE)]
    if own[-1].name == "product":  # Device's, which is one call of NumPy's
        own.pop()
    assert own[0].name == "fit"
    assert len(own) <= 6
    assert len({frame.filename for frame in own}) <= 3
