"""Whether the dependence between targets is learned, beside what a chain of regressions finds of it."""

from dataclasses import dataclass
from itertools import combinations

import jax
import numpy as np
from scipy.stats import rankdata

from condvae import tables
from condvae.calibration import mean_stderr
from condvae.diagnosis.findings import SURE, Finding
from condvae.judging import results
from condvae.judging.results import Pair
from condvae.judging.rows import Rows
from condvae.text import listed

LITTLE = 0.1
"""Nats a row below which a dependence, or what is lacking of it, is not worth a verdict."""

GROUPS = 8
"""Groups that the values of a target are put into, to tell what two targets share."""

NAMED = 4
"""Targets that a verdict names, at most."""

FEWEST = 50
"""The fewest rows in which both targets of a pair are observed."""

FEW_DRAWS = 300
"""Draws of z for the density of each single cell, where the model has a latent."""


@dataclass(frozen=True)
class Dependence:
    """Nats a row of the dependence between targets given c: E[log p(x | c) - sum_i log p(x_i | c)].

    Attributes:
        model: under the model, and the standard error.
        chain: under a chain of regressions, each target given c and those before; likewise.
        lacking: by how much the chain's exceed the model's, and the standard error of the difference.
        gain: log p of the model less that of the chain.
        pairs: of targets, those that share most first.
        carried: where z carries all of it, by target what the others tell of it given c through z,
            E[log p(x_i | x_others, c) - log p(x_i | c)], and the standard error; else empty.
    """

    model: tuple[float, float]
    chain: tuple[float, float]
    lacking: tuple[float, float]
    gain: float
    pairs: list[Pair]
    carried: dict[str, tuple[float, float]]

    def summary(self) -> results.Dependence:
        """What is said of it."""
        model, chain, lacking = (results.Nats(*part) for part in (self.model, self.chain, self.lacking))
        carried = {name: results.Nats(*part) for name, part in self.carried.items()}
        return results.Dependence(model, chain, lacking, self.pairs, carried)


def dependence(
    rows: Rows,
    log_prob: np.ndarray,
    made: dict[str, np.ndarray],
    key: jax.Array,
    by_latent: bool = False,
) -> Dependence | None:
    """Measure the dependence between the targets; None where there is one, or too few rows.

    Args:
        rows: those judged.
        log_prob: log p of each of them under the model, [n].
        made: a sample given the conditions of each, blocks as the model has them.
        key: a PRNG key.
        by_latent: whether targets are independent given z, so that it carries their dependence.
    """
    model = rows.model
    if model.independent is None or len(rows) < FEWEST:
        return None
    others = model.baselines(rows.x, rows.c)
    alone_key, rest_key = jax.random.split(key)
    by_target = _log_prob_by_target(rows, alone_key)
    alone = by_target.sum(axis=1)
    sure = np.isfinite(log_prob) & np.isfinite(alone)
    if sure.sum() < FEWEST:
        return None
    of_model = (log_prob - alone)[sure]
    of_chain = (others["linear"] - others["independent"])[sure]
    carried = {}
    if by_latent:
        told = log_prob[:, None] - _log_prob_by_target(rows, rest_key, others=True) - by_target
        names = [str(column.name) for column in model.schema.target]
        carried = {name: mean_stderr(column[sure]) for name, column in zip(names, told.T, strict=True)}
    return Dependence(
        mean_stderr(of_model),
        mean_stderr(of_chain),
        mean_stderr(of_chain - of_model),
        float((log_prob - others["linear"])[sure].mean()),
        pairs(rows, made),
        carried,
    )


def _log_prob_by_target(rows: Rows, key: jax.Array, others: bool = False) -> np.ndarray:
    """log p(x_i | c) of each row under the model, [n, d], the others summed out; or log p(x_others | c)."""
    columns, by_target = list(rows.model.schema.target), []
    for column, own_key in zip(columns, jax.random.split(key, len(columns)), strict=True):
        kept = tables.only(columns, rows.x, column, others)
        by_target.append(rows.model.log_prob(kept, rows.c, key=own_key, num_samples=FEW_DRAWS).value)
    return np.stack(by_target, axis=1)


def pairs(rows: Rows, made: dict[str, np.ndarray]) -> list[Pair]:
    """What each pair of targets has in common, in rows and in samples; those that share most first."""
    columns = list(rows.model.schema.target)
    real = _by_target(rows, _recorded(rows, {name: block.value for name, block in rows.x.items()}))
    drawn = _by_target(rows, _recorded(rows, made))
    seen = _by_target(rows, {name: block.mask for name, block in rows.x.items()})
    compared = []
    for i, j in combinations(range(len(columns)), 2):
        both = np.flatnonzero(seen[i] & seen[j])
        if len(both) < FEWEST:
            continue
        sets = [[values[k][both] for k in (i, j)] for values in (real, drawn)]
        groups = [
            [
                _groups(observed, value, columns[at].kind)
                for observed, value, at in zip(sets[0], values, (i, j), strict=True)
            ]
            for values in sets
        ]
        numbers = columns[i].kind == columns[j].kind == "numeric"
        correlations = [_rank_correlation(*values) if numbers else None for values in sets]
        names = (str(columns[i].name), str(columns[j].name))
        shared = [information(*codes) for codes in groups]
        compared.append(Pair(names, len(both), *shared, *correlations))
    return sorted(compared, key=lambda pair: -max(pair.information, pair.information_drawn))


