"""What many counter intervals say together of phases too short for any one of them: sums of products.

In an interval the counter rose by e, while the loop was for t_1, t_2, … in its phases. Least squares needs no more of
all intervals than the sums of z zᵀ for z = (e, t_1, t_2, …). Nothing in them is negative, so they are cumulative curves
too, of which a few points are kept: any two of them subtract.

A loop that waits for its data uses another power meanwhile than in its usual short visits to that phase. So intervals
that a visit longer than half of them reaches into are set aside: those in one phase leave no question, others are few.
"""

from __future__ import annotations

from collections.abc import Sequence

from joulegram.records import PhaseMoments


class MomentsLog:
    """The sums for one channel. Owned by the sampler's thread.

    Args:
        channel: the channel's id.
    """

    def __init__(self, channel: str) -> None:
        self._channel = channel
        self._held: tuple[float, Sequence[tuple[str, float]]] | None = None
        self._before = ("", 0.0)
        """The last visit before the interval that is held, and how long it had been (s)."""
        self._count = 0
        self._index: dict[str, int] = {}
        self._aside_j: list[float] = []
        self._unclear_j: list[float] = []
        self._spent_s: list[float] = []
        self._split_j: list[float] = []
        self._products: list[list[float]] = [[0.0]]

    def add(self, energy_j: float, visits: Sequence[tuple[str, float]]) -> None:
        """Takes an interval: the joules that it used (J), and the loop's visits to phases in it (s), in order.

        It is added up with the next, which may tell that its last visit was a long one.
        """
        held, self._held = self._held, (energy_j, visits)
        if held is None:
            return
        lengths_s = [time_s for _, time_s in held[1]]
        if self._before[0] == held[1][0][0]:
            lengths_s[0] += self._before[1]
        self._before = (held[1][-1][0], lengths_s[-1])
        if visits[0][0] == held[1][-1][0]:
            lengths_s[-1] += visits[0][1]
        self._add(*held, max(lengths_s))

    def _add(self, energy_j: float, visits: Sequence[tuple[str, float]], longest_s: float) -> None:
        spent_s: dict[int, float] = {}
        for phase, time_s in visits:
            index = self._index_of(phase)
            spent_s[index] = spent_s.get(index, 0.0) + time_s
        whole_s = sum(spent_s.values())
        is_aside = longest_s > whole_s / 2
        for index, time_s in spent_s.items():
            by_time_j = energy_j * time_s / whole_s
            self._split_j[index - 1] += by_time_j
            if not is_aside:
                self._spent_s[index - 1] += time_s
                continue
            self._aside_j[index - 1] += by_time_j
            if len(spent_s) > 1:
                self._unclear_j[index - 1] += energy_j
        if not is_aside:
            self._multiply([(0, energy_j), *spent_s.items()])

    def _multiply(self, z: Sequence[tuple[int, float]]) -> None:
        self._count += 1
        for i, value in z:
            line = self._products[i]
            for j, other in z:
                if j <= i:
                    line[j] += value * other

    def until(self, time_ns: int) -> PhaseMoments:
        """The sums as they are, at `time_ns`."""
        products = [line[:] for line in self._products]
        known = len(products) - 1  # asked by another thread, a phase may be about to be added
        return PhaseMoments(
            channel=self._channel,
            time_ns=time_ns,
            count=self._count,
            phases=list(self._index)[:known],
            aside_j=self._aside_j[:known],
            unclear_j=self._unclear_j[:known],
            spent_s=self._spent_s[:known],
            split_j=self._split_j[:known],
            products=products,
        )

    def _index_of(self, phase: str) -> int:
        index = self._index.get(phase)
        if index is None:
            index = self._index[phase] = len(self._products)
            for each in (self._aside_j, self._unclear_j, self._spent_s, self._split_j):
                each.append(0.0)
            self._products.append([0.0] * (index + 1))
        return index
