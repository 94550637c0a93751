"""A result file says what it takes to get its rows again."""

import hashlib
import json

from experiments import results, scaling


def test_a_result_holds_commit_constants_versions_and_digests(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    config = results.constants(scaling)
    older = results.save("scaling", "0" * 12, config, [{"top1": 0.5}], 1.0)
    path = results.save("scaling", "1" * 12, config, [{"top1": 0.6}], 2.0)
    saved = json.loads(path.read_text())
    assert saved["commit"] == "1" * 12
    assert saved["config"]["draws"] == 20
    assert saved["config"]["large"][-1] == 10_000
    assert saved["versions"]["dspy"]
    assert len(saved["models"]["adapter"]) == len(saved["models"]["program"]) == 64
    assert saved["models"]["embedder"].startswith("minilm:")
    assert not older.exists()
    assert results.latest("scaling") == saved


def test_a_second_language_model_is_named_with_its_digest(tmp_path, monkeypatch):
    model = tmp_path / "strong.gguf"
    model.write_bytes(b"GGUF")
    monkeypatch.setenv("TASK_DELEGATOR_SECOND_LM", str(model))
    assert results.models()["strong.gguf"] == hashlib.sha256(b"GGUF").hexdigest()
