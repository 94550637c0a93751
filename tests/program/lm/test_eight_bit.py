"""The packaged weights at 8 bits."""

import time
from concurrent.futures import ThreadPoolExecutor

import gguf
import numpy as np
import pytest

from task_delegator.lm import requantize as eight_bit
from task_delegator.lm.requantize import at_eight_bits

KINDS = gguf.GGMLQuantizationType


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "task-delegator"


@pytest.fixture
def packaged(tmp_path):
    """Write a model of two tensors as the package stores it."""
    path, rng = tmp_path / "small.Q4_1.gguf", np.random.default_rng(0)
    matrix = rng.normal(size=(4, 64)).astype(np.float32)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("small")
    writer.add_array("tokenizer.ggml.tokens", ["a", "b"])
    writer.add_tensor("norm", rng.normal(size=64).astype(np.float32))
    writer.add_tensor("matrix", gguf.quants.quantize(matrix, KINDS.Q4_1), raw_dtype=KINDS.Q4_1)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def tensors(path):
    found = gguf.GGUFReader(path).tensors
    return {t.name: (t.tensor_type, gguf.quants.dequantize(t.data, t.tensor_type)) for t in found}


def test_the_weights_and_facts_are_the_same(cache, packaged):
    stored = at_eight_bits(packaged)
    assert stored.parent == cache
    before, after = tensors(packaged), tensors(stored)
    assert after["matrix"][0] == KINDS.Q8_0
    largest = float(np.abs(before["matrix"][1]).max())
    assert after["matrix"][1] == pytest.approx(before["matrix"][1], abs=largest / 127)
    assert (after["norm"][1] == before["norm"][1]).all()
    facts = gguf.GGUFReader(stored).fields
    assert facts["general.name"].contents() == "small"
    assert facts["tokenizer.ggml.tokens"].contents() == ["a", "b"]
    assert facts["general.architecture"].contents() == "llama"


def test_they_are_stored_once(cache, packaged, monkeypatch):
    stored = at_eight_bits(packaged)
    monkeypatch.setattr(eight_bit, "convert", lambda *_: pytest.fail("converted again"))
    assert at_eight_bits(packaged) == stored
    assert list(cache.iterdir()) == [stored]


def test_a_full_disk_leaves_nothing_and_serves_the_package(cache, packaged, monkeypatch, caplog):
    def full(source, target):
        target.write_bytes(b"GG")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(eight_bit, "convert", full)
    assert at_eight_bits(packaged) == packaged
    assert "No space left" in caplog.text
    assert list(cache.iterdir()) == []


def test_a_cache_that_cannot_be_made_serves_the_package(packaged, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("XDG_CACHE_HOME", str(packaged))
    assert at_eight_bits(packaged) == packaged
    assert "slower" in caplog.text


def test_without_a_home_the_package_is_served(packaged, monkeypatch, caplog):
    def homeless(path):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("pathlib.Path.expanduser", homeless)
    assert at_eight_bits(packaged) == packaged
    assert "home directory" in caplog.text


def test_what_a_killed_process_left_is_written_over(cache, packaged):
    cache.mkdir(parents=True)
    stored = at_eight_bits(packaged)
    stored.rename(stored.with_suffix(".part"))
    assert at_eight_bits(packaged) == stored
    assert list(cache.iterdir()) == [stored]


def test_two_processes_store_them_once(cache, packaged, monkeypatch):
    made, convert = [], eight_bit.convert

    def slow(source, target):
        made.append(target)
        time.sleep(0.2)
        convert(source, target)

    monkeypatch.setattr(eight_bit, "convert", slow)
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(at_eight_bits, [packaged, packaged])
    assert one == other
    assert len(made) == 1
