"""Rows of numbers and categories, as x and as c."""

import numpy as np

from condvae import Observed


def mixed(n: int):
    def part(value):
        return Observed(value, np.ones(value.shape, bool))

    x = {"categorical": part(np.zeros((n, 2), int)), "numeric": part(np.zeros((n, 3), np.float32))}
    c = {"categorical": part(np.ones((n, 1), int)), "numeric": part(np.zeros((n, 2), np.float32))}
    return x, c
