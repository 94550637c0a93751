import json

import pytest
from recorded import recorded_lm
from small import HashedWords, make_agent, small_dataset

from optimize.data.dataset import load_dataset
from optimize.synthesis.enrich import Dropped, enrich_dataset, filter_requests, find_rivals
from task_delegator.delegator import Delegator
from task_delegator.errors import InputError
from task_delegator.registry.agents import Agent, Registry
from task_delegator.registry.enrichment import enrich, read_enrichment
from task_delegator.retrieval.index import Index
from task_delegator.text.overlap import words


def written(folder, agents):
    path = folder / "enrichment.json"
    path.write_text(json.dumps({"provenance": {"writer": "test"}, "agents": agents}))
    return path


def test_a_registry_is_completed_and_nothing_of_its_own_is_replaced(tmp_path, office):
    path = written(
        tmp_path,
        {
            "Refunds": {
                "user_request_samples": ["refund my order", "give me back what I paid"],
                "use_when": "somebody wants money back",
            }
        },
    )
    own = Registry(
        a.model_copy(update={"do_not_use_when": "mine"}) if a.name == "Refunds" else a
        for a in office
    )
    richer = enrich(own, path)["Refunds"]
    assert richer.user_request_samples == (
        "refund my order", "money back please", "give me back what I paid",
    )  # fmt: skip
    assert (richer.use_when, richer.do_not_use_when) == ("somebody wants money back", "mine")
    assert len(own["Refunds"].user_request_samples) == 2
    assert enrich(own, path)["Travel"] == own["Travel"]


@pytest.mark.parametrize(
    ("agents", "message"),
    [
        ({"Nobody": {}}, "no agent is named 'Nobody'"),
        ({"Refunds": {"samples": []}}, r"agents\.Refunds\.samples: Extra inputs"),
        ({"Refunds": {"use_when": 3}}, "valid string"),
        ({"Refunds": {"use_when": "a" * 100_001}}, r"Refunds\.use_when: .*at most 100000"),
        ({"Refunds": {"user_request_samples": ["a"] * 1_001}}, "at most 1000 items"),
    ],
)
def test_a_broken_enrichment_is_refused(tmp_path, office, agents, message):
    with pytest.raises(InputError, match=message):
        enrich(office, written(tmp_path, agents))


def test_a_dataset_takes_its_enrichment_up_and_says_so(tmp_path, caplog):
    folder = small_dataset(tmp_path / "data", agents=5)
    name = json.loads((folder / "agents.json").read_text())[0]["name"]
    written(folder, {name: {"user_request_samples": ["one more thing to ask"]}})
    richer = load_dataset(folder)
    assert "completes 1 of 5 agents" in caplog.text
    assert "one more thing to ask" in richer.registry[name].user_request_samples
    assert "enrichment.json" in richer.digests()
    bare = load_dataset(folder, enriched=False)
    assert (bare.enriched, len(bare.registry[name].user_request_samples)) == (0, 5)
    assert "enrichment.json" not in bare.digests()


def test_only_new_requests_that_lead_back_are_kept(office):
    index = Index(office, HashedWords())
    dropped = Dropped()
    kept = filter_requests(
        [
            "refund my order",  # its own sample
            "please refund what I paid for my order",
            "please refund what I paid for my last order",  # nearly the one before
            "hotel in Lisbon next to the fair",  # somebody else's
            "money back for the broken lamp",  # a labelled request
            "",
        ],
        office["Refunds"],
        index,
        [words("money back for the broken lamp")],
        dropped,
    )
    assert kept == ("please refund what I paid for my order",)
    assert (dropped.duplicate, dropped.leak, dropped.elsewhere) == (3, 1, 1)


def answer(prompt):
    return json.dumps(
        {
            "requests": ["Something of my own invention with many words"],
            "use_when": "always",
            "do_not_use_when": "never",
        }
    )


