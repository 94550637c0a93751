"""Products of 8-bit vectors are exact."""

import numpy as np
import pytest

from task_delegator.retrieval.int8_products import products, unsigned


def exact(left, right):
    return left.astype(np.int64) @ right.astype(np.int64).T


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 7, 5), (300, 25, 384), (64, 256, 1024)])
def test_products_equal_those_of_whole_numbers(shape):
    rows, others, dim = shape
    rng = np.random.default_rng(0)
    right = rng.integers(-128, 128, (others, dim)).astype(np.int8)
    for least, most in ((-128, 127), (-64, 64)):
        left = rng.integers(least, most + 1, (rows, dim)).astype(np.int8)
        assert (next(products([unsigned(right)], left)) == exact(left, right)).all()


@pytest.mark.parametrize("one", [-128, -127, -65, -64, 64, 65, 127])
@pytest.mark.parametrize("other", [-128, -127, 127])
def test_the_largest_products_do_not_saturate(one, other):
    left, right = np.full((40, 384), one, np.int8), np.full((9, 384), other, np.int8)
    assert (next(products([unsigned(right)], left)) == exact(left, right)).all()


def test_the_bytes_that_products_take_are_the_signed_ones_above_zero():
    assert unsigned(np.array([-128, -1, 0, 127], np.int8)).tolist() == [0, 127, 128, 255]
