"""Virtual hardware of known power, to hold meters against."""
