"""Has a program that a test starts use the emulator too, once it imports CuPy.

Python imports this by itself at its start if the folder is on PYTHONPATH; see tests/conftest.py.
"""

import importlib.util
import sys
from pathlib import Path
from typing import Any


class BeforeCupy:
    """A finder of modules that puts the emulator in place as CuPy is looked for."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if name != "cupy":
            return None
        sys.meta_path.remove(self)
        sys.path.append(str(Path(__file__).parent.parent))
        import emulator

        emulator.install()
        return importlib.util.find_spec(name)


sys.meta_path.insert(0, BeforeCupy())
