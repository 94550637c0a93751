"""Fine-tuning an encoder without torch: what is trained on, in which batches, and the export."""

import json
import random
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
from small import HashedWords, make_agent, small_dataset

from optimize.__main__ import main
from optimize.data.dataset import load_dataset
from optimize.finetune.encoder.batches import confusions, draw_batches
from optimize.finetune.encoder.export import eight_bits
from optimize.finetune.encoder.pairs import Pair, texts_to_pair
from optimize.finetune.encoder.recipe import EncoderRecipe
from optimize.finetune.encoder.sources import load_source, load_sources, sources_to_train_on
from optimize.finetune.encoder.teacher import ask_teacher
from optimize.finetune.encoder.validation import questions
from task_delegator.errors import InputError
from task_delegator.registry.agents import Registry


@pytest.fixture
def dataset(tmp_path):
    return load_dataset(small_dataset(tmp_path / "registry"))


def _cards(folder, requests):
    folder.mkdir()
    agents = [
        {
            "name": f"Agent {i}",
            "description": f"Does the work number {i}",
            "instructions": f"Ask for the number {i} of the paper first. Then file it under {i}.",
        }
        for i in range(50)
    ]
    (folder / "agents.json").write_text(json.dumps(agents))
    (folder / "requests.jsonl").write_text("".join(json.dumps(row) + "\n" for row in requests))
    return folder


def test_a_batch_is_of_one_registry_and_holds_no_agent_twice(tmp_path, dataset):
    other = load_dataset(small_dataset(tmp_path / "other", agents=6))
    batches = draw_batches([dataset, other], HashedWords(), EncoderRecipe(batch=5, steps=60))
    assert len(batches) == 60
    for batch in batches:
        assert len({pair.registry for pair in batch}) == 1
        assert len({pair.agent for pair in batch}) == len(batch) <= 5
        assert all(pair.anchor != pair.positive for pair in batch)
    assert {batch[0].registry for batch in batches} == {"registry", "other"}


def test_the_same_seed_draws_the_same_batches(dataset):
    drawn = [
        draw_batches([dataset], HashedWords(), EncoderRecipe(batch=4, steps=9, seed=s))
        for s in (1, 1, 2)
    ]
    assert drawn[0] == drawn[1] != drawn[2]


def test_nothing_of_validation_or_test_is_in_a_pair(dataset):
    held = {r.text for name in ("validation", "test") for r in dataset.splits[name]}
    rng = random.Random(0)
    for texts in texts_to_pair(dataset):
        for _ in range(30):
            pair = texts.draw(rng, 2)
            assert not {pair.anchor, pair.positive} & held


def test_agents_that_are_taken_for_each_other_share_batches(dataset):
    agents = [
        make_agent("Trains", "books trains", "book a train to Porto", "train to Bonn please"),
        make_agent("Hotels", "books hotels", "book a hotel to stay in Porto", "hotel in Bonn"),
        make_agent("Salaries", "pays staff", "my salary is late", "salary slip of June"),
    ]
    found = replace(dataset, registry=Registry(agents), splits=dict.fromkeys(dataset.splits, ()))
    near = confusions(found, texts_to_pair(found), HashedWords())
    assert near["Trains"][0] == "Hotels"
    assert all(name not in others for name, others in near.items())


def test_agents_whose_requests_validate_or_test_are_not_trained_on(tmp_path):
    asked = [
        {"agent": f"Agent {i}", "requests": [f"do {i}"], "also": ["Agent 49"]} for i in range(45)
    ]
    source = load_source(_cards(tmp_path / "cards", asked))
    assert len(source.splits["validation"]) == 40
    assert len(source.splits["test"]) == 5
    (left,) = sources_to_train_on([source], [])
    assert {agent.name for agent in left.registry} == {f"Agent {i}" for i in range(45, 49)}
    pairs = texts_to_pair(left)
    assert pairs[0].sentences[0].startswith("Ask for the number 45")
    assert pairs[0].draw(random.Random(0), 2).positive.startswith("Agent 45. Does the work")


@pytest.mark.parametrize("line", ["no json", '{"agent": "Agent 1"}', "[]"])
def test_a_broken_line_of_requests_is_named(tmp_path, line):
    folder = _cards(tmp_path / "cards", [{"agent": "Agent 0", "requests": ["do it"]}])
    with (folder / "requests.jsonl").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(InputError, match=r"requests\.jsonl: line 2: expected"):
        load_source(folder)


def test_requests_of_an_unknown_agent_are_refused(tmp_path):
    folder = _cards(tmp_path / "cards", [{"agent": "Nobody", "requests": ["do it"]}])
    with pytest.raises(InputError, match="line 1: no agent is named 'Nobody'"):
        load_source(folder)


