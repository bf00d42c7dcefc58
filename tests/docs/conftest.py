"""What the tests of the documentation share: the blocks of a page, and the files it shows."""

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlp_xp.nn import ACTIVATIONS, OBJECTIVES, OPTIMIZERS, SCHEDULES

EXTENDING = Path(__file__).resolve().parents[2] / "docs" / "extending.md"
Blocks = Callable[[Path, str], list[tuple[int, str, str]]]


@pytest.fixture(scope="session")
def blocks() -> Blocks:
    """Fenced blocks of a page in a language: the fence's line, the text, and the text before it."""

    def blocks(page: Path, language: str) -> list[tuple[int, str, str]]:
        text = page.read_text(encoding="utf-8")
        found = re.finditer(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
        parts = [(text[: match.start()], match[1]) for match in found]
        return [(before.count("\n") + 1, code, before) for before, code in parts]

    return blocks


@pytest.fixture(scope="session")
def shown_files(blocks: Blocks) -> dict[str, str]:
    """The files that extending.md shows: each a block of Python below a line with its name."""
    return {
        name[1]: code
        for _, code, before in blocks(EXTENDING, "python")
        if (name := re.search(r"^`(\w+\.py)`:\n\n\Z", before, re.MULTILINE))
    }


@pytest.fixture
def own_files(tmp_path, monkeypatch, shown_files) -> Iterator[None]:
    """The files of extending.md, in an empty working directory; nothing stays registered."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    registries = [ACTIVATIONS, OBJECTIVES, OPTIMIZERS, SCHEDULES]
    before = [dict(registry) for registry in registries]
    for name, code in shown_files.items():
        Path(name).write_text(code, encoding="utf-8")
    yield
    for registry, entries in zip(registries, before, strict=True):
        registry.clear()
        registry.update(entries)
    for name in shown_files:
        sys.modules.pop(Path(name).stem, None)
