"""One offline HTML page on a fitted model: verdicts, numbers, pictures."""

from condvae.report.page import write

__all__ = ["write"]
