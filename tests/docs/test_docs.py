"""The documentation is true: its code runs, its numbers are right, and what it names exists."""

import ast
import builtins
import doctest
import importlib
import math
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mlp_xp import get_device
from mlp_xp.devices.probe import CAPABILITY, DRIVER
from mlp_xp.training import SETTINGS

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
EXAMPLES = [
    page for page in sorted((ROOT / "examples").iterdir()) if page.suffix in (".md", ".ipynb")
]
# benchmarks.md names the files and functions of bench/, and of the peers that it measures.
OWN_PAGES = [page for page in PAGES if page.name != "benchmarks.md"]


def name_of(path: Path) -> str:
    return path.name


@pytest.mark.parametrize(
    "page",
    [page for page in OWN_PAGES if "```pycon" in page.read_text(encoding="utf-8")],
    ids=name_of,
)
def test_every_session_shows_what_its_code_prints(page, blocks, own_files):
    """The sessions of a page are one program, run from the top to the bottom."""
    parser, names = doctest.DocTestParser(), {"__name__": "__main__"}
    examples = []
    for line, code, _ in blocks(page, "pycon"):
        for example in parser.get_examples(code, page.name):
            example.lineno += line
            examples.append(example)
    assert examples
    runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS)
    failures: list[str] = []
    with np.printoptions():
        runner.run(
            doctest.DocTest(examples, names, page.name, str(page), 0, None), out=failures.append
        )
    assert not runner.failures, "".join(failures)


CALCULATION = {"exp": math.exp, "log": math.log, "max": max, "__builtins__": {}}


def value_of(text: str) -> float | None:
    """The value of a calculation; None for other text, and if there are names in it."""
    try:
        value = eval(text.strip(), dict(CALCULATION))
    except (NameError, SyntaxError, TypeError):
        return None
    return float(value) if isinstance(value, int | float) else None


def test_every_calculation_comes_to_the_number_beside_it(blocks):
    """`name = calculation = number`: to the digits that the number has, from rounded numbers."""
    checked = 0
    for line, text, _ in blocks(DOCS / "how-it-works.md", "text"):
        # Where two calculations stand side by side, there are spaces between them.
        for part in re.split(r"\n| {3,}", text):
            _, *sides = part.split(" = ")
            values = [value_of(side) for side in sides]
            if not sides or values[-1] is None:
                continue
            digits = len(sides[-1].partition(".")[2].strip())
            for side, value in zip(sides, values, strict=True):
                assert value == pytest.approx(values[-1], abs=0.51 * 10**-digits), (
                    f"below line {line}: {part.strip()}, but {side} is {value}"
                )
                checked += side is not sides[-1]
            # A single number is still checked if its name is a calculation, as exp(1.1) is.
            left = value_of(part.partition(" = ")[0])
            if left is not None:
                assert left == pytest.approx(values[-1], abs=0.51 * 10**-digits), part
                checked += 1
    assert checked >= 40


