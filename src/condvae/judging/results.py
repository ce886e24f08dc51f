"""What an evaluation says, as records: Python, the command line, the report and JSON read the same ones.

Log-densities are in nats per row and in the user's units unless a field says otherwise. None stands for
what cannot be told. `make schema` writes docs/evaluation.schema.json from these classes.
"""

import json
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from condvae.calibration import Copies, TwoSample
from condvae.diagnosis.findings import Finding
from condvae.records import Record, schema
from condvae.scoring import ScoreSummary

Shape = Literal["right", "narrow", "wide", "low", "high", "off"]


@dataclass(frozen=True)
class Nats(Record):
    """An amount in nats per row.

    Attributes:
        nats: the mean over rows.
        stderr: its standard error.
    """

    nats: float | None
    stderr: float | None


@dataclass(frozen=True)
class Gain(Record):
    """How much more log p one model gives to the same rows than another one.

    Attributes:
        gain: the mean difference of log p, in nats per row; positive where the first model is better.
        gain_stderr: its standard error, from the differences row by row.
    """

    gain: float | None
    gain_stderr: float | None


@dataclass(frozen=True)
class Comparison(Record):
    """The model beside a baseline, on the same rows.

    Attributes:
        log_prob: the mean log p of the baseline, in nats per row.
        gain: the mean log p of the model less that of the baseline, in nats per row.
        gain_stderr: the standard error of `gain`, from the differences row by row.
    """

    log_prob: float | None
    gain: float | None
    gain_stderr: float | None


def comparisons(baselines: dict[str, dict[str, Any]]) -> dict[str, Comparison]:
    """Comparisons by name, from what `condvae.table_models.validation.compare` gives."""
    return {name: Comparison(**other) for name, other in baselines.items()}


@dataclass(frozen=True)
class Side(Record):
    """The mean log p of one set of rows.

    Attributes:
        rows: how many there are.
        log_prob: their mean log p, in nats per row.
        stderr: the standard error of `log_prob`.
    """

    rows: int
    log_prob: float | None
    stderr: float | None


@dataclass(frozen=True)
class Sides(Record):
    """log p of training rows, of rows held out at fitting, and of the rows evaluated.

    Attributes:
        train: training rows, measured at fitting; None where that was not measured.
        validation: rows held out at fitting, measured then; None where that was not measured.
        how: what was measured at fitting: the "members", each by itself, or the ensemble on rows kept to
            "test"; None where nothing was.
        test: the rows evaluated.
    """

    train: Side | None
    validation: Side | None
    how: Literal["members", "test"] | None
    test: Side


@dataclass(frozen=True)
class AnnealedBounds(Record):
    """Bounds of log p from annealing, of rows simulated from the model given conditions of the table.

    Attributes:
        rows: how many rows were simulated.
        lower: the mean log p from below, in nats per row.
        upper: the mean log p from above, in nats per row.
        width: the mean difference of the two, in nats per row.
        width_stderr: the standard error of `width`.
        temperatures: steps of each chain.
        chains: chains of each row.
    """

    rows: int
    lower: float
    upper: float
    width: float
    width_stderr: float | None
    temperatures: int
    chains: int


@dataclass(frozen=True)
class CellRanks(Record):
    """Whether the ranks of one latent among draws of q are uniform.

    Attributes:
        p_value: the p-value of the test that the ranks are uniform.
        shape: "right", or how q is off: too "narrow", "wide", "low" or "high", or "off".
    """

    p_value: float
    shape: Shape


@dataclass(frozen=True)
class PosteriorRanks(Record):
    """Whether q is the posterior, by ranks of simulated latents among draws of q.

    Attributes:
        p_value: the p-value of the test that all ranks are uniform.
        cells: the ranks of each latent, and of log p(x | z, c).
    """

    p_value: float
    cells: dict[str, CellRanks]


@dataclass(frozen=True)
class Latents(Record):
    """How the best member uses its latent.

    Attributes:
        rate: KL(q(z | x, c) || p(z | c)), in nats per row and standardised units.
        rate_stderr: the standard error of `rate`.
        distortion: −E_q log p(x | z, c), in nats per row and standardised units.
        information: the mutual information of x and z given c under the model, in nats per row.
        information_stderr: the standard error of `information`.
        active: how many latents are active.
        activity: by latent, Var(E_q z − E_p z) over rows in prior variances; None where z is discrete.
        kl: the rate by latent.
        prior: whether a classifier tells latents of these rows from draws of the prior; None where rows are
            too few.
        reconstructions: whether a classifier tells reconstructions from samples; None where rows are too
            few.
        posterior: whether q is the posterior.
    """

    rate: float | None
    rate_stderr: float | None
    distortion: float | None
    information: float | None
    information_stderr: float | None
    active: int
    activity: list[float | None]
    kl: dict[str, Nats]
    prior: TwoSample | None
    reconstructions: TwoSample | None
    posterior: PosteriorRanks


