"""A multi-layer perceptron written out in full, on NumPy and on CuPy."""

from __future__ import annotations

from mlp_xp.lazy import lazy_names

# Type checkers take it for true. Importing typing's own would be most of the time of this import,
# in which Ctrl-C can't be answered yet.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from mlp_xp.data import Dataset, Split, load_data
    from mlp_xp.devices import Device, get_device
    from mlp_xp.errors import DeviceError, InputError
    from mlp_xp.nn import Network
    from mlp_xp.training import (
        PRESETS,
        Callback,
        Config,
        Epoch,
        Evaluation,
        Model,
        Trainer,
        TrainingResult,
        config_for,
        evaluate,
        load_model,
        predict,
        save_model,
        train,
    )

__version__ = "0.1.0"

__all__ = [
    "PRESETS",
    "Callback",
    "Config",
    "Dataset",
    "Device",
    "DeviceError",
    "Epoch",
    "Evaluation",
    "InputError",
    "Model",
    "Network",
    "Split",
    "Trainer",
    "TrainingResult",
    "__version__",
    "config_for",
    "evaluate",
    "get_device",
    "load_data",
    "load_model",
    "predict",
    "save_model",
    "train",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "data": ["Dataset", "Split", "load_data"],
        "devices": ["Device", "get_device"],
        "errors": ["DeviceError", "InputError"],
        "nn": ["Network"],
        "training": [
            "PRESETS",
            "Callback",
            "Config",
            "Epoch",
            "Evaluation",
            "Model",
            "Trainer",
            "TrainingResult",
            "config_for",
            "evaluate",
            "load_model",
            "predict",
            "save_model",
            "train",
        ],
    },
)