@pytest.mark.parametrize("page", [ROOT / "README.md", DOCS / "scikit-learn.md"], ids=name_of)
@pytest.mark.filterwarnings("ignore:the network hasn't converged")
def test_the_python_of_a_page_runs(page, tmp_path, monkeypatch, blocks):
    """As one program, on a machine that need not have CuPy."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "cupy", None)
    programs = [code for _, code, _ in blocks(page, "python")]
    assert programs
    exec("".join(programs), {"__name__": "__main__"})


def test_gpu_page_has_the_drivers_and_gpus_that_the_probe_wants():
    text = (DOCS / "gpu.md").read_text(encoding="utf-8")
    for cuda, driver in DRIVER.items():
        row = rf"\| {driver} or newer \| {CAPABILITY[cuda] / 10} or higher \| .*\[cuda{cuda}\]"
        assert re.search(row, text), f"no row for CUDA {cuda}"


def test_gpu_page_has_the_message_of_a_machine_without_cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert get_device("cuda").fallback_reason in (DOCS / "gpu.md").read_text(encoding="utf-8")


def test_gpu_page_has_the_messages_that_are_printed():
    page = (DOCS / "gpu.md").read_text(encoding="utf-8")
    source = (ROOT / "mlp_xp" / "devices" / "probe.py").read_text(encoding="utf-8")
    source += (ROOT / "mlp_xp" / "cli" / "device.py").read_text(encoding="utf-8")
    warnings = re.findall(r"^mlp_xp: warning: cuda (.*: )(.*?);", page, re.MULTILINE)
    failures = re.findall(r"^  FAIL  (.*?);", page, re.MULTILINE)
    assert len(warnings) == 2
    assert len(failures) == 1
    for message in [part for warning in warnings for part in warning] + failures:
        assert message in source


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES, *EXAMPLES], ids=name_of)
def test_every_relative_link_leads_to_a_file(page):
    text = page.read_text(encoding="utf-8")
    text = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        is_here = linked.exists() and (not anchor or anchor in anchors(linked))
        if not is_here and not re.match(r"[a-z]+:", target):
            broken.append(target)
    assert not broken


def anchors(page: Path) -> set[str]:
    """Of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def names_in(code: str) -> Iterator[str]:
    """Classes and functions that some code defines, and their methods and attributes."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.FunctionDef):
            yield node.name
        if isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))
        if isinstance(node, ast.ClassDef):
            yield node.name
            yield from (f"{node.name}.{member}" for member in members_in(node))


def members_in(definition: ast.ClassDef) -> Iterator[str]:
    for node in ast.walk(definition):
        if isinstance(node, ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr


@pytest.fixture(scope="module")
def defined(shown_files) -> set[str]:
    """Every name in the package, and in the files that the documentation shows."""
    code = [path.read_text(encoding="utf-8") for path in (ROOT / "mlp_xp").rglob("*.py")]
    code += shown_files.values()
    return {name for text in code for name in names_in(text)}


def in_backticks(page: Path) -> set[str]:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    return set(re.findall(r"`([^`\n]+)`", text))


def exists_as_imported(name: str) -> bool:
    """Whether a dotted name can be reached from the module that it begins with."""
    module, rest = name, []
    while module:
        try:
            found = importlib.import_module(module)
            break
        except ModuleNotFoundError:
            module, _, last = module.rpartition(".")
            rest.insert(0, last)
    for part in rest:
        if not hasattr(found, part):
            return False
        found = getattr(found, part)
    return True


@pytest.mark.parametrize("page", OWN_PAGES, ids=name_of)
def test_every_file_class_and_function_that_is_named_exists(page, defined, shown_files):
    for code in in_backticks(page):
        if re.fullmatch(r"[\w./-]+/([\w-]+\.(py|sh|md|yaml|toml))?", code):
            places = [ROOT / code, ROOT / "mlp_xp" / code, ROOT / "mlp_xp" / "training" / code]
            users = code.startswith(("data/", "runs/", "/", "run/", "folder/"))
            assert users or any(place.exists() for place in places), f"there is no {code}"
        elif re.fullmatch(r"\w+\.py", code):
            found = code in shown_files or any((ROOT / "mlp_xp").rglob(code))
            assert found, f"there is no {code}"
        elif re.fullmatch(r"mlp_xp(\.\w+)+(\(\))?", code):
            assert exists_as_imported(code.removesuffix("()")), f"there is no {code}"
        elif match := re.fullmatch(r"(\w+|[A-Z][\w.]+)\((.*)\)", code):
            known = match[1] in defined or match[1] == "exp" or match[1] in dir(builtins)
            assert known, f"there is no {match[1]}()"
        elif re.fullmatch(r"[A-Z]\w*[a-z]\w*(\.\w+)*", code):
            assert code in defined or code in dir(builtins), f"there is no {code}"


@pytest.mark.parametrize("page", OWN_PAGES, ids=name_of)
def test_every_option_that_is_named_exists(page):
    options = {"--" + name.replace("_", "-") for name in SETTINGS} | {"--help", "--version"}
    options |= {"--no-" + name for name, setting in SETTINGS.items() if setting.is_flag}
    for source in (ROOT / "mlp_xp" / "cli").glob("*.py"):
        options.update(re.findall(r'"(--[a-z-]+)"', source.read_text(encoding="utf-8")))
    others = {"--gpus", "--user", "--rm", "--time", "--init", "--read-only", "--network"}
    for code in in_backticks(page):
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*", code):
            assert option in options | others, f"there is no option {option}"
