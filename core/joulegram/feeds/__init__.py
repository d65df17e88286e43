"""Feeds: one file per source of grid carbon intensity.

A feed has a `name` and `points(zone)`, which answers with the intensities it knows for a zone, typed by signal, basis
and accounting. A feed never guesses a place and never mixes two bases in one point. Others' feeds come in through the
entry point group `joulegram.feeds`.
"""
