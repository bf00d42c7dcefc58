"""A multi-layer perceptron written out in full, on NumPy and on CuPy."""

from mlp_xp.backend import Backend, Resolution, resolve
from mlp_xp.checkpoint import load as load_model
from mlp_xp.checkpoint import save as save_model
from mlp_xp.config import PRESETS, Config
from mlp_xp.datasets import Dataset, Split, load
from mlp_xp.errors import DeviceError, InputError
from mlp_xp.evaluation import Evaluation, evaluate, predict
from mlp_xp.network import Network
from mlp_xp.training import Callback, Epoch, Run, Trained, train

__version__ = "0.1.0"

__all__ = [
    "PRESETS",
    "Backend",
    "Callback",
    "Config",
    "Dataset",
    "DeviceError",
    "Epoch",
    "Evaluation",
    "InputError",
    "Network",
    "Resolution",
    "Run",
    "Split",
    "Trained",
    "__version__",
    "evaluate",
    "load",
    "load_model",
    "predict",
    "resolve",
    "save_model",
    "train",
]
