"""A program goes to another process without its locks and what it can build again.

By cloudpickle, as DSPy's signatures that are made at run time need it.
"""

import cloudpickle
import pytest
from small import HashedWords

from task_delegator.delegator import Delegator
from task_delegator.embedders import embedder


@pytest.mark.parametrize("embed", [HashedWords, embedder], ids=["words", "minilm"])
def test_a_pickled_program_gives_the_same_answers(office, embed):
    program = Delegator(office, embed(), calibrated_for=frozenset())
    expected = program("refund my order")
    copy = cloudpickle.loads(cloudpickle.dumps(program))
    found = copy("refund my order")
    assert (found.top3, found.confidence) == (expected.top3, expected.confidence)
    copy.registry.remove("Refunds")
    assert "Refunds" in office
    assert "Refunds" not in {candidate.name for candidate in copy("refund my order").top3}
