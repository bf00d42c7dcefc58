"""The model file: bit for bit, whole or not at all."""

import os

import numpy as np
import pytest
import safetensors.numpy

from mlp_xp import InputError, Network, load_model, predict, save_model
from mlp_xp.devices import Device
from mlp_xp.files import write_atomic


def test_a_model_comes_back_bit_for_bit(device: Device, dtype, tmp_path, rng):
    network = Network.initialize(device, (6, 5, 4, 3), dtype=dtype, seed=1)
    path = tmp_path / "model.safetensors"
    save_model(network, path)
    again = load_model(path, device)
    assert again.sizes == network.sizes
    assert again.activation_name == network.activation_name
    for a, b in zip(network.parameters(), again.parameters(), strict=True):
        assert str(b.dtype) == dtype
        assert device.to_host(a).tobytes() == device.to_host(b).tobytes()
    X = rng.standard_normal((5, 6))
    assert predict(network, X).tobytes() == predict(again, X).tobytes()
    content = path.read_bytes()
    save_model(again, path)
    assert path.read_bytes() == content
    assert load_model(tmp_path, device).sizes == network.sizes, "a run's folder stands for it"


def test_safetensors_can_read_it(tmp_path, device: Device):
    network = Network.initialize(device, (2, 3), seed=1)
    save_model(network, tmp_path / "m.safetensors")
    tensors = safetensors.numpy.load_file(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(tensors["layer.0.W"], device.to_host(network.layers[0].W))


def test_two_writers_at_once_leave_the_file_of_one_of_them(tmp_path, monkeypatch):
    sync, target = os.fsync, tmp_path / "target"

    def write_another(file):
        monkeypatch.setattr("os.fsync", sync)
        write_atomic(target, b"another")
        sync(file)

    monkeypatch.setattr("os.fsync", write_another)
    write_atomic(target, b"one")
    assert target.read_bytes() == b"one"
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    target = tmp_path / "taken"
    target.mkdir()
    (target / "inside").write_text("old")
    with pytest.raises(InputError, match="can't be written"):
        write_atomic(target, b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
    with pytest.raises(InputError, match="can't be written"):
        write_atomic(tmp_path / "no" / "folder", b"new")
