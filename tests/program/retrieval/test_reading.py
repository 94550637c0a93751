"""What is read ahead of a task serves its parts: token ids."""

import pytest
from small import office_registry

from task_delegator.embedders.minilm import MiniLM
from task_delegator.knobs import KnobValues
from task_delegator.retrieval import Index, ReadAhead

TASK = "Refund the order of Ada, and then book a train to Porto."
PARTS = ("Refund the order of Ada,", "book a train to Porto.")
KNOBS = KnobValues()


class Counted(MiniLM):
    """MiniLM that counts how often it is asked for token ids alone."""

    asked = 0

    def token_ids(self, texts):
        self.asked += 1
        return super().token_ids(texts)


@pytest.fixture(scope="module")
def index():
    return Index(office_registry(), Counted())


def test_parts_are_cut_into_tokens_once_and_beside_the_pass(index):
    before, ahead = index.embed.asked, ReadAhead(PARTS)
    ahead.read(index, TASK, KNOBS)
    assert index.embed.asked == before + 1
    assert [len(ahead.read(index, part, KNOBS).encoded.token_ids) for part in PARTS] == [6, 6]
    assert index.embed.asked == before + 1
