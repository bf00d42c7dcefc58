"""Experiments on a GPU:  python -m bench.gpu FOLDER [--quick] [--only NAME,NAME]

Each line is PASS, FAIL, FIG (a figure) or SKIP, the experiment and a text; the failures are
repeated at the end. FOLDER/experiments.json has the same. Each experiment has a process of its own:
one that fails, hangs or leaves the GPU unusable takes no other with it. --quick takes small sizes,
to try an experiment rather than to time it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.gpu.experiment import EXPERIMENTS
from bench.runner import CHECKOUT

Line = dict[str, Any]


def line(kind: str, name: str, text: str) -> Line:
    return {"kind": kind, "experiment": name, "text": text}


def text(found: Line) -> str:
    value = f"{found['value']:10.2f} {found['unit']}  " if "value" in found else ""
    return f"{found['kind']:4}  {found['experiment']:10} {value}{found['text']}"


def conduct(name: str, quick: bool, limit: float) -> Iterator[Line]:
    """Run an experiment; yields its lines as they come. What else it prints goes to our output."""
    command = [sys.executable, "-m", "bench.gpu.experiment", name, *["--quick"] * quick]
    start, last = time.monotonic(), ""
    with (
        tempfile.TemporaryFile("w+") as err,
        subprocess.Popen(
            command, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=err, text=True
        ) as process,
    ):
        timer = threading.Timer(limit, process.kill)
        timer.start()
        for printed in process.stdout or ():
            if printed.startswith("{"):
                yield {"experiment": name, **json.loads(printed)}
            else:
                print(printed, end="", flush=True)
        status = process.wait()
        timer.cancel()
        err.seek(0)
        if told := err.read().strip():
            print(told, flush=True)
            last = f": {told.splitlines()[-1]}"
    seconds = time.monotonic() - start
    if status and seconds >= limit:
        yield line("FAIL", name, f"took more than {limit:.0f} s")
    elif status:
        yield line("FAIL", name, f"ended with status {status}{last}")
    yield line("FIG", name, "in all") | {"value": seconds, "unit": "s"}


def main() -> None:
    parser = argparse.ArgumentParser("python -m bench.gpu", description=__doc__)
    parser.add_argument("folder", type=Path, help="where experiments.json goes")
    parser.add_argument("--quick", action="store_true", help="small sizes: to try them")
    parser.add_argument("--only", default=",".join(EXPERIMENTS), help="names, with commas")
    options = parser.parse_args()
    names = options.only.split(",")
    if unknown := set(names) - set(EXPERIMENTS):
        parser.error(f"no experiment {', '.join(sorted(unknown))}; there are {[*EXPERIMENTS]}")
    options.folder.mkdir(parents=True, exist_ok=True)
    path, found = options.folder / "experiments.json", []
    for name in names:
        # On an emulator --quick compiles for long.
        limit = EXPERIMENTS[name][1] * (4 if options.quick else 1)
        for each in conduct(name, options.quick, limit):
            print(text(each), flush=True)
            found.append(each)
            path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    failures = [each for each in found if each["kind"] == "FAIL"]
    print("", *map(text, failures), sep="\n")
    print(f"{len(failures)} FAIL, {sum(each['kind'] == 'PASS' for each in found)} PASS")
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
