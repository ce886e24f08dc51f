"""A fitted model in words, in a table, and as JSON."""

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from condvae.cli.output import console, in_options, say
from condvae.text import count, listed, plus_minus, short

if TYPE_CHECKING:
    from condvae.estimator import ConditionalVAE


def as_object(estimator: "ConditionalVAE", path: Path) -> dict[str, Any]:
    """What there is to know of a model, in JSON's types."""
    from condvae.tables import density_units

    schema, training = estimator.schema_, _training(estimator)
    settings: dict[str, Any] = dict(estimator.settings_._asdict())
    settings |= {
        name: getattr(estimator, name)
        for name in (
            "depth",
            "likelihood",
            "likelihoods",
            "unknown",
            "test_fraction",
            "calibration_fraction",
        )
    }
    return {
        "model": str(path),
        "given": [_column(column) for column in schema.given],
        "target": [_column(column) for column in schema.target],
        "rows": estimator.num_rows_,
        "settings": settings | {"random_state": estimator.seed_},
        "parameters": estimator.num_parameters_,
        "log_prob_is": density_units(schema.target),
        "training": training,
        "measured": estimator.validation_,
        "calibration_cells": {name: len(pit) for name, pit in estimator.table_.calibration.items()},
        "notes": [in_options(note) for note in (*estimator.notes_, *estimator.history_.notes)],
        "made": dict(estimator.provenance_),
    }


def show(estimator: "ConditionalVAE") -> None:
    """The columns, and how the model came about."""
    schema = estimator.schema_
    bar = " | " if schema.given else ""
    given, target = ([column.name for column in columns] for columns in (schema.given, schema.target))
    say(f"p({listed(target)}{bar}{listed(given)})", style="bold")
    _show_columns((*schema.given, *schema.target))
    for line in likelihoods(schema.target):
        say(line)
    training, validation = _training(estimator), estimator.validation_
    tested = validation["rows"] if validation is not None and validation["how"] == "test" else 0
    aside = f", {tested:,} kept to measure it on" if tested else ""
    say(f"{count(estimator.num_rows_, 'row')} to learn from{aside}")
    steps, kept = training["steps"], [step for step in training["kept_steps"] if step > 0]
    of = "" if not kept else f"; kept the parameters of step {kept[0]:,}"
    if len(set(kept)) > 1:
        of = f"; kept the parameters of steps {min(kept):,} to {max(kept):,}"
    members = count(estimator.settings_.num_members, "member")
    device = estimator.provenance_.get("device")
    where = "" if device is None else f" on {device}"
    say(f"{members}, {count(steps, 'step')} in {training['seconds']:.0f} s{where}{of}")


def likelihoods(target: Any) -> list[str]:
    """What each target is modelled by, and why; and of what log p then is."""
    from condvae.tables import density_units

    names_of: dict[tuple[str, str], list[str]] = {}
    for column in target:
        if column.likelihood is not None:
            choice = (column.likelihood.family, column.likelihood.reason)
            names_of.setdefault(choice, []).append(str(column.name))
    lines = [f"{listed(names, 6)}: {family} ({reason})" for (family, reason), names in names_of.items()]
    return [*lines, f"log p is {density_units(target)}"] if lines else []


def show_details(estimator: "ConditionalVAE", path: Path) -> None:
    """Sizes, what was calibrated, provenance."""
    settings, made = estimator.settings_, estimator.provenance_
    for line in (_dependence(estimator),) if len(estimator.schema_.target) > 1 else ():
        say(line)
    latent = f"z has {count(settings.latent_size, 'dimension')}" if settings.latent_size else "no latent"
    each = "a network for each target" if settings.in_turn else "a decoder"
    networks = each + (", a prior's and a posterior's network" if settings.latent_size else "")
    say(
        f"{latent}; each member has {networks}, of {estimator.depth} x {settings.width} units; "
        f"{estimator.num_parameters_:,} parameters in all, "
        f"batches of {count(settings.batch_size, 'row')}, seed {estimator.seed_}"
    )
    if pits := estimator.table_.calibration:
        say(f"intervals are adjusted by {count(max(map(len, pits.values())), 'row')} kept for that")
    if any(column.other for column in estimator.schema_.given):
        say("a category that was not seen counts as one level, 'other'")
    say(f"{path}: made {made['created']} by condvae {made['condvae']}, JAX {made['jax']}")


def _dependence(estimator: "ConditionalVAE") -> str:
    """How the model represents the dependence between targets, and what that is worth."""
    settings, chosen = estimator.settings_, "" if estimator.joint != "auto" else ", chosen by joint=auto"
    if not settings.in_turn:
        carried = "the latent carries the dependence between the targets"
        if not settings.latent_size:
            carried = "given the conditions, the targets are independent"
        return carried + (chosen if settings.latent_size else "")
    worth = (estimator.validation_ or {}).get("in_turn")
    gain = ""
    if worth is not None and worth["gain"] is not None:
        value = plus_minus(worth["gain"], worth["gain_stderr"])
        gain = f": worth {value} nats per row on held-out rows, over each target by itself"
    return f"targets are decoded in turn, each given those before it{chosen}{gain}"