@dataclass(frozen=True)
class Conditions(Record):
    """The log p that is lost when conditions are permuted between rows.

    Attributes:
        all: what is lost when all conditions are permuted together.
        columns: by condition, what is lost when it alone is permuted; empty for a single condition.
    """

    all: Nats
    columns: dict[str, Nats]


@dataclass(frozen=True)
class Calibration(Record):
    """Whether the observed cells of a target lie in the predicted distributions as they should.

    Attributes:
        cells: how many cells were observed.
        p_value: the p-value of the test that the probability integral transforms are uniform.
        shape: "right", or how predictions are off: too "narrow", "wide", "low" or "high", or "off".
        off_by: the largest difference between the distribution functions of the transforms and of uniform
            numbers.
    """

    cells: int
    p_value: float
    shape: Shape
    off_by: float


@dataclass(frozen=True)
class Slice(Record):
    """Calibration on the rows of one group of a condition.

    Attributes:
        column: the condition.
        group: a level of the condition, or an interval of its values, in words.
        rows: how many rows are in the group.
        log_prob: their mean log p, in nats per row.
        stderr: the standard error of `log_prob`.
        targets: calibration by target, for targets with enough cells.
    """

    column: str
    group: str
    rows: int
    log_prob: float | None
    stderr: float | None
    targets: dict[str, Calibration]


@dataclass(frozen=True)
class Curve(Record):
    """The reliability of the probabilities of one level, in bins of about equally many rows.

    Attributes:
        predicted: the mean predicted probability, by bin.
        observed: the share of rows that had the level, by bin.
        stderr: the standard error of that share if the probabilities are right, by bin.
        rows: how many rows are in each bin.
        error: the expected calibration error: the mean over rows of |observed − predicted|.
    """

    predicted: list[float]
    observed: list[float]
    stderr: list[float]
    rows: list[int]
    error: float


@dataclass(frozen=True)
class Pair(Record):
    """What two targets have in common, in the rows and in samples given the same conditions.

    Attributes:
        targets: the names of the two targets.
        rows: in how many rows both are observed.
        information: their mutual information in the rows, in nats, of values in groups, less its bias.
        information_drawn: the same in samples.
        correlation: their rank correlation in the rows; None unless both are numbers that vary.
        correlation_drawn: the same in samples.
    """

    targets: tuple[str, str]
    rows: int
    information: float
    information_drawn: float
    correlation: float | None
    correlation_drawn: float | None


@dataclass(frozen=True)
class Dependence(Record):
    """The dependence between targets given the conditions, E[log p(x | c) − Σ_i log p(x_i | c)].

    Attributes:
        model: the dependence under the model.
        chain: the dependence under a chain of regressions.
        lacking: by how much the dependence under the chain exceeds that under the model.
        pairs: the pairs of targets, those that share most first.
        carried: by target, what z tells of it from the other targets,
            E[log p(x_i | x_others, c) − log p(x_i | c)]; empty unless z carries all of the dependence.
    """

    model: Nats
    chain: Nats
    lacking: Nats
    pairs: list[Pair]
    carried: dict[str, Nats]


@dataclass(frozen=True)
class Gaps(Record):
    """What inference costs: log p less the ELBO, in two parts.

    Attributes:
        approximation: what the family of q costs.
        amortisation: what the encoder costs.
        rows: by how many rows that was measured.
    """

    approximation: Nats
    amortisation: Nats
    rows: int


@dataclass(frozen=True)
class Refits(Record):
    """What is learned by fitting the model once more; both fields are None without a latent.

    Attributes:
        free_bits: the gain of the same model fitted with free bits over the model.
        gaps: what inference costs.
    """

    free_bits: Gain | None
    gaps: Gaps | None


@dataclass(frozen=True)
class WorstRow(Record):
    """One of the rows with the lowest log p, and why it is low.

    Attributes:
        row: the row of the table, counted from 0.
        log_prob: its log p, in nats.
        target: the target that is furthest out; None where none is unusual by itself.
        observed: the observed value of the target that is furthest out, in its units, or its level.
        expected: the predicted median of that target, in its units, or the most probable level.
        interval: the central 90% interval of that target, in its units; None for a categorical target.
        chance: the probability of a value that is at least as far out, or of a level that is no likelier.
        outside: whether the row's conditions lie outside of the training data.
        outside_columns: which conditions do, in words; empty for none.
        distance: the share of training rows whose conditions are nearer to those of other training rows.
    """

    row: int
    log_prob: float | None
    target: str | None
    observed: float | str
    expected: float | str
    interval: tuple[float, float] | None
    chance: float
    outside: bool
    outside_columns: str
    distance: float