def information(first: np.ndarray, second: np.ndarray) -> float:
    """The mutual information in nats of two columns of group numbers, less its bias, and at least 0.

    The bias of the plug-in estimate is (r - 1)(s - 1) / 2n for r and s groups (Miller 1955).

    Example:
        >>> import numpy as np
        >>> codes = np.repeat([0, 1], 500)
        >>> round(information(codes, codes), 2), information(codes, np.tile([0, 1], 500))
        (0.69, 0.0)
    """
    table = np.zeros((first.max() + 1, second.max() + 1))
    np.add.at(table, (first, second), 1.0)
    table = table[table.any(axis=1)][:, table.any(axis=0)]
    n, apart = table.sum(), np.outer(table.sum(axis=1), table.sum(axis=0))
    nats = float((table * np.log(np.where(table > 0, table * n / apart, 1.0))).sum() / n)
    bias = (table.shape[0] - 1) * (table.shape[1] - 1) / (2 * n)
    return float(max(nats - bias, 0.0))


def _recorded(rows: Rows, blocks: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Numbers in the user's units, on the grid of their columns."""
    return {
        name: rows.model.to_units(block) if name == "numeric" else block for name, block in blocks.items()
    }


def _by_target(rows: Rows, blocks: dict[str, np.ndarray]) -> list[np.ndarray]:
    columns = list(rows.model.schema.target)
    places = [tables.places_of(columns, column).start for column in columns]
    return [np.asarray(blocks[column.block])[:, at] for column, at in zip(columns, places, strict=True)]


def _groups(real: np.ndarray, values: np.ndarray, kind: str) -> np.ndarray:
    """The group of each value, by the quantiles or the commonest levels of real ones."""
    levels, counts = np.unique(real, return_counts=True)
    if kind == "numeric" and len(levels) > GROUPS:
        edges = np.unique(np.quantile(real, np.arange(1, GROUPS) / GROUPS))
        return np.searchsorted(edges, values, side="right")
    common = np.sort(levels[np.argsort(-counts, kind="stable")[: GROUPS - 1]])
    place = np.searchsorted(common, values)
    known = common[np.minimum(place, len(common) - 1)] == values
    return np.where(known, place, len(common))


def _rank_correlation(first: np.ndarray, second: np.ndarray) -> float | None:
    ranks = rankdata(first), rankdata(second)
    if min(np.ptp(rank) for rank in ranks) == 0:
        return None
    return float(np.corrcoef(*ranks)[0, 1])


def findings(measured: Dependence | None, in_turn: bool) -> list[Finding]:
    """Whether the dependence between targets is learned."""
    if measured is None:
        return []
    (nats, stderr), (of_chain, _), (lacking, error) = measured.model, measured.chain, measured.lacking
    if max(nats, of_chain) < LITTLE:
        what = "given the conditions, the targets depend on each other little"
        return [Finding("targets-independent", "note", what, nats, stderr)]
    if lacking <= max(SURE * error, LITTLE):
        what = "the dependence between the targets is learned" + _carried(measured.carried)
        return [Finding("dependence-learned", "good", what, nats, stderr)]
    if measured.gain > 0:
        what = (
            f"given the conditions the targets share {nats:.2f} nats per row in the model and "
            f"{of_chain:.2f} in a chain of regressions, which is worse overall"
        )
        return [Finding("dependence-less", "note", what)]
    advice = "train longer or on more rows" if in_turn else "decode the targets in turn (joint, --joint)"
    what = (
        f"the dependence between the targets is not learned: {max(nats, 0.0):.2f} of the {of_chain:.2f} "
        "nats per row that a chain of regressions finds"
    )
    return [Finding("dependence-missed", "problem", what, lacking, error, advice=advice)]


def _carried(by_target: dict[str, tuple[float, float]]) -> str:
    """Of which targets z carries it, those that the others tell most of first, in words."""
    sure = {name: nats for name, (nats, error) in by_target.items() if nats > max(SURE * error, LITTLE)}
    if not sure:
        return ""
    most = sorted(sure, key=lambda name: -sure[name])[:NAMED]
    return ", carried by z: it tells " + listed([f"{name} ({sure[name]:.2f})" for name in most])