def test_enriching_goes_on_where_it_ended(tmp_path):
    dataset = load_dataset(small_dataset(tmp_path / "data", agents=5))
    program = Delegator(dataset.registry, HashedWords())
    lm, engine = recorded_lm(answer)
    out = tmp_path / "enrichment.json"
    first, _ = enrich_dataset(program, dataset, lm, out, number=2, limit=2)
    assert (len(first.agents), len(engine.prompts)) == (2, 2)
    whole, dropped = enrich_dataset(program, dataset, lm, out, number=2)
    assert (len(whole.agents), len(engine.prompts)) == (5, 5)
    assert read_enrichment(out) == whole
    assert whole.provenance["writer"] == "recorded/model"
    assert whole.provenance["dropped"] == vars(dropped)
    enrich(dataset.registry, out)  # a registry can take it up


def test_an_enrichment_of_another_registry_is_not_continued(tmp_path):
    dataset = load_dataset(small_dataset(tmp_path / "data", agents=5))
    out = tmp_path / "enrichment.json"
    out.write_text(json.dumps({"provenance": {"agents_sha256": "other"}, "agents": {}}))
    lm, _ = recorded_lm(answer)
    program = Delegator(dataset.registry, HashedWords())
    with pytest.raises(InputError, match="belongs to another registry"):
        enrich_dataset(program, dataset, lm, out, number=2)


def test_a_second_enrichment_of_one_file_is_refused_before_it_pays(tmp_path):
    dataset = load_dataset(small_dataset(tmp_path / "data", agents=5))
    out, program = tmp_path / "runs" / "e.json", Delegator(dataset.registry, HashedWords())
    refused = []

    def answer_while_another_tries(prompt):
        other, engine = recorded_lm(answer)
        with pytest.raises(InputError, match="another process is writing it") as error:
            enrich_dataset(program, dataset, other, out, number=2)
        refused.append((str(error.value), len(engine.prompts)))
        return answer(prompt)

    lm, _ = recorded_lm(answer_while_another_tries)
    enrich_dataset(program, dataset, lm, out, number=2, limit=1)
    said = f"{out}: another process is writing it; wait for it, or name another file with --out"
    assert refused == [(said, 0)]
    assert [path.name for path in out.parent.iterdir()] == ["e.json"]


def test_an_answer_that_cannot_be_read_adds_nothing(tmp_path):
    dataset = load_dataset(small_dataset(tmp_path / "data", agents=5))
    lm, _ = recorded_lm(lambda prompt: "sorry")
    program = Delegator(dataset.registry, HashedWords())
    whole, dropped = enrich_dataset(program, dataset, lm, tmp_path / "e.json", number=2)
    assert dropped.unreadable == 5
    assert not any(addition.user_request_samples for addition in whole.agents.values())


def test_rivals_are_those_it_is_confused_with_and_then_the_nearest(tmp_path):
    dataset = load_dataset(small_dataset(tmp_path / "data", agents=12))
    program = Delegator(dataset.registry, HashedWords())
    rivals = find_rivals(program, dataset)
    assert set(rivals) == {agent.name for agent in dataset.registry}
    assert all(len(set(others)) == 3 and name not in others for name, others in rivals.items())


def test_a_registry_shows_when_not_to_use_an_agent_to_the_lm_only(office):
    from task_delegator.registry.texts import description_text
    from task_delegator.stages.cards import agent_line

    agent = make_agent("X", "does x").model_copy(
        update={"use_when": "x is wanted", "do_not_use_when": "y is wanted"}
    )
    assert "y is wanted" in agent_line(agent)
    assert "y is wanted" not in description_text(agent)
    assert "x is wanted" in description_text(agent)


def test_additions_make_no_agent_longer_than_can_be_searched(tmp_path):
    path = tmp_path / "enrichment.json"
    samples = [f"{number} {'x' * 15_000}" for number in range(25)]
    path.write_text(json.dumps({"agents": {"A": {"user_request_samples": samples}}}))
    with pytest.raises(InputError, match=r"enrichment\.json: with its additions 'A' has 375,"):
        enrich(Registry([Agent(name="A")]), path)
