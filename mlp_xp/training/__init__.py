"""Training, evaluation, saved models and checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlp_xp.lazy import lazy_names

if TYPE_CHECKING:
    from mlp_xp.training.callbacks import Callback, Checkpointer
    from mlp_xp.training.checkpoint import (
        load_checkpoint,
        load_model,
        save_checkpoint,
        save_model,
    )
    from mlp_xp.training.config import PRESETS, SETTINGS, Config
    from mlp_xp.training.evaluation import Evaluation, evaluate, predict
    from mlp_xp.training.history import Epoch, TrainingResult
    from mlp_xp.training.trainer import Trainer, train

__all__ = [
    "PRESETS",
    "SETTINGS",
    "Callback",
    "Checkpointer",
    "Config",
    "Epoch",
    "Evaluation",
    "Trainer",
    "TrainingResult",
    "evaluate",
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
        "callbacks": ["Callback", "Checkpointer"],
        "checkpoint": ["load_checkpoint", "load_model", "save_checkpoint", "save_model"],
        "config": ["PRESETS", "SETTINGS", "Config"],
        "evaluation": ["Evaluation", "evaluate", "predict"],
        "history": ["Epoch", "TrainingResult"],
        "trainer": ["Trainer", "train"],
    },
)