def verdict(estimator: "ConditionalVAE") -> str:
    """What was learned, in one sentence, beside baselines."""
    measured = estimator.validation_
    if measured is None:
        return "not evaluated: no rows were held out"
    rows = count(measured["rows"], "row")
    where = f"{rows} kept from training"
    if measured["how"] != "test":
        where = f"{rows} held out by the members, each by itself"
    value = plus_minus(measured["log_prob"], measured["stderr"])
    return f"learned: log p = {value} nats per row on {where}: {against(estimator, measured['baseline'])}"


def against(estimator: "ConditionalVAE", baseline: dict[str, Any]) -> str:
    """How the model compares with the marginal and with regression, in words."""
    second = _compared(baseline["linear"], regression(estimator))
    if not estimator.schema_.given:
        return second
    return f"{_compared(baseline['marginal'], 'ignoring the conditions')}, {second}"


def regression(estimator: "ConditionalVAE") -> str:
    """What the `linear` baseline is called."""
    kinds = [column.kind for column in estimator.schema_.target]
    if len(kinds) > 1:
        return "a chain of regressions"
    numeric = kinds == ["numeric"]
    if not estimator.schema_.given:
        return "a Gaussian" if numeric else "the shares of the levels"
    return "linear regression" if numeric else "multinomial regression"


def _compared(comparison: dict[str, Any], other: str) -> str:
    gain, stderr = comparison["gain"], comparison["gain_stderr"]
    if gain is None:
        return f"not to be compared with {other}, as a density is 0"
    if stderr is None:
        return f"{abs(gain):.2f} {'better' if gain > 0 else 'worse'} than {other} (too few rows to be sure)"
    if abs(gain) <= 2 * stderr:
        return f"as good as {other}, as far as the rows can tell ({gain:+.2f} ± {stderr:.2f})"
    return f"{'better' if gain > 0 else 'worse'} by {abs(gain):.2f} ± {stderr:.2f} than {other}"


def worse_than_linear(baseline: dict[str, Any]) -> bool:
    """Whether regression is better, beyond doubt."""
    linear = baseline["linear"]
    return linear["gain_stderr"] is not None and linear["gain"] < -2 * linear["gain_stderr"]


def _training(estimator: "ConditionalVAE") -> dict[str, Any]:
    history = estimator.history_
    best = history.best_step
    last = history.records[-1]
    return {
        "members": estimator.settings_.num_members,
        "steps": int(last["step"]),
        "seconds": float(last["seconds"]),
        "kept_steps": [int(step) for step in (best if isinstance(best, list) else [best])],
    }


def _column(column: Any) -> dict[str, Any]:
    summary: dict[str, Any] = {"name": str(column.name), "kind": column.kind, "missing": column.missing}
    if column.likelihood is not None:
        summary["likelihood"] = asdict(column.likelihood)
    if column.reading is not None:
        summary["reading"] = asdict(column.reading)
    if column.kind == "categorical":
        return summary | {"levels": list(column.levels), "other": column.other}
    low, high = _ends(column)
    if column.kind == "datetime":
        return summary | {"minimum": low, "maximum": high}
    return summary | {"mean": column.mean, "sd": column.sd, "minimum": low, "maximum": high}


def _ends(column: Any) -> tuple[Any, Any]:
    if column.kind != "datetime":
        return column.minimum, column.maximum
    low, high = (datetime.fromtimestamp(end, UTC) for end in (column.minimum, column.maximum))
    if all(end.time().isoformat() == "00:00:00" for end in (low, high)):
        return low.date().isoformat(), high.date().isoformat()
    shown = [end.replace(tzinfo=None).isoformat(" ", "seconds") for end in (low, high)]
    return shown[0], shown[1]


def _show_columns(columns: Any) -> None:
    from rich.measure import Measurement
    from rich.table import Table

    screen = console()

    def table(fold: bool) -> Table:
        made = Table(box=None, pad_edge=False)
        for heading in ("column", "role", "kind", "missing", "values"):
            values = heading == "values"
            justify: Any = "right" if heading == "missing" else "left"
            made.add_column(
                heading,
                justify=justify,
                overflow="fold",
                no_wrap=not values and not fold,
                min_width=20 if values and not fold else None,
            )
        for column in columns:
            row = (str(column.name), column.role, column.kind, str(column.missing), _values(column))
            made.add_row(*row)
        return made

    # A narrow screen breaks long names, too, rather than to cut them.
    wide = table(fold=False)
    width = Measurement.get(screen, screen.options.update(width=10_000), wide).minimum
    screen.print(wide if width <= screen.width else table(fold=True))


def _values(column: Any) -> str:
    if column.kind == "categorical":
        shown = [short(level) for level in column.levels[:6]]
        return ", ".join(shown) + (f", ... ({len(column.levels)})" if len(column.levels) > 6 else "")
    low, high = map(short, _ends(column))
    if low == high:
        return f"always {low}"
    if column.kind == "datetime":
        return f"{low} to {high}"
    return f"{short(column.mean)} ± {column.sd:.3g}, {low} to {high}"
