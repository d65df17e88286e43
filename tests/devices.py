"""A CUDA device and its PyTorch, of which the test knows when the device did what: work waits in a queue."""

from __future__ import annotations

import numpy as np
from worlds import OwnedClock

from joulegram.units import NS_PER_S


class Cuda:
    """What joulegram uses of `torch.cuda`, on a device whose work takes as long as the test says.

    Args:
        clock: the host's.
        drift: by how much the device's clock runs faster than the host's.
    """

    def __init__(self, clock: OwnedClock, drift: float = 0.0) -> None:
        self.clock, self.drift = clock, drift
        self.capturing = False
        self.broken: Exception | None = None
        self.made = self.asked = 0
        self._free_ns = clock.monotonic_ns()

    @property
    def cuda(self) -> Cuda:
        """The module that `torch` holds."""
        return self

    def work(self, seconds: float) -> None:
        """The loop asks for work, and does not wait for it."""
        self._free_ns = self.end_ns() + round(seconds * NS_PER_S)

    def synchronize(self) -> None:
        """The loop waits for its work."""
        self.clock.advance((self.end_ns() - self.clock.monotonic_ns()) / NS_PER_S)

    def end_ns(self) -> int:
        """When all that was asked for will be done, in the host's time (ns)."""
        return max(self._free_ns, self.clock.monotonic_ns())

    def is_current_stream_capturing(self) -> bool:
        return self.capturing

    def current_stream(self, device: object) -> str:
        return f"stream of {device}"

    def Event(self, enable_timing: bool) -> CudaEvent:  # as PyTorch names it
        assert enable_timing
        self.made += 1
        return CudaEvent(self)


class CudaEvent:
    """A mark in the device's queue."""

    def __init__(self, cuda: Cuda) -> None:
        self.cuda = cuda
        self.reached_ns = 0

    def record(self, stream: str) -> None:
        assert stream.startswith("stream of cuda")
        assert not self.cuda.capturing, "an event in a graph tells no time"
        if self.cuda.broken is not None:
            raise self.cuda.broken
        self.reached_ns = self.cuda.end_ns()

    def query(self) -> bool:
        self.cuda.asked += 1
        assert not self.cuda.capturing, "who asks breaks the capture"
        return self.cuda.clock.monotonic_ns() >= self.reached_ns

    def elapsed_time(self, later: CudaEvent) -> float:
        """As precise as CUDA's: half a microsecond, in a float of single precision."""
        elapsed_ns = (later.reached_ns - self.reached_ns) * (1 + self.cuda.drift)
        return float(np.float32(round(elapsed_ns / 500) * 500 / 1e6))
