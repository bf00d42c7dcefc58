"""Data: files and arrays become checked data sets, whose rows go to the device chunk by chunk."""

from mlp_xp.data.dataset import Dataset
from mlp_xp.data.loader import DataLoader
from mlp_xp.data.rows import read_rows
from mlp_xp.data.source import MNIST, DataSource, load_data
from mlp_xp.data.split import Split

__all__ = [
    "MNIST",
    "DataLoader",
    "DataSource",
    "Dataset",
    "Split",
    "load_data",
    "read_rows",
]
