"""Everything is a cumulative curve, and attribution is subtraction.

`door` compresses a curve as it grows, `sharing` splits its increments, `curve` looks it up, `timeline` hangs it on the
wall clock, `trace` puts together what recorders wrote. Only `curve`, `timeline` and `trace` need NumPy, so recording
starts without it.
"""
