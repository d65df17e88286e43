"""FLOPs of JAX programs, from their jaxpr: what a function computes, written out with the shapes of all values.

Nothing runs and nothing is compiled: the function is traced, as ``jax.jit`` does, so it has to be pure as for ``jit``.
A scan counts its body as often as it runs, a call its function, what `jax.checkpoint` computes again counts again.
What runs on several devices (`shard_map`, `pmap`) counts on all of them; of a program over several processes each
counts the share of its own devices.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from math import prod
from typing import Any

from joulegram.flops import Count, FlopCounter, Tally, Uncountable
from joulegram.flops.jax_formulas import FORMULAS, Operation, computes_in, flops, free, opaque
from joulegram.flops.jax_trips import Known, known_value, trips
from joulegram.flops.tracing import Work, generators_kept, greatest

_WHY_NOT = "a JAX program cannot be watched while it runs: it is counted from its jaxpr"


class JaxprCounter(FlopCounter):
    """Counts functions of JAX arrays, under ``jit`` or not, their gradients included where they compute them."""

    def obstacle(self, step: Callable[..., Any]) -> str | None:
        """Always the same: operations are not seen one by one where a compiled program runs."""
        return _WHY_NOT

    def counting(self, step: Callable[..., Any]) -> AbstractContextManager[Tally]:
        """Not possible.

        Raises:
            Uncountable: always.
        """
        raise Uncountable(_WHY_NOT)

    def count(self, step: Callable[..., Any], *args: Any, **kwargs: Any) -> Count:
        """Counts a function of pytrees of arrays or of ``jax.ShapeDtypeStruct``.

        All that is no array (numbers, static arguments, modules) keeps its value. The device is named where there is
        one alone: a rate over several is not known from one's peak.

        Raises:
            Uncountable: the step cannot be traced.
        """
        import jax

        started_s = time.perf_counter()
        leaves, tree = jax.tree_util.tree_flatten((args, kwargs))
        places = [place for place, leaf in enumerate(leaves) if _is_array(leaf)]

        def of_arrays(*arrays: Any) -> Any:
            values = dict(zip(places, arrays, strict=True))
            args, kwargs = jax.tree_util.tree_unflatten(
                tree, [values.get(place, leaf) for place, leaf in enumerate(leaves)]
            )
            return step(*args, **kwargs)

        arrays = [leaves[place] for place in places]
        try:
            with generators_kept():  # JAX's own come from keys alone
                program = jax.make_jaxpr(of_arrays)(*arrays)
        except Exception as error:  # the step's own, or that it looks at a value; it was not asked for now
            raise Uncountable(f"tracing it failed: {_in_a_line(error)}") from error
        devices = _devices(arrays)
        work = _Walk(devices[0].platform).through(program.jaxpr)
        own = sum(device.process_index == jax.process_index() for device in devices)
        return Count(
            flops=work.total * own // len(devices),
            how="from the jaxpr" + ("; of each cond, the branch that computes most" if work.chosen else ""),
            unknown=dict(work.unknown),
            dtype=max(work.flops, key=work.flops.__getitem__, default=None),
            device=devices[0].device_kind if work.total else None,
            devices=max(len(devices), work.spread) * own // len(devices),
            overhead_s=time.perf_counter() - started_s,
        )


@dataclass(frozen=True, slots=True)
class _Walk:
    """A walk through the operations of a jaxpr, and of those inside of them.

    Args:
        platform: ``cpu``, ``gpu`` or ``tpu``.
    """

    platform: str

    def through(self, jaxpr: Any, known: Known | None = None) -> Work:
        """What a jaxpr computes.

        Args:
            jaxpr: it, closed or open.
            known: what its arguments are known to be.
        """
        work = Work()
        for operation in getattr(jaxpr, "jaxpr", jaxpr).eqns:
            self._add(work, operation, known or {})
        return work

    def _add(self, work: Work, operation: Operation, known: Known) -> None:
        name, params = operation.primitive.name, operation.params
        if name in FORMULAS:
            work.flops[computes_in(operation, self.platform)] += flops(operation)
        elif opaque(name):
            work.unknown[name] += 1
        elif name == "scan":
            work.add(self.through(params["jaxpr"]), params["length"])
        elif name == "while":
            work.add(self._loop(operation, known))
        elif name == "cond":
            work.add(greatest([self.through(branch) for branch in params["branches"]]))
        elif name == "custom_linear_solve":  # holds the product as well, which it only needs for gradients
            work.add(self.through(params["jaxprs"].solve))
        elif name in ("shard_map", "xla_pmap"):
            work.add(self._on_each(operation))
        elif inner := list(_inside(params.values())):
            for jaxpr in inner:
                work.add(self.through(jaxpr, _passed(operation, jaxpr, known)))
        elif not free(name):
            work.unknown[name] += 1

    def _loop(self, operation: Operation, known: Known) -> Work:
        work = Work()
        body, test = self.through(operation.params["body_jaxpr"]), self.through(operation.params["cond_jaxpr"])
        work.add_loop(test, body, trips(operation, known))
        return work

    def _on_each(self, operation: Operation) -> Work:
        """What runs on every device of a mesh, with shapes of one device's part."""
        work, params = Work(), operation.params
        if operation.primitive.name == "xla_pmap":
            devices = params["axis_size"]
        else:
            mesh = dict(params["mesh"].shape)
            axes = params.get("newly_manual_axes", params.get("manual_axes"))
            devices = prod(mesh[axis] for axis in (set(mesh) - set(params["auto"]) if axes is None else axes))
        work.add(self.through(params.get("jaxpr", params.get("call_jaxpr"))), devices)
        work.spread = max(work.spread, devices)
        return work


def _inside(values: Iterable[Any]) -> Iterator[Any]:
    """The jaxprs among an operation's parameters."""
    from jax.extend.core import ClosedJaxpr, Jaxpr

    for value in values:
        if isinstance(value, Jaxpr | ClosedJaxpr):
            yield value
        elif isinstance(value, tuple | list):
            yield from _inside(value)


def _passed(operation: Operation, jaxpr: Any, known: Known) -> Known:
    """The whole numbers that a call passes to the function that it calls."""
    arguments = getattr(jaxpr, "jaxpr", jaxpr).invars
    if len(arguments) != len(operation.invars):
        return {}
    values = {argument: known_value(atom, known) for argument, atom in zip(arguments, operation.invars, strict=True)}
    return {argument: value for argument, value in values.items() if value is not None}


def _is_array(leaf: Any) -> bool:
    import jax
    import numpy as np

    return isinstance(leaf, jax.Array | np.ndarray | np.generic | jax.ShapeDtypeStruct)


def _devices(arrays: Iterable[Any]) -> list[Any]:
    """Those that hold the arguments, of all processes; this one's default where none do."""
    import jax

    shardings = [array.sharding for array in arrays if isinstance(array, jax.Array)]
    return list({device for sharding in shardings for device in sharding.device_set}) or jax.local_devices()[:1]


def _in_a_line(error: Exception) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__
