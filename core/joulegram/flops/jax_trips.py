"""How often a ``while`` of a jaxpr runs, where the jaxpr itself tells.

A ``fori_loop`` whose bounds are numbers is a scan. It is a while where they passed through a call of ``jit``, and so is
a loop that someone wrote with a counter of their own: both go on while a counter, which grows by a number, is less than
a limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Known = Mapping[Any, int]
"""Whole numbers that variables of a jaxpr are known to be."""


def known_value(atom: Any, known: Known) -> int | None:
    """The whole number that a literal or a known variable is; None for anything else."""
    import numpy as np
    from jax.extend.core import Literal

    if not isinstance(atom, Literal):
        return known.get(atom)
    value = np.asarray(atom.val)
    return int(value) if value.ndim == 0 and value.dtype.kind in "iu" else None


def trips(loop: Any, known: Known) -> int | None:
    """How often the body runs; None where the jaxpr does not tell.

    Args:
        loop: the operation ``while``.
        known: values of variables around it.
    """
    test, body = loop.params["cond_jaxpr"].jaxpr, loop.params["body_jaxpr"].jaxpr
    consts, body_consts = loop.params["cond_nconsts"], loop.params["body_nconsts"]
    if [each.primitive.name for each in test.eqns] != ["lt"] or test.outvars != test.eqns[0].outvars:
        return None
    counter, limit = test.eqns[0].invars
    inside = {id(variable): place - consts for place, variable in enumerate(test.invars)}  # below 0: constants
    before, after, start = body.invars[body_consts:], body.outvars, loop.invars[consts + body_consts :]
    at, limit_at = inside.get(id(counter), -1), inside.get(id(limit))
    if at < 0:
        return None
    first, step = known_value(start[at], known), _growth(before[at], after[at], body.eqns)
    if limit_at is None:
        last = known_value(limit, known)
    elif limit_at < 0:
        last = known_value(loop.invars[consts + limit_at], known)
    else:  # carried along: known where the body leaves it alone
        last = known_value(start[limit_at], known) if after[limit_at] is before[limit_at] else None
    if first is None or last is None or step is None or step <= 0:
        return None
    return max(0, -(-(last - first) // step))


def _growth(before: Any, after: Any, operations: Any) -> int | None:
    """What is added to a variable on the way from `before` to `after`; None unless it is one number, added once."""
    for each in operations:
        if each.primitive.name == "add" and each.outvars[0] is after and each.invars[0] is before:
            return known_value(each.invars[1], {})
    return None
