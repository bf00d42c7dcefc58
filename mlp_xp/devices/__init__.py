"""Devices: where arrays live and are computed. CuPy is imported in this subpackage alone."""

from typing import TYPE_CHECKING

from mlp_xp.lazy import lazy_names

if TYPE_CHECKING:
    from mlp_xp.devices.base import CPU, Device
    from mlp_xp.devices.cuda import CUDA
    from mlp_xp.devices.denormals import flush_denormals
    from mlp_xp.devices.device import device_errors, get_device

__all__ = ["CPU", "CUDA", "Device", "device_errors", "flush_denormals", "get_device"]

# kernels.py has to come before NumPy.
__getattr__, __dir__ = lazy_names(__name__, {
    "base": ["CPU", "Device"], "cuda": ["CUDA"], "denormals": ["flush_denormals"],
    "device": ["device_errors", "get_device"],
})  # fmt: skip
