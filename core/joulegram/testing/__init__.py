"""Virtual hardware of known power, to hold meters against; each kind is a module of its own."""
