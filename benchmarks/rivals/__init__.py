"""Parts of `accuracy.py`: emulated machines, the programs that measure on them, trials, and what comes out."""
