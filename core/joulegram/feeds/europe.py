"""Countries whose grids report to the transparency platform of ENTSO-E."""

# fmt: off
COUNTRIES = frozenset((
    "AL", "AT", "BA", "BE", "BG", "CH", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GE", "GR", "HR", "HU", "IE",
    "IT", "LT", "LU", "LV", "MD", "ME", "MK", "NL", "NO", "PL", "PT", "RO", "RS", "SE", "SI", "SK", "XK",
))
# fmt: on
"""ISO 3166 codes; Great Britain left in 2021."""
