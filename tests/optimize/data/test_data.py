import json
import re

import pytest
from small import ROOT, public

from optimize.data import checks
from optimize.data.checks import check, contradictions, leaks, warn_of_repeats
from optimize.data.dataset import Dataset, load_dataset
from task_delegator.errors import InputError


@pytest.fixture(scope="module")
def ours() -> Dataset:
    return load_dataset(ROOT / "datasets")


def write(folder, **files):
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / f"{name}.json").write_text(text)
    return folder


def test_our_ground_truth_is_sound(ours):
    assert check(ours) == []
    assert check(load_dataset(ROOT / "datasets", enriched=False), strict=True) == []


def test_the_data_card_states_the_digests(ours):
    card = (ROOT / "datasets" / "README.md").read_text()
    for name, digest in ours.digests().items():
        assert f"{digest}  {name}" in card


def test_a_second_labeller_agrees_as_the_card_says(ours):
    rows = json.loads((ROOT / "datasets" / "second_labels.json").read_text())
    for split in ("validation", "test"):
        labels = {r.text: r.acceptable for r in ours.splits[split]}
        agreed = [
            row["agent"] in labels[row["user_request"]] for row in rows if row["split"] == split
        ]
        assert (sum(agreed), len(agreed)) == (140, 140)


def test_half_of_what_is_out_of_scope_nearly_fits(ours):
    rows = json.loads((ROOT / "datasets" / "out_of_scope.json").read_text())
    for split, texts in ours.out_of_scope.items():
        kinds = [row["kind"] for row in rows if row["split"] == split]
        assert kinds.count("near_miss") * 2 == len(texts)


def test_tasks_for_several_agents_name_two_or_three(ours):
    for tasks in ours.multi.values():
        assert {len(task.acceptable) for task in tasks} == {2, 3}


def test_leaks_are_found_exactly_and_nearly(tmp_path):
    folder = write(
        tmp_path,
        agents=[{"name": "A", "user_request_samples": ["please send the March invoice again"]}],
        train=[
            {"expected_agent_name": "A", "user_requests": ["Please send the march invoice again"]}
        ],
        validation=[
            {"expected_agent_name": "A", "user_requests": ["send the March invoice again"]}
        ],
        ground_truth=[{"expected_agent_name": "A", "user_requests": ["something else entirely"]}],
    )
    found = leaks(load_dataset(folder))
    assert any("train" in line and "is also a sample of A" in line for line in found)
    assert any("validation" in line and "nearly copies a sample of A" in line for line in found)
    assert not any(line.startswith("test") for line in found)


def test_a_request_in_two_splits_is_a_leak(tmp_path):
    row = [{"expected_agent_name": "A", "user_requests": ["the same words"]}]
    folder = write(tmp_path, agents=[{"name": "A"}], train=row, validation=row)
    assert leaks(load_dataset(folder)) == [
        "validation: 'the same words' is also a request of train"
    ]


def test_a_request_out_of_scope_in_two_splits_is_a_leak(tmp_path):
    row = [{"expected_agent_name": "A", "user_requests": ["the same words"]}]
    lost = [{"user_request": "sing", "split": split} for split in ("validation", "test", "test")]
    folder = write(tmp_path, agents=[{"name": "A"}], train=row, out_of_scope=lost)
    assert leaks(load_dataset(folder)) == [
        "test: 'sing' is also a request of validation",
        "test: 'sing' is also a request of validation",
        "test: 'sing' appears twice",
    ]


def labeled(agent, *texts, also=()):
    return {
        "expected_agent_name": agent,
        "user_requests": list(texts),
        "acceptable_agent_names": list(also),
    }


def test_one_text_with_two_labels_is_a_problem(tmp_path):
    folder = write(
        tmp_path,
        agents=[{"name": "A", "user_request_samples": ["pay me"]}, {"name": "B"}, {"name": "C"}],
        train=[labeled("A", "The same words", "twice"), labeled("B", "twice", "pay me")],
        validation=[labeled("B", "the same words"), labeled("C", "agreed", also=["A"])],
        ground_truth=[labeled("A", "agreed", "lost")],
        out_of_scope=[{"user_request": "lost", "split": "validation"}],
    )
    found = [
        "train: 'twice' is labeled B, in train A",
        "train: 'pay me' is labeled B, among the samples A",
        "validation: 'the same words' is labeled B, in train A",
        "test: 'lost' is labeled A, in validation nobody",
    ]
    dataset = load_dataset(folder)
    assert contradictions(dataset) == found
    assert set(found) < set(check(dataset))


