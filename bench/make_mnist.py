"""Make mlp_xp/data/mnist.npz from a folder with MNIST's four IDX files, plain or .gz.

    python -m bench.make_mnist FOLDER

The archive holds no time stamps, so its bytes are the same each time.
"""

import sys
from pathlib import Path

import numpy as np

from mlp_xp.data import MNIST, idx

FILES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}

if __name__ == "__main__":
    paths = {key: Path(sys.argv[1]) / name for key, name in FILES.items()}
    arrays = {
        key: idx.read(path if path.exists() else path.with_name(f"{path.name}.gz"))
        for key, path in paths.items()
    }
    np.savez_compressed(MNIST, **arrays)
    print(f"{MNIST}: {MNIST.stat().st_size} bytes")
