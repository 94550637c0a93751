"""Compare an index with one that is built anew of the same agents."""

from dataclasses import fields

import numpy as np
from small import HashedWords

from task_delegator.retrieval import Index
from task_delegator.retrieval.channels import AgentTexts, Channels
from task_delegator.retrieval.state import with_samples

TASKS = ["refund the order to Ada", "a train, a hotel in Porto", "", "the invoice of the salary?"]
_READING = (4, True)


def scores(index: Index, text: str) -> dict[str, np.ndarray]:
    """Return every raw score of a text, by channel, and what it names."""
    query = index.read(text)
    channels = index.channels(query, 1.2, 0.7, 1.0)
    found = {f.name: getattr(channels, f.name) for f in fields(Channels) if f.name != "texts"}
    found |= {f"texts.{f.name}": getattr(channels.texts, f.name) for f in fields(AgentTexts)}
    every = np.arange(len(index.names))
    found["late"] = np.concatenate(index.late(query, every))
    found["close"] = np.array([index.closeness(0, place) for place in range(len(every))])
    shown, mentions = index.mentions.strip_from(text)
    found["names"] = np.array([shown, *mentions, "|", *index.named.find_in(text)])
    return {name: value for name, value in found.items() if value is not None}


def assert_same(followed: Index | None, agents, learned) -> None:
    seen = [with_samples(agent, learned) for agent in agents]
    if followed is None:
        assert seen == []
        return
    fresh = Index(seen, HashedWords())
    assert followed.agents == fresh.agents
    for one, other in [(followed, fresh), (followed.reading(_READING), fresh.reading(_READING))]:
        for text in TASKS:
            ours, theirs = scores(one, text), scores(other, text)
            assert ours.keys() == theirs.keys()
            for name, own in ours.items():
                if own.dtype.kind == "f":
                    np.testing.assert_allclose(own, theirs[name], rtol=0, atol=1e-6, err_msg=name)
                else:
                    assert own.tolist() == theirs[name].tolist(), name
    assert followed.encodings.keys() == fresh.encodings.keys()
