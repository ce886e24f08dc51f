"""A fitted table on encoded blocks: sizes, training, what is measured, and everything it can answer."""
