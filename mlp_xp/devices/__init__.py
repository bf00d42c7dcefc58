"""Devices: where arrays live and are computed. CuPy is imported in this subpackage alone."""

from mlp_xp.devices.device import CPU, CUDA, Device, device_errors, get_device

__all__ = ["CPU", "CUDA", "Device", "device_errors", "get_device"]