@dataclass(frozen=True, kw_only=True)
class Evaluation(ScoreSummary):
    """How well a fitted model predicts the rows of a table, and whether it is right.

    Means are over the rows that have an observed target or, for a single target, over its observed cells.
    Amounts are in the user's units. Whole-number targets are judged by rounded draws.

    Attributes:
        version: the version of this format.
        upper_estimate: where log p was annealed, an estimate of it from above, in nats per row; no bound.
        sandwich: where log p was annealed, bounds of it on rows simulated from the model.
        outside: how many rows have conditions outside of the training data.
        training_rows: how many rows are equal to a training row; None where the model was fitted to a
            streamed table, whose rows are not remembered.
        equal_by_chance: how many rows may be equal to training rows by chance, as training rows are equal
            to each other: if `training_rows` is larger, the model was trained on some of these rows.
        impossible: how many rows have density 0.
        unforeseen: how many rows have a level or a number outside of what the training rows show to be
            possible.
        elbo: the mean of the ELBO, in nats per row.
        baseline: the baselines by name: "linear", a chain of linear and multinomial regressions (each
            target given the conditions and the targets before it); "marginal", the same without the
            conditions; "independent", a regression of each target on the conditions alone; "neighbours",
            the nearest training rows; and after refits, on the `looked_at` rows, "without z", "trees",
            "copula" and the other packages that are installed.
        sides: log p of training rows, of rows held out at fitting, and of these rows.
        cells: by target, how many cells are observed.
        looked_at: by how many rows predictions are judged: 3,000 at most, at even distances in the table.
        crps: by numeric target, the continuous ranked probability score, in the target's units: lower is
            better; for a point forecast it is the absolute error.
        coverage: by numeric target and nominal level ("0.5", "0.8", "0.9", "0.95"), the share of cells in
            the central interval.
        coverage_stderr: the standard errors of `coverage`.
        scores: "energy" and "variogram", scores of the numeric targets together, in standard deviations of
            the training rows: lower is better.
        conformal_coverage: the coverage of the adjusted intervals; None without calibration rows.
        accuracy: by categorical target, the share of cells that are of the most probable level.
        in_turn: whether targets are decoded in turn. This field and those below it come from the diagnosis
            and are left out without one.
        latents: how the latent is used; None without a latent.
        conditions: the log p that is lost when conditions are permuted; None without conditions.
        calibration: calibration by target.
        slices: calibration by group of each condition.
        reliability: by categorical target and level, whether probabilities come true.
        dependence: the dependence between targets; None for one target or too few rows.
        samples: whether a classifier tells rows from samples given the same conditions; None for too few
            rows.
        copies: whether samples copy training rows; None without training rows or for too few rows.
        refits: what is learned by fitting the model once more; None where it was not.
        worst: the rows with the lowest log p, the lowest first.
        findings: the verdicts, what must be looked at first; None without a diagnosis.
    """

    version: Literal[1] = 1
    upper_estimate: float | None = None
    sandwich: AnnealedBounds | None = None
    outside: int
    training_rows: int | None
    equal_by_chance: float | None
    impossible: int
    unforeseen: int
    elbo: float | None
    baseline: dict[str, Comparison]
    sides: Sides
    cells: dict[str, int]
    looked_at: int
    crps: dict[str, float | None]
    coverage: dict[str, dict[str, float]]
    coverage_stderr: dict[str, dict[str, float]]
    scores: dict[str, float | None]
    conformal_coverage: dict[str, dict[str, float]] | None
    accuracy: dict[str, float]
    in_turn: bool | None = None
    latents: Latents | None = None
    conditions: Conditions | None = None
    calibration: dict[str, Calibration] = field(default_factory=dict)
    slices: list[Slice] = field(default_factory=list)
    reliability: dict[str, dict[str, Curve]] = field(default_factory=dict)
    dependence: Dependence | None = None
    samples: TwoSample | None = None
    copies: Copies | None = None
    refits: Refits | None = None
    worst: list[WorstRow] = field(default_factory=list)
    findings: list[Finding] | None = None

    def to_json(self) -> dict[str, Any]:
        """JSON's types, as docs/evaluation.schema.json describes them, without what was not looked at."""
        names = [each.name for each in fields(self)]
        left_out = names[names.index("in_turn") :] if self.findings is None else []
        left_out += ["upper_estimate", "sandwich"] if self.sandwich is None else []
        plain = {"version": self.version} | super().to_json()
        return {name: value for name, value in plain.items() if name not in left_out}


def evaluation_schema() -> str:
    """The JSON Schema of `Evaluation.to_json`, as docs/evaluation.schema.json has it."""
    return json.dumps(schema(Evaluation), indent=2, ensure_ascii=False) + "\n"
