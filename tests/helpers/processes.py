"""The command line in a process of its own, as users have it."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import mlp_xp

# The package of this checkout, from any working directory. Warnings are errors, as they are within
# pytest; an empty PYTHONWARNINGS leaves them as users have them. An empty PYTHONUNBUFFERED leaves
# output to Python's buffers, whatever the machine has.
ENVIRONMENT = {
    "PYTHONWARNINGS": "error",
    **os.environ,
    "PYTHONUNBUFFERED": "",
    "PYTHONPATH": str(Path(mlp_xp.__file__).parent.parent),
}


def run_python(
    *arguments: object, folder: Path, program: tuple[str, ...] = ("-m", "mlp_xp"), **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run `python -m mlp_xp`, or another program, in ENVIRONMENT."""
    return subprocess.run(
        [sys.executable, *program, *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        timeout=60,
        check=False,
        **options,
    )
