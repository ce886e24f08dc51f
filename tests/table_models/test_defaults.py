"""Sizes from the data."""

import pytest

from condvae.table_models.defaults import FEW, LARGE, MAX_STEPS, SMALL, defaults


@pytest.mark.parametrize("targets, size", [(1, 2), (2, 2), (5, 5), (16, 16), (200, 16)])
def test_the_latent_grows_with_the_targets(targets, size):
    assert defaults(1000, targets).latent_size == size


def test_larger_tables_get_wider_and_fewer_members():
    sizes = [defaults(n, 1) for n in (2, SMALL, SMALL + 1, LARGE, LARGE + 1, 10**9)]
    assert defaults(2, 1) == defaults(FEW, 1)
    assert defaults(FEW + 1, 1) == sizes[1] == defaults(FEW, 1)._replace(batch_size=128)
    assert [s.num_members for s in sizes] == sorted((s.num_members for s in sizes), reverse=True)
    for name in ("width", "batch_size"):
        values = [getattr(s, name) for s in sizes]
        assert values == sorted(values), name
    assert sizes[1].width < sizes[2].width < sizes[4].width
    assert all(s.num_steps <= MAX_STEPS for s in sizes)
    assert sizes[-1].num_steps == MAX_STEPS


def test_a_large_table_is_gone_through_several_times():
    for n in (SMALL + 1, LARGE, LARGE + 1, 10**6):
        found = defaults(n, 1)
        assert found.num_steps * found.batch_size >= 10 * n - found.batch_size
