"""A manifest is untrusted data: what has another shape is refused before it is used."""

import json
import shutil

import pytest
from small import ROOT

from task_delegator.artifact.store import load
from task_delegator.errors import ProgramError


@pytest.mark.parametrize(
    ("part", "value", "named"),
    [
        ("calibration", None, "no validation scores"),
        ("calibration", [], "no validation scores"),
        ("calibration", {"confidences": [0.5]}, "calibration.right"),
        ("calibration", {"confidences": ["a"], "right": [True]}, "confidences.0"),
        ("calibration", {"confidences": [1e308], "right": [True]}, "confidences.0"),
        ("calibration", {"confidences": [0.5], "right": [True], "with_lm": 5}, "with_lm"),
        ("reranker", "mine", "reranker must hold spec and id"),
        ("reranker", {"spec": "x"}, "reranker must hold spec and id"),
        ("reranker", {"spec": "x", "id": 5}, "reranker must hold spec and id"),
        ("registry", {"sha256": "", "calibrated": 5}, "registry.calibrated"),
        ("registry", {"sha256": "", "calibrated": [[1]]}, "registry.calibrated"),
    ],
)
def test_a_manifest_of_other_shapes_is_refused_in_one_line(tmp_path, office, part, value, named):
    folder = tmp_path / "program"
    shutil.copytree(ROOT / "program" / "task_delegator" / "compiled" / "default", folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {part: value}))
    with pytest.raises(ProgramError, match=named):
        load(folder, office, target_precision=0.9)
