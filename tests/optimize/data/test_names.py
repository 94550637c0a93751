"""A file that looks like one of a dataset's and is not read is refused; others are left alone."""

import re

import pytest
from small import PUBLIC, ROOT, small_dataset

from optimize.data.dataset import load_dataset
from task_delegator.errors import InputError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small_dataset(tmp_path_factory.mktemp("names"), agents=5)


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("valid.json", "validation.json"),
        ("val.json", "validation.json"),
        ("dev.jsonl", "validation.json"),
        ("eval.csv", "validation.json"),
        ("Validation.json", "validation.json"),
        ("vaildation.json", "validation.json"),
        ("validation.json.gz", "validation.json"),
        ("train.csv", "train.json"),
        ("train.jsonl", "train.json"),
        ("Train.JSON", "train.json"),
        ("training.json", "train.json"),
        ("tarin.json", "train.json"),
        ("test.json", "ground_truth.json"),
        ("testing.json", "ground_truth.json"),
        ("tests.parquet", "ground_truth.json"),
        ("ground-truth.json", "ground_truth.json"),
        ("ground_truth.yaml", "ground_truth.json"),
        ("out_of_scop.json", "out_of_scope.json"),
        ("outOfScope.json", "out_of_scope.json"),
        ("multi.jsonl", "multi.json"),
        ("language.json", "languages.json"),
        ("enrichment.yml", "enrichment.json"),
    ],
)
@pytest.mark.fault(
    "misspelled field", "the name of a dataset's file", holds="Refused, with the right spelling."
)
def test_a_file_that_nobody_reads_is_refused_with_the_right_name(folder, name, right):
    path, there = folder / name, folder / right
    kept = there.rename(folder / "kept") if there.exists() else None
    path.write_text("[]")
    said = f"{path}: is not read: did you mean {right}? Rename or convert it, or move it"
    try:
        with pytest.raises(InputError, match=re.escape(said)) as caught:
            load_dataset(folder)
    finally:
        path.unlink()
        if kept is not None:
            kept.rename(there)
    assert "\n" not in str(caught.value)


def test_a_file_beside_the_one_that_is_read_is_told_of(folder, caplog):
    (folder / "train.csv").write_text("?")
    try:
        assert load_dataset(folder).splits["train"]
    finally:
        (folder / "train.csv").unlink()
    assert caplog.messages == [f"{folder / 'train.csv'}: is not read, train.json beside it is"]


def test_other_files_are_left_alone(folder):
    names = (
        "README.md", "LICENSE", "notes.txt", "train.md", "AGENTS.md", "agents.yaml", ".valid.json",
        "train.json.bak", "train.json~", "train.py", "test", "train_old.json", "multi_validation.json",
        "attacks.json", "second_labels.json", "registries.jsonl", "ambiguous.json", "rows.json",
        "invalid.json", "report.json", "provenance.jsonl", "retrain.json", "scope.json",
    )  # fmt: skip
    for name in names:
        (folder / name).write_text("?")
    (folder / "dev.json").mkdir()
    (folder / "valid.json").symlink_to("validation.json")
    assert load_dataset(folder).splits["validation"]


def test_the_directories_that_come_with_the_project_are_read(caplog):
    folders = [ROOT / "datasets", *PUBLIC.glob("*/")]
    read = [path for path in folders if (path / "validation.json").exists()]
    for path in read:
        assert load_dataset(path, enriched=False).splits["validation"]
    assert caplog.messages == []
