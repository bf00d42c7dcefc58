"""Train a network; without options, on MNIST to over 98 % in a few seconds."""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from pathlib import Path
from typing import IO, Any

import numpy as np
from tqdm import tqdm

import mlp_xp
from mlp_xp import checkpoint
from mlp_xp.backend import Resolution, resolve
from mlp_xp.config import PRESETS, Config
from mlp_xp.datasets import Dataset, load
from mlp_xp.errors import InputError
from mlp_xp.evaluation import evaluate
from mlp_xp.functions import ACTIVATIONS
from mlp_xp.network import INITIALISERS
from mlp_xp.optimizers import SCHEDULES
from mlp_xp.training import Callback, Run, train

MODEL, METRICS, CONFIG = "model.safetensors", "metrics.jsonl", "config.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `train`; those of the Config have no default here, so presets can show."""
    default = Config()
    widths = ",".join(map(str, default.hidden))

    def setting(flag: str, text: str, **options: Any) -> None:
        parser.add_argument(flag, default=argparse.SUPPRESS, help=text, **options)

    parser.add_argument("--data", help="mnist, an .npz file or a folder of IDX files (mnist)")
    parser.add_argument("--preset", choices=PRESETS, help="a set of settings with a name")
    parser.add_argument("--config", type=Path, help="the config.json of a run, to run it again")
    parser.add_argument("--device", default="auto", help="auto or cpu (auto)")
    setting("--hidden", f"widths of the hidden layers ({widths})", type=_widths)
    setting("--activation", f"({default.activation})", choices=ACTIVATIONS)
    setting("--init", f"how weights begin ({default.init})", choices=INITIALISERS)
    setting("--batch-size", f"rows an update ({default.batch_size})", type=int)
    setting("--epochs", f"times through the data ({default.epochs})", type=int)
    setting("--lr", f"learning rate ({default.lr})", type=float)
    setting("--schedule", f"of the learning rate ({default.schedule})", choices=SCHEDULES)
    setting("--dtype", f"of all that is computed ({default.dtype})", choices=("float32", "float64"))
    setting("--seed", f"of weights and order ({default.seed})", type=int)
    setting("--no-shuffle", "rows in their own order", action="store_false", dest="shuffle")
    parser.add_argument("--out", type=Path, help="the run's folder (runs/<data>-<time>)")
    parser.add_argument("--quiet", action="store_true", help="results only: no bar, no log lines")


def _widths(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(width) for width in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"'{text}' is no list of layer widths; write 128 or 512,256"
        ) from None


def run(arguments: argparse.Namespace) -> None:
    """Load, train, test, and leave a run folder behind."""
    source, config = _settings(arguments)
    resolution = resolve(arguments.device)
    data = load(source)
    folder = _make_folder(arguments.out, data.name)
    source = source if source == "mnist" else str(Path(source).resolve())
    settings = json.dumps({"data": source, **config.to_dict()}, indent=2) + "\n"
    checkpoint.write_whole(folder / CONFIG, settings.encode())
    with _open_metrics(folder / METRICS) as file:
        _record(file, "start", **_start_record(config, data, resolution))
        with Reporter(config, len(data.train), file, quiet=arguments.quiet) as reporter:
            network, _ = train(data, config, resolution.backend, [reporter])
        checkpoint.save(network, folder / MODEL)
        which, split = ("test", data.test) if data.test else ("train", data.train)
        result = evaluate(network, split)
        _record(file, which, accuracy=result.accuracy, loss=result.loss)
    print(f"{which} accuracy {result.accuracy:.2%}", flush=True)
    if not arguments.quiet:
        print(f"saved {folder / MODEL}", file=sys.stderr)


def _settings(arguments: argparse.Namespace) -> tuple[str, Config]:
    """Where the data is, and the Config: defaults, then preset or file, then single options."""
    if arguments.preset and arguments.config:
        raise InputError("--preset and --config exclude each other; give one of them")
    base: dict[str, Any] = dict(PRESETS[arguments.preset]) if arguments.preset else {}
    if arguments.config:
        try:
            base = json.loads(arguments.config.read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(f"{arguments.config}: {error.strerror}") from error
        except ValueError as error:
            raise InputError(
                f"{arguments.config}: not a configuration in JSON ({error})"
            ) from error
        if not isinstance(base, dict):
            raise InputError(f"{arguments.config}: not a configuration; it must be a JSON object")
    data = str(arguments.data or base.pop("data", "mnist"))
    base.pop("data", None)
    single = {
        name: value for name, value in vars(arguments).items() if name in Config.__annotations__
    }
    return data, Config.from_dict({**base, **single})


def _make_folder(out: Path | None, name: str) -> Path:
    folder = out or Path("runs") / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    taken = [entry for entry in (MODEL, METRICS) if (folder / entry).exists()]
    if taken:
        raise InputError(f"{folder}: already holds a run ({taken[0]}); name another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: can't be made: {error.strerror}; choose --out") from error
    return folder


def _open_metrics(path: Path) -> IO[str]:
    try:
        return path.open("x", encoding="utf-8", buffering=1)
    except OSError as error:
        raise InputError(f"{path}: can't be written: {error.strerror}") from error


def _start_record(config: Config, data: Dataset, resolution: Resolution) -> dict[str, Any]:
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "versions": {
            "mlp_xp": mlp_xp.__version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
        },
        "device": {
            "asked": resolution.asked,
            "used": resolution.backend.device,
            "reason": resolution.reason,
        },
        "data": {
            "name": data.name,
            "train_rows": len(data.train),
            "test_rows": len(data.test) if data.test else 0,
            "features": data.n_features,
            "classes": data.n_classes,
        },
        "config": config.to_dict(),
    }


def _record(file: IO[str], kind: str, **values: Any) -> None:
    file.write(json.dumps({"record": kind, **values}) + "\n")


class Reporter(Callback):
    """One line an epoch on standard output and in metrics.jsonl; a bar where a terminal watches."""

    def __init__(self, config: Config, rows: int, file: IO[str], *, quiet: bool):
        self.epochs = config.epochs
        self.rows = rows
        self.file = file
        hidden = quiet or not sys.stderr.isatty()
        self.bar = tqdm(
            total=rows * config.epochs, unit=" samples", unit_scale=True, disable=hidden
        )

    def __enter__(self) -> Reporter:
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def on_segment(self, run: Run) -> None:
        """Move the bar."""
        self.bar.set_description(f"epoch {run.epoch}/{self.epochs}", refresh=False)
        self.bar.set_postfix_str(f"loss {run.loss:.4f}", refresh=False)
        self.bar.update(len(run.history) * self.rows + run.rows - self.bar.n)

    def on_epoch(self, run: Run) -> None:
        """Print and record the epoch."""
        epoch = run.history[-1]
        line = (
            f"epoch {epoch.epoch}/{self.epochs}  loss {epoch.loss:.4f}  {epoch.seconds:.2f} s"
            f"  {epoch.samples_per_second:,.0f} samples/s"
        )
        self.bar.clear()
        print(line, flush=True)
        _record(self.file, "epoch", **epoch._asdict())