def test_a_registry_without_pairs_is_refused(dataset):
    lonely = replace(
        dataset,
        registry=Registry([make_agent("One", "does one thing", "one", "two")]),
        splits=dict.fromkeys(dataset.splits, ()),
    )
    with pytest.raises(InputError, match="no training registry"):
        draw_batches([lonely], HashedWords(), EncoderRecipe(batch=4, steps=2))


def test_an_encoder_that_tells_agents_apart_scores_highest(dataset):
    asked = questions(dataset, seed=0)
    own = dict(zip(asked.texts, asked.owners, strict=True))
    own |= {t: min(a) for t, a in zip(asked.requests, asked.acceptable, strict=True)}
    knowing = asked.rank(lambda texts: np.eye(asked.agents)[[own[text] for text in texts]])
    assert knowing == {"n": len(asked.requests), "top1": 1.0, "mrr": 1.0}
    rng = np.random.default_rng(0)
    guessing = asked.rank(lambda texts: rng.normal(size=(len(texts), 8)))
    assert guessing["mrr"] < 0.9


def _compile(tmp_path, *options):
    data = small_dataset(tmp_path / "data")
    out = str(tmp_path / "program")
    return main(["compile", "--no-lm", "--data", str(data), "--out", out, *options])


@pytest.mark.skipif(find_spec("torch") is not None, reason="the extra finetune is installed")
def test_an_adaptation_without_its_extras_names_them(tmp_path, capsys):
    assert _compile(tmp_path, "--adapt-encoder") == 2
    line = "torch is not installed; run pip install 'task-delegator[encoder,finetune]'"
    assert capsys.readouterr().err.rstrip().endswith(line)


def test_another_embedder_is_not_adapted(tmp_path, capsys):
    assert _compile(tmp_path, "--adapt-encoder", "--embedder", "mpnet") == 2
    assert (
        "--adapt-encoder makes the embedder: leave out --embedder mpnet" in capsys.readouterr().err
    )


def test_eight_bits_keep_a_matrix_to_half_a_step():
    matrix = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)
    matrix[2] = 0
    for axis in (0, 1):
        levels, scales = eight_bits(matrix, axis)
        assert levels.dtype == np.int8
        assert (np.abs(levels * scales - matrix) <= scales / 2 + 1e-7).all()


def test_small_registries_are_sources_of_several_each(tmp_path):
    path = tmp_path / "many.jsonl"
    rows = [
        {
            "registry": f"company {number}",
            "name": f"Desk {number} {letter}",
            "description": f"does {letter} for company {number}",
            "samples": [f"please do {letter} at {number}"],
            "requests": [f"{letter} is missing at {number}"],
        }
        for number in range(30)
        for letter in "ABC"
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    sources = load_sources(path)
    assert [len(source.registry) for source in sources] == [72, 18]
    assert len({source.path.name for source in sources}) == 2
    asked = {r.text: r.expected for source in sources for r in source.splits["train"]}
    assert asked == {row["requests"][0]: row["name"] for row in rows}
    before = sources[0].digests()
    path.write_text(path.read_text().replace("please", "kindly"))
    assert load_sources(path)[0].digests() != before


def test_a_teacher_is_asked_once_for_the_texts_of_its_pairs(tmp_path):
    pairs = [Pair("r", "A", "book a train", "trains"), Pair("r", "B", "hotel in Bonn", "trains")]
    kept = tmp_path / "told"
    told = ask_teacher(HashedWords(), pairs, kept)
    assert told.vectors.shape[0] == 3
    for pair, row in zip(pairs, told.rows, strict=True):
        own = np.stack([e.vector for e in HashedWords().encode([pair.anchor, pair.positive])])
        assert np.abs(told.vectors[row] - own).max() < 1e-3
    again = ask_teacher(None, pairs, kept)  # pyright: ignore[reportArgumentType]
    assert (again.vectors == told.vectors).all()


def test_a_teacher_that_was_stopped_is_asked_for_what_it_lacks(tmp_path, monkeypatch):
    monkeypatch.setattr("optimize.finetune.encoder.teacher._AT_ONCE", 1)
    pairs = [Pair("r", "A", "book a train", "trains"), Pair("r", "B", "hotel in Bonn", "trains")]
    asked = []

    class Stopped(HashedWords):
        def encode(self, texts):
            if len(asked) == 2:
                raise KeyboardInterrupt
            asked.extend(texts)
            return super().encode(texts)

    with pytest.raises(KeyboardInterrupt):
        ask_teacher(Stopped(), pairs, tmp_path / "told")
    assert asked == ["trains", "book a train"]
    asked.clear()
    told = ask_teacher(Stopped(), pairs, tmp_path / "told")
    assert asked == ["hotel in Bonn"]
    assert (told.vectors == ask_teacher(HashedWords(), pairs, tmp_path / "new").vectors).all()
