"""What is missing when an extra is not installed."""


class MissingExtra(ImportError):
    """A library of one of the extras is not installed; the message names the extra."""
