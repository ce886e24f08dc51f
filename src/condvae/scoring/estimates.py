"""What is known of log p_θ(x | c), row by row, and how it adds up from weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Num
from scipy import stats

from condvae.records import Record
from condvae.scoring.pareto import pareto_k, tail_size, threshold

LARGEST_ERROR = 0.5
"""The standard error of a log-density, in nats, above which it is not to be trusted: its error is then no
longer normal, and the estimate too low."""

FEWEST_DF = 4
"""Degrees of freedom of a standard error, below which it is too rough to rely on."""


class LogProb(NamedTuple):
    """What is known of log p_θ(x | c), row by row, in nats.

    Attributes:
        value: the estimate, shape (n,).
        stderr: the standard error of `value`, by the delta method; 0 where it is exact.
        ess: the effective sample size (Σ w)² / Σ w² of the draws behind it.
        pareto_k: k̂, how heavy the tail of the weights is: −inf where they are constant.
        num_samples: the draws that were taken for each row.
        method: how it was found, in words.
        df: the degrees of freedom of `stderr`: infinite for importance sampling, few for a few annealed
            chains; 0 where it is not an error of log p. A number, or shape (n,).
    """

    value: Float[np.ndarray, " n"]
    stderr: Float[np.ndarray, " n"]
    ess: Float[np.ndarray, " n"]
    pareto_k: Float[np.ndarray, " n"]
    num_samples: Num[np.ndarray, " n"]
    method: str = "importance sampling"
    df: float | Float[np.ndarray, " n"] = np.inf

    @property
    def trusted(self) -> Bool[np.ndarray, " n"]:
        """Whether each estimate and its error can be relied on, shape (n,).

        Not where k̂ is above min(1 − 1 / log₁₀ S, 0.5), where the standard error is above half a nat or has
        fewer than 4 degrees of freedom, or where no draw has any density.
        """
        sure = np.isfinite(self.value) & (self.stderr <= LARGEST_ERROR)
        sure &= (self.df >= FEWEST_DF) | (self.stderr == 0)
        return sure & ~(self.pareto_k > threshold(self.num_samples))

    def interval(self, level: float = 0.9) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        """The ends of an interval that covers log p with probability `level`: value ± t · stderr.

        t is the quantile of Student's t with `df` degrees of freedom. Without any, the ends are infinite.
        """
        df = np.asarray(self.df, float)
        quantile = np.where(df > 0, stats.t.ppf(0.5 + level / 2, np.maximum(df, 1e-3)), np.inf)
        reach = np.where(self.stderr > 0, quantile * np.where(self.stderr > 0, self.stderr, 1.0), 0.0)
        reach = reach.astype(np.asarray(self.stderr).dtype)
        return self.value - reach, self.value + reach

    def take(self, rows: Int[np.ndarray, " some"] | Bool[np.ndarray, " n"] | list[Any]) -> "LogProb":
        """The scores of some rows."""
        df = np.broadcast_to(self.df, np.shape(self.value))[rows]
        return LogProb(*(part[rows] for part in self[:5]), method=self.method, df=df)

    def plus(self, known: Float[np.ndarray, " n"]) -> "LogProb":
        """With so many nats added to each row, (n,); −inf for a row that cannot be."""
        never = np.isneginf(known)
        return self._replace(
            value=self.value + known,
            stderr=np.where(never, np.inf, self.stderr),
            ess=np.where(never, 0.0, self.ess),
        )

    def put(self, rows: Int[np.ndarray, " some"] | Bool[np.ndarray, " n"], more: "LogProb") -> "LogProb":
        """With the scores of some rows replaced."""
        whole = [*self[:5], np.broadcast_to(self.df, np.shape(self.value))]
        new = [*more[:5], np.broadcast_to(more.df, np.shape(more.value))]
        arrays = [np.array(part) for part in whole]
        for part, values in zip(arrays, new, strict=True):
            part[rows] = values
        return LogProb(*arrays[:5], method=more.method, df=arrays[5])

    @classmethod
    def joined(cls, parts: Sequence["LogProb"]) -> "LogProb":
        """The scores of parts of a table, end to end."""
        whole = [[*part[:5], np.broadcast_to(part.df, np.shape(part.value))] for part in parts]
        *arrays, df = (np.concatenate(column) for column in zip(*whole, strict=True))
        return cls(*arrays, method=parts[0].method, df=df)


@dataclass(frozen=True)
class DrawCounts(Record):
    """How many draws, or annealed chains, a row got.

    Attributes:
        fewest: the fewest draws that a row got.
        most: the most draws that a row got.
        mean: the mean number of draws over rows.
    """

    fewest: int
    most: int
    mean: float


@dataclass(frozen=True)
class EffectiveDraws(Record):
    """The effective number of draws, (Σ w)² / Σ w², of a row.

    Attributes:
        smallest: the smallest effective number of all rows.
        median: the median effective number over rows.
    """

    smallest: float
    median: float


@dataclass(frozen=True)
class Untrusted(Record):
    """The rows whose log p, or its error, cannot be trusted.

    Attributes:
        rows: how many there are.
        which: the first thousand of them, counted from 0.
        log_prob_without: the mean log p of the other rows, in nats per row; None where there is none.
    """

    rows: int
    which: list[int]
    log_prob_without: float | None


@dataclass(frozen=True)
class ScoreSummary(Record):
    """The log-densities of the rows of a table, in nats per row; None stands for what cannot be told.

    Attributes:
        rows: how many rows the table has.
        rows_scored: how many of them have an observed target; means are over these.
        method: how log-densities were found, in words.
        draws: how many draws a row got; None where no row was scored.
        log_prob: the mean log p; None where no row was scored, or a row has density 0.
        log_prob_stderr: the standard error of `log_prob` over rows.
        log_prob_noise: what the error of each row's estimate adds to the error of `log_prob`.
        ess: the effective number of draws; None where no row was scored.
        untrusted: the rows whose log p cannot be trusted; None where no row was scored.
    """

    rows: int
    rows_scored: int
    method: str
    draws: DrawCounts | None
    log_prob: float | None
    log_prob_stderr: float | None
    log_prob_noise: float | None
    ess: EffectiveDraws | None
    untrusted: Untrusted | None


class Totals:
    """What is said of the scores of all rows of a table, kept while they come in parts."""

    def __init__(self) -> None:
        self.rows = 0
        self.parts: list[LogProb] = []
        self.places: list[np.ndarray] = []

    def add(self, score: LogProb, observed: Num[np.ndarray, " n"] | Bool[np.ndarray, " n"]) -> None:
        """The scores of some more rows, and which of them have an observed target."""
        places = np.flatnonzero(observed)
        self.parts.append(score.take(places))
        self.places.append(self.rows + places)
        self.rows += len(observed)

    def summary(self) -> ScoreSummary:
        """What is said of all of them."""
        score = LogProb.joined(self.parts)
        n = len(score.value)
        if n == 0:
            return ScoreSummary(self.rows, n, score.method, *[None] * 6)
        drawn, value = score.num_samples, score.value.astype(np.float64)
        sure = score.trusted
        spread = value.std(ddof=1) / np.sqrt(n) if n > 1 and np.isfinite(value).all() else np.nan
        return ScoreSummary(
            rows=self.rows,
            rows_scored=n,
            method=score.method,
            draws=DrawCounts(int(drawn.min()), int(drawn.max()), float(drawn.mean())),
            log_prob=float(value.mean()),
            log_prob_stderr=float(spread),
            log_prob_noise=float(np.sqrt(np.sum(np.square(score.stderr, dtype=np.float64))) / n),
            ess=EffectiveDraws(float(np.min(score.ess)), float(np.median(score.ess))),
            untrusted=Untrusted(
                rows=int((~sure).sum()),
                which=np.concatenate(self.places)[~sure][:1000].tolist(),
                log_prob_without=float(value[sure].mean()) if sure.any() else None,
            ),
        )


class Tally:
    """Weights of some rows, added up: of each stratum Σ w and Σ w² over a common scale, and the largest.

    Args:
        scale: what log-weights are relative to, shape (n,); −inf where every weight is 0.
        totals: Σ w / e^scale by stratum, (n, S).
        squares: Σ w² / e^(2 scale), (n, S).
        counts: draws by stratum, (n, S).
        top: the largest log-weights, (n, T), in any order.
    """

    def __init__(self, scale: Any, totals: Any, squares: Any, counts: Any, top: Any):
        parts = (scale, totals, squares, counts)
        self.scale, self.totals, self.squares, self.counts = (np.array(p, np.float64) for p in parts)
        self.top = np.array(top)

    @classmethod
    def beside(cls, tallies: Sequence["Tally"]) -> "Tally":
        """The strata of several members side by side, as those of the mean of their densities."""
        scale = np.max([tally.scale for tally in tallies], axis=0)
        sums = [tally._relative_to(scale) for tally in tallies]
        totals, squares = (np.concatenate(parts, axis=1) for parts in zip(*sums, strict=True))
        counts = np.concatenate([tally.counts for tally in tallies], axis=1)
        top = np.concatenate([tally.top for tally in tallies], axis=1)
        return cls(scale, totals, squares, counts, _largest(top, counts.sum(axis=1).max(initial=0)))

    def take(self, rows: np.ndarray) -> "Tally":
        """The draws of some rows."""
        return Tally(
            *(part[rows] for part in (self.scale, self.totals, self.squares, self.counts, self.top))
        )

    def add(self, rows: np.ndarray, more: "Tally") -> None:
        """More draws from the same strata, for some of the rows."""
        mine = self.take(rows)
        scale = np.maximum(mine.scale, more.scale)
        width = self.counts.shape[1]
        sums = zip(mine._relative_to(scale), more._relative_to(scale), strict=True)
        totals, squares = (total + _wide(other, width) for total, other in sums)
        counts = mine.counts + _wide(more.counts, width)
        top = _largest(np.concatenate([mine.top, more.top], axis=1), counts.sum(axis=1).max(initial=0))
        self.put(rows, Tally(scale, totals, squares, counts, top))

    def put(self, rows: np.ndarray, other: "Tally") -> None:
        """Other draws instead of those of some rows, from strata that may be fewer, or more."""
        self.scale[rows] = other.scale
        for name, empty in (("totals", 0.0), ("squares", 0.0), ("counts", 0.0), ("top", -np.inf)):
            mine, theirs = getattr(self, name), getattr(other, name)
            width = max(mine.shape[1], theirs.shape[1])
            mine = _wide(mine, width, empty)
            mine[rows] = _wide(theirs, width, empty)
            setattr(self, name, mine)

    def _relative_to(self, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        dead = np.isneginf(scale) | np.isneginf(self.scale)
        shift = np.where(dead, 0.0, self.scale) - np.where(dead, 0.0, scale)
        factor = np.where(dead, 0.0, np.exp(shift))[:, None]
        return self.totals * factor, self.squares * factor**2

    def log_prob(self, method: str = "importance sampling") -> LogProb:
        """The estimate, with its error: the variance of a mean adds up over strata, each with its own."""
        precision = self.top.dtype if self.top.dtype.kind == "f" else np.dtype(np.float32)
        total, square, count = (p.sum(axis=1) for p in (self.totals, self.squares, self.counts))
        counts = np.maximum(self.counts, 2)  # rows may have strata that others have not
        within = np.maximum(self.squares - self.totals**2 / counts, 0.0)
        variance = np.sum(within * counts / (counts - 1), axis=1)
        dead = total == 0  # every weight is 0: x has no density under any draw
        safe = np.where(dead, 1.0, total)
        value = np.where(dead, -np.inf, np.log(safe / count) + np.where(dead, 0.0, self.scale))
        stderr = np.where(dead, np.inf, np.sqrt(variance) / safe)
        ess = np.where(dead, 0.0, total**2 / np.where(dead, 1.0, square))
        draws = count.astype(np.int64)
        arrays = (part.astype(precision) for part in (value, stderr, ess, self._pareto_k(draws)))
        return LogProb(*arrays, num_samples=draws, method=method)

    def _pareto_k(self, draws: np.ndarray) -> np.ndarray:
        shapes = np.full(len(draws), np.nan)
        eps = float(np.finfo(self.top.dtype).eps)
        for number in np.unique(draws):
            rows = draws == number
            shapes[rows] = pareto_k(_largest(self.top[rows], number), eps)
        return shapes


def _wide(array: np.ndarray, width: int, empty: float = 0.0) -> np.ndarray:
    return np.pad(array, ((0, 0), (0, width - array.shape[1])), constant_values=empty)


def _largest(log_weights: np.ndarray, draws: float | np.number) -> np.ndarray:
    """Of each row those that the tail of so many draws takes, and the one below."""
    size = tail_size(int(draws)) + 1
    if log_weights.shape[1] <= size:
        return log_weights
    return np.partition(log_weights, -size, axis=1)[:, -size:]
