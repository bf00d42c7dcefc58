"""Make mlp_xp/datasets/mnist.npz from a folder with MNIST's four IDX files.

    python -m bench.make_mnist FOLDER

The same bytes come out each time: the archive holds no time stamp.
"""

import sys
from pathlib import Path

import numpy as np

from mlp_xp.datasets import MNIST, idx

FILES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}


def find(folder: Path, name: str) -> Path:
    plain = folder / name
    return plain if plain.exists() else folder / f"{name}.gz"


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    arrays = {key: idx.read(find(folder, name)) for key, name in FILES.items()}
    np.savez_compressed(MNIST, **arrays)
    print(f"{MNIST}: {MNIST.stat().st_size} bytes")
