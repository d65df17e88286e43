"""A bell is heard, once, whenever and by however many threads it is rung."""

from __future__ import annotations

import threading

from joulegram.recorder.bell import Bell


def test_a_bell_that_nobody_rings_is_waited_for_no_longer_than_asked() -> None:
    bell = Bell()
    assert not bell.wait(0.001)
    assert not bell.wait(-1.0)


def test_what_rang_before_anybody_waited_is_heard_once_however_often_it_rang() -> None:
    bell = Bell()
    for _ in range(3):
        bell.ring()
    assert bell.wait(30)
    assert not bell.wait(0.0)


def test_a_ring_ends_a_wait_in_another_thread() -> None:
    bell, heard = Bell(), threading.Event()
    waiter = threading.Thread(target=lambda: bell.wait(60) and heard.set())
    waiter.start()
    bell.ring()
    assert heard.wait(30)
    waiter.join()


def test_many_may_ring_at_once_and_each_ring_after_the_last_that_was_heard_is_heard() -> None:
    bell, rung = Bell(), [0] * 4

    def ring(number: int) -> None:
        for _ in range(2000):
            bell.ring()
            rung[number] += 1

    ringers = [threading.Thread(target=ring, args=(number,)) for number in range(4)]
    for ringer in ringers:
        ringer.start()
    while any(ringer.is_alive() for ringer in ringers):
        bell.wait(0.01)
    bell.wait(0.0)
    assert rung == [2000] * 4  # no ring raised
    bell.ring()
    assert bell.wait(30)
