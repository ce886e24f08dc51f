"""What was found, as small records: Python, JSON, the terminal and the report say the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from condvae.records import Record

Level = Literal["good", "note", "problem"]
LEVELS: tuple[Level, ...] = ("problem", "note", "good")
"""From what must be looked at first."""

SURE = 2.0
"""Standard errors beyond which a difference counts."""


@dataclass(frozen=True)
class Finding(Record):
    """One verdict.

    Attributes:
        code: a short name of the verdict that does not change, such as "z-ignored".
        level: "problem", "note" (worth knowing) or "good".
        what: the verdict, in a sentence.
        nats: what it is worth, in nats per row; None where that is not known.
        stderr: the standard error of `nats`; None where that is not known.
        p_value: how often chance alone gives as much; None where that was not tested.
        advice: what to do; None where there is nothing to do.
    """

    code: str
    level: Level
    what: str
    nats: float | None = None
    stderr: float | None = None
    p_value: float | None = None
    advice: str | None = None

    def words(self) -> str:
        """The sentence, how sure it is, and what to do."""
        said = self.what
        if self.nats is not None:
            error = "" if self.stderr is None else f" ± {self.stderr:.2f}"
            said += f" ({self.nats:.2f}{error} nats per row)"
        elif self.p_value is not None:
            said += f" (p = {self.p_value:.2g})" if self.p_value >= 1e-4 else " (p < 0.0001)"
        return said if self.advice is None else f"{said}: {self.advice}"


def ordered(findings: Sequence[Finding]) -> list[Finding]:
    """Problems first, the dearest of them first; then what is worth knowing, then what is good.

    Example:
        >>> from condvae.diagnosis.findings import Finding, ordered
        >>> verdicts = [Finding("a", "good", "fine"), Finding("b", "problem", "bad", nats=0.1, stderr=0.02)]
        >>> ordered(verdicts)[0].words()
        'bad (0.10 ± 0.02 nats per row)'
    """
    return sorted(findings, key=lambda one: (LEVELS.index(one.level), -abs(one.nats or 0.0)))
