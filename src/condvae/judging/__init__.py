"""What a fitted table is worth on some rows, and whether it is right: numbers, and verdicts on them."""

from condvae.judging.diagnosing import Diagnosis, diagnose
from condvae.judging.measuring import Keys, Measured, measure
from condvae.judging.refits import Refit, Refits
from condvae.judging.results import Evaluation
from condvae.judging.rows import Rows

__all__ = ["Diagnosis", "Evaluation", "Keys", "Measured", "Refit", "Refits", "Rows", "diagnose", "measure"]
