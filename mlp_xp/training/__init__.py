"""Training, evaluation, saved models and checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlp_xp.lazy import lazy_names

if TYPE_CHECKING:
    from mlp_xp.training.api import train
    from mlp_xp.training.callbacks import Callback, Checkpointer
    from mlp_xp.training.checkpoint import load_checkpoint, save_checkpoint
    from mlp_xp.training.config import PRESETS, SETTINGS, Config
    from mlp_xp.training.doubts import find_doubts
    from mlp_xp.training.evaluation import evaluate, predict
    from mlp_xp.training.history import Epoch, TrainingResult
    from mlp_xp.training.logs import CsvLogger, TensorBoardLogger
    from mlp_xp.training.metrics import Baseline, Evaluation
    from mlp_xp.training.model import Model
    from mlp_xp.training.model_file import load_model, save_model
    from mlp_xp.training.recipes import RECIPES, config_for
    from mlp_xp.training.trainer import Trainer

__all__ = [
    "PRESETS",
    "RECIPES",
    "SETTINGS",
    "Baseline",
    "Callback",
    "Checkpointer",
    "Config",
    "CsvLogger",
    "Epoch",
    "Evaluation",
    "Model",
    "TensorBoardLogger",
    "Trainer",
    "TrainingResult",
    "config_for",
    "evaluate",
    "find_doubts",
    "load_checkpoint",
    "load_model",
    "predict",
    "save_checkpoint",
    "save_model",
    "train",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "api": ["train"],
        "callbacks": ["Callback", "Checkpointer"],
        "checkpoint": ["load_checkpoint", "save_checkpoint"],
        "config": ["PRESETS", "SETTINGS", "Config"],
        "doubts": ["find_doubts"],
        "evaluation": ["evaluate", "predict"],
        "history": ["Epoch", "TrainingResult"],
        "logs": ["CsvLogger", "TensorBoardLogger"],
        "metrics": ["Baseline", "Evaluation"],
        "model": ["Model"],
        "model_file": ["load_model", "save_model"],
        "recipes": ["RECIPES", "config_for"],
        "trainer": ["Trainer"],
    },
)
