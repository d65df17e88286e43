"""Virtual hardware of known power, to test meters and whatever reads them; each kind is a module of its own."""
