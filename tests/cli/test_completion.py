"""What Tab does in real shells, after the line that turns completion on."""

import os
import re
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from processes import ENVIRONMENT
from processes import run_python as run

from mlp_xp.cli import COMMANDS, SHELLS, main
from mlp_xp.nn import ACTIVATIONS
from mlp_xp.training.config import PRESETS

pty = pytest.importorskip("pty")
# Each shell without its user's files, and the line to begin with: one Tab lists what is possible.
INTERACTIVE = {
    "bash": (
        ["bash", "--norc", "--noprofile", "-i"],
        "bind 'set show-all-if-ambiguous on'; eval \"$(mlp-xp --completion bash)\"",
    ),
    "zsh": (
        ["zsh", "-f", "-i"],
        "autoload -U compinit; compinit -D -u; unsetopt list_ambiguous; "
        'eval "$(mlp-xp --completion zsh)"',
    ),
}
# What is typed before Tab, and words that are offered.
CASES = {
    "mlp_xp ": COMMANDS,
    "mlp_xp tr": ["train"],
    "mlp-xp ev": ["evaluate"],
    "mlp_xp --co": ["--completion"],
    "mlp_xp --completion ": SHELLS,
    "mlp_xp train --opt": ["--optimizer"],
    "mlp_xp train --optimizer a": ["adam", "adamw"],
    "mlp_xp train --optimizer=a": ["adam", "adamw"],
    "mlp_xp train --epochs 3 --activation ": ACTIVATIONS,
    "mlp_xp train --preset ": PRESETS,
    "mlp_xp train --no-nes": ["--no-nesterov"],
    "mlp_xp train --device ": ["auto", "cpu", "cuda"],
    "mlp_xp train --device cuda:1 --opt": ["--optimizer"],
    "mlp_xp train --data ta": ["table.csv"],
    "mlp_xp train --data fol": ["folder/"],
    "mlp_xp train --data folder/": ["folder/a.csv", "folder/b.csv"],
    "mlp_xp evaluate fol": ["folder/"],
    "mlp_xp predict folder ta": ["table.csv"],
    "mlp_xp predict ~/mlp": ["mlp_xp", "mlp-xp"],
    "mlp_xp train --log ": ["csv", "tensorboard"],
    "mlp_xp train --log csv,": ["tensorboard"],
    "mlp_xp runs --sort val": ["validation", "validation_loss", "validation_accuracy"],
    "mlp_xp runs --sort ": ["test", "lr", "time", "started"],
    "mlp_xp runs ": ["--sort", "--json"],
}
# Options whose values are free, or the user's own: files aren't offered.
FREE = (
    "train --epochs ", "train --label ", "train --drop ", "train --weight ", "train --lr ",
    "train --size ", "import w --mean ", "train --hidden 3 --patience ",
)  # fmt: skip


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """A working folder with some files, where both names of the program are found."""
    pytest.importorskip("argcomplete")
    (tmp_path / "folder").mkdir()
    for name in ("table.csv", "folder/a.csv", "folder/b.csv"):
        (tmp_path / name).touch()
    (tmp_path / "bin").mkdir()
    for name in ("mlp_xp", "mlp-xp"):
        program = tmp_path / "bin" / name
        program.write_text(f"#!{sys.executable}\nfrom mlp_xp.__main__ import run\nexit(run())\n")
        program.chmod(0o755)
    monkeypatch.setitem(ENVIRONMENT, "PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setitem(ENVIRONMENT, "HOME", str(tmp_path / "bin"))
    monkeypatch.setitem(ENVIRONMENT, "TERM", "xterm")
    return tmp_path


class Terminal:
    """A shell on a terminal of its own."""

    def __init__(self, command: list[str], folder: Path):
        main_end, shell_end = pty.openpty()
        self.terminal = main_end
        self.shell = subprocess.Popen(
            command, cwd=folder, env=ENVIRONMENT, start_new_session=True,
            stdin=shell_end, stdout=shell_end, stderr=shell_end,
        )  # fmt: skip
        os.close(shell_end)

    def type(self, text: str, until: str) -> str:
        """What the shell shows after some keys, until a pattern is in it, or for ten seconds."""
        os.write(self.terminal, text.encode())
        shown, end = "", time.monotonic() + 10
        while not re.search(until, shown) and time.monotonic() < end:
            if select.select([self.terminal], [], [], 0.1)[0]:
                shown += os.read(self.terminal, 65536).decode(errors="replace")
                shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x07", "", shown)
        return shown

    def close(self) -> None:
        self.shell.kill()
        self.shell.wait()
        os.close(self.terminal)


def needs(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")


@pytest.mark.full
@pytest.mark.parametrize("shell", INTERACTIVE)
def test_tab_in_an_interactive_shell(shell, place):
    needs(shell)
    command, line = INTERACTIVE[shell]
    terminal = Terminal(command, place)
    try:
        terminal.type(f"{line}; PS1='rea''dy> '\n", "ready> ")
        for typed, words in CASES.items():
            shown = terminal.type(f"{typed}\t", "".join(f"(?s:(?=.*{word}))" for word in words))
            assert [word for word in words if word not in shown] == [], shown
            terminal.type("\x15\n", "\n.*ready> ")  # clears the line
        for typed in FREE:
            shown = terminal.type(f"mlp_xp {typed}fol\tDONE", "DONE")
            assert "folDONE" in shown, shown
            terminal.type("\x15\n", "\n.*ready> ")
    finally:
        terminal.close()


@pytest.mark.full
def test_tab_in_fish(place):
    """Its completions can be printed, without a terminal."""
    needs("fish")
    lines = ["mlp-xp --completion fish | source", *(f"echo; complete -C {c!r}" for c in CASES)]
    done = subprocess.run(
        ["fish", "--no-config", "-c", "; ".join(lines)],
        cwd=place, env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    offers = done.stdout.split("\n\n")
    for (typed, words), offer in zip(CASES.items(), offers, strict=True):
        offered = [line.split("\t")[0] for line in offer.splitlines()]
        offered = [re.sub("^(--optimizer=|~/|csv,)", "", word) for word in offered]
        assert set(words) <= set(offered), typed
        assert typed != "mlp_xp " or set(words) == {*offered} - {""}


@pytest.mark.parametrize("shell", SHELLS)
def test_without_argcomplete(shell, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "argcomplete", None)
    assert main(["--completion", shell]) == 2
    assert capsys.readouterr() == (
        "",
        "mlp_xp: error: completion needs argcomplete: pip install '.[completion]' in the clone\n",
    )


def test_other_shells(tmp_path):
    done = run("--completion", "tcsh", folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "choose from " in done.stderr
    assert done.stderr.count("\n") == 1
