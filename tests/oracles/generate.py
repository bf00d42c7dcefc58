"""Writes torch.json: inputs, and PyTorch's results for them.

    python tests/oracles/generate.py

It needs torch, which the tests don't: they read torch.json. All is float64, on the CPU.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F
from torch.optim import lr_scheduler

ACTIVATIONS = {
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "gelu": lambda z: F.gelu(z, approximate="tanh"),
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "identity": lambda z: z + 0,
}
SGD_SETTINGS: list[dict[str, Any]] = [
    {},
    {"weight_decay": 0.01},
    {"momentum": 0.9},
    {"momentum": 0.5, "weight_decay": 0.1},
    {"momentum": 0.9, "nesterov": True},
    {"momentum": 0.7, "nesterov": True, "weight_decay": 0.05},
]
ADAM_SETTINGS: list[dict[str, Any]] = [
    {"weight_decay": 0.0},
    {"weight_decay": 0.1},
    {"weight_decay": 0.0, "betas": [0.8, 0.9]},
    {"weight_decay": 0.05, "betas": [0.5, 0.99], "eps": 0.01},
    {"weight_decay": 0.0, "betas": [0.0, 0.999], "eps": 1e-4},
]
OPTIMIZERS = {
    "sgd": (torch.optim.SGD, SGD_SETTINGS, [0.1, 0.01]),
    "adam": (torch.optim.Adam, ADAM_SETTINGS, [0.01, 0.3]),
    "adamw": (torch.optim.AdamW, ADAM_SETTINGS, [0.01, 0.3]),
}
STEPS, KEPT_STEPS = 20, (1, 2, 20)


def activations() -> dict[str, Any]:
    Z = [-1e4, -800.0, -40.0, *np.linspace(-6, 6, 25), 1e-3, 40.0, 800.0, 1e4]
    values = {}
    for name, function in ACTIVATIONS.items():
        z = torch.tensor(Z, requires_grad=True)
        A = function(z)
        A.sum().backward()
        values[name] = {"A": A.tolist(), "derivative": z.grad.tolist()}
    return {"Z": Z, "values": values}


def losses(rng: np.random.Generator) -> dict[str, Any]:
    rows, classes = 6, 4
    logits = (3 * rng.standard_normal((rows, classes))).tolist()
    weights = rng.uniform(0, 2, rows).tolist()
    targets = {
        "multiclass": rng.integers(classes, size=rows).tolist(),
        "multilabel": rng.integers(2, size=(rows, classes)).tolist(),
        "regression": rng.standard_normal((rows, classes)).tolist(),
    }
    cases = []
    for objective, smoothing in (
        *(("multiclass", s) for s in (0.0, 0.1, 0.5)), ("multilabel", 0.0), ("regression", 0.0)
    ):  # fmt: skip
        for weighted in (False, True):
            z = torch.tensor(logits, requires_grad=True)
            if objective == "multiclass":
                y = torch.tensor(targets[objective], dtype=torch.int64)
                row_losses = F.cross_entropy(z, y, reduction="none", label_smoothing=smoothing)
            elif objective == "multilabel":
                y = torch.tensor(targets[objective], dtype=torch.float64)
                row_losses = F.binary_cross_entropy_with_logits(z, y, reduction="none").mean(dim=1)
            else:
                row_losses = F.mse_loss(z, torch.tensor(targets[objective]), reduction="none")
                row_losses = row_losses.mean(dim=1)
            loss = (row_losses * torch.tensor(weights) if weighted else row_losses).mean()
            loss.backward()
            options = {"label_smoothing": smoothing} if smoothing else {}
            cases.append(
                {
                    "objective": objective,
                    "options": options,
                    "weighted": weighted,
                    "loss": loss.item(),
                    "dlogits": z.grad.tolist(),
                }
            )
    return {"logits": logits, "weights": weights, "targets": targets, "cases": cases}


def optimizers(rng: np.random.Generator) -> dict[str, Any]:
    """Each case: parameters W and b after some of the steps, with a learning rate that falls."""
    start = [rng.standard_normal((3, 2)), rng.standard_normal(2)]
    gradients = [[rng.standard_normal(p.shape) for p in start] for _ in range(STEPS)]
    factors = [1 - i / (2 * STEPS) for i in range(STEPS)]
    cases = []
    for name, (optimizer_class, table, lrs) in OPTIMIZERS.items():
        for settings in table:
            for lr in lrs:
                parameters = [torch.tensor(p, requires_grad=True) for p in start]
                optimizer = optimizer_class(parameters, lr=lr, **settings)
                after = {}
                for i in range(STEPS):
                    optimizer.param_groups[0]["lr"] = lr * factors[i]
                    for parameter, gradient in zip(parameters, gradients[i], strict=True):
                        parameter.grad = torch.tensor(gradient)
                    optimizer.step()
                    if i + 1 in KEPT_STEPS:
                        after[i + 1] = [p.tolist() for p in parameters]
                cases.append({"optimizer": name, "settings": settings, "lr": lr, "after": after})
    return {
        "start": [p.tolist() for p in start],
        "gradients": [[g.tolist() for g in step] for step in gradients],
        "factors": factors,
        "cases": cases,
    }


def clipping(rng: np.random.Generator) -> dict[str, Any]:
    gradients = [rng.standard_normal((4, 3)).tolist(), rng.standard_normal(3).tolist()]
    cases = []
    for max_norm in (0.1, 1.0, 100.0):
        parameters = [torch.zeros(np.shape(g)) for g in gradients]
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = torch.tensor(gradient)
        torch.nn.utils.clip_grad_norm_(parameters, max_norm)
        cases.append({"max_norm": max_norm, "clipped": [p.grad.tolist() for p in parameters]})
    return {"gradients": gradients, "cases": cases}


def schedules() -> list[dict[str, Any]]:
    """Each case: the learning rate of every one of `total` steps, which starts at 1."""
    cases = []
    for total, warmup in ((12, 0), (31, 0), (30, 5), (25, 1)):
        rest = total - warmup
        makers = {
            "constant": lambda o, rest=rest: lr_scheduler.ConstantLR(o, factor=1, total_iters=0),
            "linear": lambda o, rest=rest: lr_scheduler.PolynomialLR(o, total_iters=rest, power=1),
            "cosine": lambda o, rest=rest: lr_scheduler.CosineAnnealingLR(o, T_max=rest),
        }
        if rest % 3 == 0:
            makers["step"] = lambda o, rest=rest: lr_scheduler.StepLR(o, rest // 3, gamma=0.1)
        for name, maker in makers.items():
            optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
            schedule = maker(optimizer)
            if warmup:
                rise = lr_scheduler.LinearLR(
                    optimizer, start_factor=1 / warmup, total_iters=max(warmup - 1, 1)
                )
                schedule = lr_scheduler.SequentialLR(optimizer, [rise, schedule], [warmup])
            rates = []
            for _ in range(total):
                rates.append(optimizer.param_groups[0]["lr"])
                optimizer.step()
                schedule.step()
            cases.append({"schedule": name, "total": total, "warmup": warmup, "factors": rates})
    return cases


def plateau(rng: np.random.Generator) -> list[dict[str, Any]]:
    """Each case: the learning rate, which starts at 1, after every epoch's loss."""
    epochs = np.arange(60)
    curves = [
        np.exp(-epochs / 8) + 0.3 + 0.01 * rng.standard_normal(60),  # falls, then flat
        1 - 5e-5 * epochs,  # falls, but by less than the threshold each time
        1 + 0.1 * rng.standard_normal(60),  # never falls
    ]
    cases = []
    for losses_ in curves:
        for settings in (
            {"factor": 0.1, "patience": 10, "threshold": 1e-4},
            {"factor": 0.5, "patience": 2, "threshold": 0.01},
            {"factor": 0.5, "patience": 0, "threshold": 0.0},
        ):
            optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
            schedule = lr_scheduler.ReduceLROnPlateau(optimizer, eps=0, **settings)
            scales = []
            for loss in losses_.tolist():
                schedule.step(loss)
                scales.append(optimizer.param_groups[0]["lr"])
            cases.append({"settings": settings, "losses": losses_.tolist(), "scales": scales})
    return cases


def main() -> None:
    torch.set_default_dtype(torch.float64)
    rng = np.random.default_rng(5)
    values = {
        "torch": torch.__version__,
        "activations": activations(),
        "losses": losses(rng),
        "optimizers": optimizers(rng),
        "clipping": clipping(rng),
        "schedules": schedules(),
        "plateau": plateau(rng),
    }
    lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in values.items()]
    path = Path(__file__).with_name("torch.json")
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
