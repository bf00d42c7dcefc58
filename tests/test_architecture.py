"""The rules that keep the package simple, held by a walk over its syntax trees."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import mlp_xp

PACKAGE = Path(mlp_xp.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
# From the mathematics up: a module may import those before it, never one after it.
ORDER = [
    "errors", "functions", "backend", "network", "optimizers", "threads", "windowed", "momentum",
    "config", "datasets", "feed", "evaluation", "steps", "preparation", "training", "checkpoint",
    "parity", "doctor", "cli",
]  # fmt: skip
MATHEMATICS = {"functions.py", "optimizers.py", "windowed.py"}


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


def layer(name: str) -> str:
    return name.removeprefix("mlp_xp.").split(".")[0]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_import_fence(path):
    top = {name.split(".")[0] for name in imports(path)}
    if path.name != "backend.py":
        assert not top & {"cupy", "cupyx"}, "cupy is imported in backend.py alone"
    if path.name in MATHEMATICS:
        assert "numpy" not in top, "the mathematics gets its namespace as xp"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_lower_layers_never_import_higher_ones(path):
    own = layer(".".join(path.relative_to(PACKAGE).with_suffix("").parts))
    if own not in ORDER:
        assert own in ("__init__", "__main__")
        return
    for name in imports(path):
        if name.startswith("mlp_xp.") and (other := layer(name)) in ORDER:
            assert ORDER.index(other) <= ORDER.index(own), f"{own} imports {other}"


def test_no_line_of_the_cpu_way_imports_cupy_or_an_extra():
    code = (
        "import sys, mlp_xp, mlp_xp.cli; mlp_xp.resolve('cpu');"
        "print(sorted({'cupy', 'PIL', 'matplotlib', 'pyarrow', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_public_names_exist():
    for name in mlp_xp.__all__:
        assert hasattr(mlp_xp, name)
