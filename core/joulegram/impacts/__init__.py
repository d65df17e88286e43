"""What hardware, water and waste come on top of a run's operation: factors of a table, shared out by curves.

Operational carbon is not in here, and none of this is in it. What has no factor is *not counted*, which is not zero.
"""
