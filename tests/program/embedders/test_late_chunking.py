import numpy as np
import pytest
from small import HashedWords

from task_delegator.embedders import VectorCache, encode_parts, pools_tokens
from task_delegator.embedders.cached import CachedEmbedder
from task_delegator.embedders.minilm import MiniLM

WHOLE = "Book a train and a hotel in Porto, then send the invoice again."
PARTS = ("Book a train and a hotel in Porto", "send the invoice again.")


@pytest.fixture(scope="module")
def minilm():
    return MiniLM()


def test_parts_are_pooled_from_the_tokens_of_the_whole(minilm):
    whole = minilm.encode([WHOLE])[0]
    found = encode_parts(minilm, whole, PARTS)
    assert found is not None
    for one, alone in zip(found, minilm.encode(PARTS), strict=True):
        assert one.token_ids.tolist() == alone.token_ids.tolist()
        assert one.token_vectors.shape == alone.token_vectors.shape
        assert one.token_vectors.dtype == np.int8
        assert np.linalg.norm(one.vector) == pytest.approx(1, abs=1e-5)
        assert 0.7 < one.vector @ alone.vector < 1  # its tokens saw the rest too
    assert np.array_equal(found[0].token_vectors, whole.token_vectors[:8])
    assert np.array_equal(found[1].token_vectors, whole.token_vectors[-7:])


def test_a_part_may_lack_words_of_the_whole(minilm):
    whole = minilm.encode(["book a flight and a hotel"])[0]
    found = encode_parts(minilm, whole, ["book a flight", "book a hotel"])
    assert found is not None
    assert np.array_equal(found[0].token_vectors, whole.token_vectors[:3])
    # Words that come twice are those nearer to the part's own end.
    assert np.array_equal(found[1].token_vectors, whole.token_vectors[[0, 4, 5]])


@pytest.mark.parametrize("part", ["", "send the bill", "again the invoice"])
def test_a_part_that_is_not_in_the_whole_needs_a_pass_of_its_own(minilm, part):
    whole = minilm.encode([WHOLE])[0]
    assert encode_parts(minilm, whole, [PARTS[0], part]) is None


def test_only_an_embedder_that_says_so_pools_its_tokens(minilm):
    assert pools_tokens(CachedEmbedder(minilm, VectorCache("unused.sqlite")))
    assert pools_tokens(minilm)
    assert not pools_tokens(HashedWords())
