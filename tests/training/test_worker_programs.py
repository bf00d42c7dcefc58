"""Programs of every kind that train on several workers, and end with the same result."""

import subprocess
import sys
from pathlib import Path

import pytest
from processes import ENVIRONMENT
from workers import PRELUDE

import mlp_xp

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="several workers need Linux")

# No `if __name__ == "__main__"`: nothing starts the program again.
PROGRAM = f"""{PRELUDE}
import os, types
from pathlib import Path
import numpy as np
from mlp_xp import Config, Dataset, Split, Trainer
rng = np.random.default_rng(1)
split = Split(rng.standard_normal((300, 8)), np.arange(300) % 3)
trainer = Trainer(Dataset("s", split, None, 3), Config(hidden=(9, 8), epochs=1, threads=2))
assert trainer.train_step.size == 2
BEFORE
trainer.fit()
assert Path(f"/proc/{{os.getpid()}}/task/{{os.getpid()}}/children").read_text() == ""
Path(os.environ["RESULT"]).write_text(str(trainer.history[-1].loss))
"""
SHADOWED = ("pickle", "numpy", "random", "threading", "copy", "ctypes", "mmap", "threadpoolctl")
HERE = str(Path(mlp_xp.__file__).parents[1])

BEFORE = {
    "a script": "",
    "in another folder than before": 'os.mkdir("other"); os.chdir("other")',
    "a folder with files named like modules": 'sys.path.insert(0, "FOLDER/shadowed")',
    "the same, where the program is now": 'sys.path.insert(0, ""); os.chdir("shadowed")',
    "odd entries of sys.path": 'sys.path[:0] = ["", None, 3, "nowhere"]',
    "thousands of open files": "files = [os.open(os.devnull, 0) for _ in range(3000)]",
    "children ignored": "import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN)",
    "a handler of SIGCHLD that waits for all": (
        "import signal\n"
        "def wait(*_):\n"
        "    try: os.waitpid(-1, os.WNOHANG)\n"
        "    except ChildProcessError: pass\n"
        "signal.signal(signal.SIGCHLD, wait)"
    ),
    "a folder that is gone": 'os.mkdir("gone"); os.chdir("gone"); os.rmdir("../gone")',
    "as a notebook": 'sys.modules["ipykernel"] = types.ModuleType("ipykernel")',
    "without standard streams in Python": "sys.stdin = sys.stdout = sys.stderr = None",
}
FAST = ("in another folder than before", "a folder with files named like modules")


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder with an odd name."""
    place = tmp_path / "ein Ordner für 'alles' 数据"
    (place / "shadowed").mkdir(parents=True)
    for name in SHADOWED:
        (place / "shadowed" / f"{name}.py").write_text("raise SystemExit('the wrong module')")
    return place


def check(folder: Path, before: str, command: str = '"$python" program.py') -> None:
    """Run the program: by a shell's command with $python and $program."""
    program = PROGRAM.replace("BEFORE", before).replace("FOLDER", str(folder))
    (folder / "program.py").write_text(program, encoding="utf-8")
    environment = {
        **ENVIRONMENT, "python": sys.executable, "program": program, "here": HERE,
        "RESULT": str(folder / "result"),
    }  # fmt: skip
    done = subprocess.run(
        ["bash", "-c", f"ulimit -n 4000; {command}"], cwd=folder, env=environment, text=True,
        capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert float((folder / "result").read_text()) == pytest.approx(1.234611, abs=1e-5)


@pytest.mark.parametrize(
    "name", [n if n in FAST else pytest.param(n, marks=pytest.mark.full) for n in BEFORE]
)
def test_whatever_the_program_has_done_before(name, folder):
    check(folder, BEFORE[name])


COMMANDS = {
    "-c": '"$python" -c "$program"',
    "standard input": '"$python" < program.py',
    "a pipe": 'cat program.py | "$python" -',
    "no input": '"$python" program.py <&-',
    "no input and no output": '"$python" program.py <&- >&-',
    "nothing at all": '"$python" program.py <&- >&- 2>&-',
    "developer mode": 'PYTHONWARNINGS=error "$python" -X dev program.py',
    "isolated": '"$python" -I -c "import sys; sys.path.insert(0, \'$here\')\n$program"',
    "beside such files, isolated": 'cd shadowed; PYTHONPATH=. "$python" -I -c '
    "\"import sys; sys.path.insert(0, '$here')\n$program\"",
    "optimized": '"$python" -OO -s program.py',
    "inspected": 'PYTHONINSPECT=1 "$python" program.py < /dev/null 2> /dev/null',
    "no UTF-8": 'LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 "$python" program.py',
    "a limit on files": 'ulimit -n 60; "$python" program.py',
}


@pytest.mark.parametrize(
    "name", [n if n == "no input" else pytest.param(n, marks=pytest.mark.full) for n in COMMANDS]
)
def test_however_it_is_started(name, folder):
    check(folder, "", COMMANDS[name])


@pytest.mark.full
def test_in_a_folder_that_cannot_be_written(folder):
    (folder / "read-only").mkdir(mode=0o555)
    check(folder, 'os.chdir("read-only")')
    assert list((folder / "read-only").iterdir()) == []


@pytest.mark.full
@pytest.mark.parametrize("left", range(0, 24, 2))
def test_where_few_more_files_can_be_opened(left, folder):
    """It trains, or says in one line that it can't."""
    program = PROGRAM.replace(
        "BEFORE",
        f"open_now = len(os.listdir('/proc/self/fd'))\n"
        f"files = [os.open(os.devnull, 0) for _ in range(100 - {left} - open_now)]",
    )
    done = subprocess.run(
        ["bash", "-c", 'ulimit -n 100; "$python" -c "$program"'], cwd=folder, text=True,
        capture_output=True, timeout=60, check=False,
        env={**ENVIRONMENT, "python": sys.executable, "program": program, "RESULT": "result"},
    )  # fmt: skip
    if done.returncode:
        last = done.stderr.splitlines()[-1]
        assert last.startswith("mlp_xp.errors.DeviceError: ")
        assert "Too many open files" in last
        assert "use --threads 1" in last
    else:
        assert done.stderr == ""
        assert left >= 12
