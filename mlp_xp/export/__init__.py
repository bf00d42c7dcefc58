"""Trained models in the formats of others, each by a module that is imported when it is used.

A format's module has SUFFIX, the end of its files' names, and export(model, path), which writes the
file, whole or not at all, and returns lines that say how to use it.
"""

FORMATS: dict[str, str] = {
    "onnx": "to_onnx",
    "torch": "to_torch",
}
"""The name of each format, and of its module in this package."""
