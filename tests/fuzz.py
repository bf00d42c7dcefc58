"""Feed random bytes to every reader of files until one fails with something other than InputError.

    pip install atheris
    python tests/fuzz.py SECONDS [FOLDER]

atheris (libFuzzer) mutates small valid files, guided by which lines of the readers each input
reaches; FOLDER keeps the inputs that reached new ones. The first byte of an input selects the
format, the rest is the file. The last lines say how many inputs were tried; an input that breaks a
reader ends the run with its traceback, and is saved as FOLDER/crash-*.
"""

import gzip
import io
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris
import numpy as np
import safetensors.numpy

with atheris.instrument_imports(include=["mlp_xp", "zipfile", "csv", "numpy.lib.format"]):
    from mlp_xp import Network, load_data, load_model, save_model
    from mlp_xp.data import idx, npz
    from mlp_xp.devices import CPU
    from mlp_xp.export.from_torch import read_torch
    from mlp_xp.export.to_torch import export
    from mlp_xp.run_settings import RunSettings, read_settings

from helpers.idx_file import idx_bytes

from mlp_xp.errors import InputError

READERS: list[tuple[str, Callable[[Path], object]]] = [
    ("a.npz", load_data),
    ("a.npy", npz.map_array),
    ("a.csv", load_data),
    ("a.tsv", lambda path: load_data(path, objective="regression")),
    ("a-ubyte", idx.read),
    ("a-ubyte.gz", idx.read),
    ("a.safetensors", lambda path: load_model(path, CPU())),
    ("theirs.safetensors", lambda path: read_torch(path, activation="relu")),
    ("exported.safetensors", read_torch),
    ("a.json", lambda path: RunSettings.from_dict(read_settings(path))),
]
FOLDER = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))


def seeds() -> list[bytes]:
    """One valid file of each format."""
    X, y = np.arange(12, dtype=np.uint8).reshape(4, 3), np.array([0, 1, 0, 1], dtype=np.uint8)
    archive, array, model, exported = io.BytesIO(), io.BytesIO(), FOLDER / "seed", FOLDER / "out"
    np.savez_compressed(archive, X=X, y=y)
    np.save(array, X.astype("float32"))
    save_model(Network.initialize(CPU(), (2, 2, 2)), model)
    export(load_model(model, CPU()), exported)
    theirs = {"0.weight": np.ones((2, 3), "f"), "0.bias": np.ones(2, "f")}
    table = 'a,"b",label\n1,2.5,x\n-3e1,4,y\n'
    return [
        archive.getvalue(),
        array.getvalue(),
        table.encode(),
        table.replace(",", "\t").replace("x", "1").replace("y", "0").encode(),
        idx_bytes(X),
        gzip.compress(idx_bytes(X)),
        model.read_bytes(),
        safetensors.numpy.save(theirs),
        exported.read_bytes(),
        json.dumps({"data": "mnist", "hidden": [8], "lr": 0.1}).encode(),
    ]


def try_one(content: bytes) -> None:
    """Let one reader read one input: it may return, or raise an InputError of one line."""
    name, read = READERS[content[0] % len(READERS) if content else 0]
    path = FOLDER / name
    path.write_bytes(content[1:])
    try:
        with np.errstate(all="ignore"):
            read(path)
    except InputError as error:
        if "\n" in str(error):
            raise AssertionError(f"more than one line: {error!r}") from error


if __name__ == "__main__":
    corpus = Path(sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp())
    corpus.mkdir(parents=True, exist_ok=True)
    for number, content in enumerate(seeds()):
        (corpus / f"seed-{number}").write_bytes(bytes([number]) + content)
    limits = [
        f"-max_total_time={sys.argv[1]}",
        "-max_len=4096",
        "-rss_limit_mb=1024",
        "-timeout=10",
        f"-artifact_prefix={corpus}/",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *limits, str(corpus)], try_one)
    atheris.Fuzz()
