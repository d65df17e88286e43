"""Where and when: host and boot identity, the three clocks, process trees, and who else records this run here."""