def test_repeats_are_warned_of_in_one_line_with_the_remedy(tmp_path, ours, caplog):
    folder = write(
        tmp_path,
        agents=[{"name": "A", "user_request_samples": ["please say it again"]}, {"name": "B"}],
        train=[labeled("A", "the same words", "again", "say it again")],
        validation=[labeled("B", "the same words"), labeled("A", "again")],
    )
    warn_of_repeats(load_dataset(folder))
    (record,) = caplog.records
    assert "stand twice: 2, with another label elsewhere: 1; " in record.getMessage()
    assert record.getMessage().endswith(f"python -m optimize.data check {folder}")
    assert "\n" not in record.getMessage()
    caplog.clear()
    warn_of_repeats(ours)
    assert caplog.records == []


def test_several_agents_may_be_right(tmp_path):
    row = {"expected_agent_name": "A", "user_requests": ["x", "y"]}
    folder = write(
        tmp_path,
        agents=[{"name": "A"}, {"name": "B"}],
        train=[{**row, "acceptable_agent_names": ["B"]}],
        validation=[{**row, "acceptable_agent_names": {"y": ["B"]}}],
    )
    splits = load_dataset(folder).splits
    assert [r.acceptable for r in splits["train"]] == [("A", "B"), ("A", "B")]
    assert [r.acceptable for r in splits["validation"]] == [("A",), ("A", "B")]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "agents.json: no such file"),
        ({"agents": [{"name": "A"}]}, "no labeled requests"),
        ({"agents": [{"name": "A"}], "train": "[{"}, "train.json: broken JSON"),
        ({"agents": [{"name": "A"}], "train": {}}, "train.json: expected a JSON list"),
        (
            {
                "agents": [{"name": "A"}],
                "train": [{"expected_agent_name": "B", "user_requests": ["x"]}],
            },
            "train.json: row 0: no agent is named 'B'",
        ),
        (
            {
                "agents": [{"name": "A"}],
                "train": [
                    {
                        "expected_agent_name": "A",
                        "user_requests": ["x"],
                        "acceptable_agent_names": None,
                    }
                ],
            },
            "expected 'acceptable_agent_names' to be a list",
        ),
        (
            {"agents": [{"name": "A"}], "train": [{"user_requests": ["x"]}]},
            "row 0: expected 'expected_agent_name' to be a str",
        ),
        (
            {
                "agents": [{"name": "A"}],
                "train": [{"expected_agent_name": "A", "user_requests": [" "]}],
            },
            "row 0: a request is empty",
        ),
        (
            {
                "agents": [{"name": "A"}],
                "train": [{"expected_agent_name": "A", "user_requests": ["x"]}],
                "out_of_scope": [{"user_request": "y", "split": "dev"}],
            },
            "unknown split 'dev'",
        ),
        (
            {
                "agents": [{"name": "A"}],
                "train": '{"expected_agent_name": "A", "user_requests": ["x"]}\n\n{"expected',
            },
            "train.json: holds JSON Lines, an object a line: write them as one JSON list",
        ),
        (
            {"agents": [{"name": "A"}], "train": "{}\n[]"},
            "train.json: broken JSON at line 2",
        ),
    ],
)
@pytest.mark.fault("hostile content", "a dataset", holds="One line with its place.")
def test_a_broken_dataset_is_refused_with_its_place(tmp_path, files, message):
    with pytest.raises(InputError, match=message):
        load_dataset(write(tmp_path, **files))


