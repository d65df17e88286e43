"""Which joulegram this is; on the ground floor, as what goes out into other formats says it."""

__version__ = "0.1.0"
