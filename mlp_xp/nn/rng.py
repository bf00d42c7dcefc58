"""Every random number of a run comes from here, and from the host.

A stream depends on seed, purpose and place alone, never on what was drawn before or on the device:
a resumed run draws the same orders and masks, and NumPy and CuPy see the same numbers.
"""

import numpy as np

PURPOSES = {"order": 1, "dropout": 2, "split": 3, "test": 4}


def stream(seed: int, purpose: str, epoch: int = 0, row: int | None = None) -> np.random.Generator:
    """A generator of its own for each purpose and place.

    purpose: `weights`, the initial ones; `split`, which rows validate; `test`, which test; `order`,
    of the rows in an epoch; `dropout`, the masks of the chunk that begins at `row` of an epoch.
    Epochs count from 1.
    """
    if purpose == "weights":
        return np.random.default_rng(seed)
    return np.random.default_rng([seed, epoch, PURPOSES[purpose], *([] if row is None else [row])])


def kept(rng: np.random.Generator, shape: tuple[int, int], rate: float) -> np.ndarray:
    """Which units of each row dropout keeps: bool, each False with probability `rate`."""
    return rng.random(shape, dtype=np.float32) >= rate


def notebook_stream(seed: int) -> np.random.RandomState:
    """NumPy's legacy generator, which the notebook drew its weights from."""
    return np.random.RandomState(seed)