@pytest.mark.parametrize(
    ("file", "right", "wrong"),
    [
        ("train", "acceptable_agent_names", "acceptable_agents"),
        ("train", "acceptable_agent_names", "acceptableAgentNames"),
        ("train", "expected_agent_name", "expected_agnet_name"),
        ("validation", "user_requests", "user_request"),
        ("out_of_scope", "split", "splt"),
        ("out_of_scope", "split", "spilt"),
        ("out_of_scope", "user_request", "User request"),
        ("multi", "task", "tsk"),
        ("multi", "expected_agent_names", "expected_agent_name"),
        ("languages", "split", "splits"),
    ],
)
@pytest.mark.fault("misspelled field", "a dataset", holds="Refused, with the right spelling.")
def test_a_misspelled_key_of_a_row_is_refused_with_its_place(tmp_path, file, right, wrong):
    row = {"expected_agent_name": "A", "user_requests": ["x"], "acceptable_agent_names": []}
    rows = {
        "train": row,
        "validation": row,
        "out_of_scope": {"user_request": "y", "split": "train"},
        "multi": {"task": "z", "expected_agent_names": ["A"], "split": "train"},
        "languages": {"user_request": "w", "expected_agent_name": "A", "split": "train"},
    }
    others = {"kind": "x", "id": 1, "provenance": {}, "rationale": "", "speaker": "", "split_1": ""}
    files = {name: [row, row | others] for name, row in rows.items()}
    load_dataset(write(tmp_path, agents=[{"name": "A"}], **files))
    files[file][1][wrong] = files[file][1].pop(right)
    write(tmp_path, **files)
    said = f"{tmp_path / file}.json: row 1: the key {wrong!r} is unknown: did you mean {right!r}?"
    with pytest.raises(InputError, match=re.escape(said)):
        load_dataset(tmp_path)


def test_a_missing_directory_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such directory"):
        load_dataset(tmp_path / "nowhere")


ROW = [labeled("A", "x")]
NOWHERE = [{"user_request": "y"}, {"user_request": "z"}]
SPLIT = {part: {"user_request": part, "split": part} for part in ("train", "validation", "test")}


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([SPLIT["validation"], *NOWHERE], "of 3 rows 2 name no split and count as test, and 1 are"),
        (NOWHERE, "of 2 rows 2 name no split and count as test, and 0 are of validation"),
        ([SPLIT["test"], SPLIT["train"]], "of 2 rows 0 name no split and count as test, and 0 are"),
    ],
)
def test_out_of_scope_without_a_split_is_warned_of_with_the_remedy(tmp_path, caplog, rows, says):
    files = {"agents": [{"name": "A"}], "validation": ROW, "out_of_scope": rows}
    dataset = load_dataset(write(tmp_path, **files))
    [line] = caplog.messages
    assert line.startswith(f"{tmp_path / 'out_of_scope.json'}: {says}")
    assert line.endswith('give each row its "split", "validation" to some')
    assert "\n" not in line
    assert len(dataset.out_of_scope["test"]) == sum(
        row.get("split", "test") == "test" for row in rows
    )


@pytest.mark.parametrize(
    ("split", "rows"),
    [
        ("validation", [*SPLIT.values()]),
        ("validation", [SPLIT["validation"]]),
        ("validation", []),
        ("ground_truth", NOWHERE),  # all is test, as it seems
        ("ground_truth", [SPLIT["test"]]),
    ],
)
def test_out_of_scope_is_no_warning_where_its_splits_are_plain(tmp_path, caplog, split, rows):
    load_dataset(write(tmp_path, agents=[{"name": "A"}], out_of_scope=rows, **{split: ROW}))
    assert caplog.messages == []


def test_the_check_prints_problems_and_fails(tmp_path, capsys):
    row = [{"expected_agent_name": "A", "user_requests": ["the same words"]}]
    write(tmp_path, agents=[{"name": "A"}], train=row, validation=row)
    assert checks.main(["check", str(tmp_path)]) == 1
    assert "is also a request of train" in capsys.readouterr().out
    assert checks.main(["check", str(tmp_path / "nowhere")]) == 2
    assert checks.main(["verify"]) == 2


@pytest.mark.parametrize(
    ("name", "agents", "test", "strangers"),
    [("banking77", 77, 3079, 0), ("clinc150", 150, 4500, 1000), ("seal_tools", 4076, 294, 0)],
)
def test_public_sets_are_read_as_they_are(name, agents, test, strangers):
    dataset = load_dataset(public(name))
    assert len(dataset.registry) == agents
    assert len(dataset.splits["test"]) == test
    assert len(dataset.out_of_scope["test"]) == strangers


def test_a_blind_second_labeling_of_the_wordings_agrees():
    """Thing by thing: an agent that both readers take for right, and none left over."""
    probes = ROOT / "datasets" / "probes"
    rows = json.loads((probes / "wordings.json").read_text(encoding="utf-8"))
    first = {row["task"]: row["expected"] for row in rows}
    second = json.loads((probes / "wordings_second_labels.json").read_text(encoding="utf-8"))
    assert len(second) == len(first) == 120
    for row in second:
        left = [set(names) for names in first[row["task"]]]
        for names in row["expected"]:
            left.remove(next(known for known in left if known & set(names)))
        assert not left, row["task"]
