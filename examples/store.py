"""Run the notebooks and store them with what they print: python examples/store.py [NOTEBOOK...]

Needs what README.md in this folder says. Each runs in an empty folder, and is stored without times
and without the versions of this machine.
"""

import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).resolve().parent


def executed(path: Path) -> nbformat.NotebookNode:
    """The notebook as it is after every cell has run, in order, in an empty folder.

    Raises nbclient's CellExecutionError, with the cell and its traceback, if one fails.
    """
    notebook = nbformat.read(path, as_version=4)
    metadata = dict(notebook.metadata)
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook,
            timeout=600,
            kernel_name="python3",
            record_timing=False,
            coalesce_streams=True,  # a progress bar as it ends up on the screen
            resources={"metadata": {"path": folder}},
        )
        client.execute()
    notebook.metadata = nbformat.from_dict(metadata)
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if "text" in output:
                output.text = output.text.replace("\r\n", "\n")  # a command's, from its terminal
    return notebook


def store(path: Path) -> None:
    """Run a notebook and write it back."""
    text = nbformat.writes(executed(path), indent=1, ensure_ascii=False)
    path.write_text(text.rstrip("\n") + "\n", encoding="utf-8")


if __name__ == "__main__":
    for name in sys.argv[1:] or sorted(HERE.glob("*.ipynb")):
        store(Path(name))
