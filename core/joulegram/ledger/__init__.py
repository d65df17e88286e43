"""All runs, on disk: a folder for each, with a journal for each process that recorded it.

`journal` writes and reads journals, `sealed` keeps ended ones as Parquet, `stored` puts a run's files together,
`ledger` finds runs.
"""
