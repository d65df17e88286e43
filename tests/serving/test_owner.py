"""One process counts for all of a host: exact under concurrency, through deaths, full rings and failing meters."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from math import nan
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers import Host, route_j, seen

from joulegram.host.ring import rings
from joulegram.records import ServedRequest
from joulegram.serving.owner import KEEP_NS, SLACK_NS
from joulegram.units import NS_PER_S

GPU = "alpha/gpu:A"


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_two_requests_at_once_share_what_the_counter_counted(host: Host) -> None:
    service = host.serve()
    host.go_on(1.0)
    one = service.begin("/a")
    host.go_on(1.0)
    two = service.begin("/b", weight=3.0)
    host.go_on(1.0)
    two.end(200)
    host.go_on(1.0)
    one.end(500)
    host.go_on(1.0)
    snapshot = seen(service)
    assert route_j(snapshot, "/a") == pytest.approx(100.0 + 25.0 + 100.0, rel=1e-9)
    assert route_j(snapshot, "/b") == pytest.approx(75.0, rel=1e-9)
    assert {row.route: (row.requests, row.failed) for row in snapshot.routes} == {"/a": (1, 1), "/b": (1, 0)}
    assert snapshot.in_flight == 0
    settled = service.result(one.id)
    assert settled is not None
    assert settled.settled
    assert settled.energy_j == pytest.approx(225.0, rel=1e-9)
    assert settled.carbon_g == pytest.approx(0.0225, rel=1e-9)
    assert settled.duration_s == pytest.approx(3.0)
    assert one.footprint() == settled


def test_a_request_in_flight_is_pending_until_it_ends_and_provisional_until_it_is_settled(host: Host) -> None:
    service = host.serve()
    request = service.begin("/a")
    assert request.footprint().energy_j is None
    host.go_on(4.0)
    snapshot = seen(service)
    assert snapshot.routes == ()
    assert snapshot.channels[GPU].pending_j == pytest.approx(395.0, abs=10.0)
    request.add(tokens=10)
    request.end(200)
    provisional = request.footprint()
    assert not provisional.settled
    assert provisional.energy_j == pytest.approx(400.0, rel=0.02)
    assert provisional.carbon_g == pytest.approx(0.04, rel=0.02)
    host.go_on(0.5)
    settled = request.footprint()
    assert settled.settled
    assert settled.energy_j == pytest.approx(400.0, rel=1e-9)
    assert settled.tokens == 10
    assert (provisional.method, settled.method) == ("estimated", "measured")


def test_a_result_is_bounded_by_what_the_meter_may_be_off_and_short_ones_are_modelled(tmp_path: Path) -> None:
    host = Host(tmp_path, gain_low=0.9, gain_high=1.2, resolution_s=0.1)
    service = host.serve()
    host.go_on(1.0)
    long, short = service.begin("/long"), service.begin("/short")
    host.go_on(0.1)
    short.end(200)
    host.go_on(0.9)
    long.end(200)
    host.go_on(1.0)
    results = [service.result(request.id) for request in (long, short)]
    for result in results:
        assert result is not None
        assert result.energy_j is not None
        assert (result.low_j, result.high_j) == pytest.approx((0.9 * result.energy_j, 1.2 * result.energy_j))
    assert [result.method for result in results if result] == ["measured", "modelled"]


def test_whichever_process_is_asked_all_processes_requests_are_in_the_answer(host: Host) -> None:
    services = [host.serve() for _ in range(3)]
    assert [worker.owner is not None for worker in host.workers] == [True, False, False]
    requests = [service.begin(f"/{number}") for number, service in enumerate(services)]
    host.go_on(3.0)
    for request in requests:
        request.end(200)
    host.go_on(0.5)
    snapshots = [seen(service) for service in services]
    assert snapshots[0] == snapshots[1] == snapshots[2]
    assert snapshots[0].workers == 3
    assert [route_j(snapshots[0], f"/{number}") for number in range(3)] == pytest.approx([100.0] * 3, rel=1e-9)
    assert len(host.runs) == 1
    assert services[2].result(requests[0].id) is not None


def test_weights_by_tokens_follow_what_a_request_tells(host: Host) -> None:
    service = host.serve(weigh_by="tokens")
    one, two = service.begin("/one"), service.begin("/two")
    one.add(tokens=3)
    two.add(tokens=1)
    host.go_on(1.0)
    one.end()
    two.end()
    host.go_on(0.5)
    snapshot = seen(service)
    assert route_j(snapshot, "/one") == pytest.approx(75.0, rel=1e-9)
    assert {row.route: row.tokens for row in snapshot.routes} == {"/one": 3.0, "/two": 1.0}


def test_health_checks_and_idle_times_are_nobodys(host: Host) -> None:
    service = host.serve()
    host.go_on(1.0)
    health = service.begin("/health", weight=0)
    host.go_on(1.0)
    health.end(200)
    host.go_on(1.0)
    snapshot = seen(service)
    assert route_j(snapshot, "/health") == 0.0
    assert snapshot.channels[GPU].unattributed_j == pytest.approx(snapshot.channels[GPU].meter_j, abs=10.0)


def test_a_killed_owner_is_followed_by_another_that_counts_on_where_it_was(host: Host) -> None:
    first, second = host.serve(), host.serve()
    before, across = first.begin("/before"), second.begin("/across")
    host.go_on(1.0)
    before.end(200)
    host.go_on(0.5)
    last = seen(second)
    host.workers[0].die()
    del host.workers[0]  # killed: nobody attends, and its requests never end
    host.runs[-1].alive = False
    meanwhile = second.begin("/meanwhile")
    host.clock.advance(0.3)
    meanwhile.end(200)
    host.clock.advance(0.2)
    host.go_on(1.0)
    across.end(200)
    host.go_on(0.5)
    now = seen(second)
    assert host.workers[0].owner is not None
    assert [run.id for run in host.runs] == ["run-1", "run-1"]
    assert now.run == "run-1"
    assert route_j(now, "/before") == route_j(last, "/before") == pytest.approx(50.0, rel=1e-9)
    assert route_j(now, "/meanwhile") == pytest.approx(15.0, rel=1e-9)
    # Alone but for /before (1 s of 3.0) and /meanwhile (0.3 s).
    assert route_j(now, "/across") == pytest.approx(50.0 + 15.0 + (3.0 - 1.3) * 100.0, rel=1e-9)
    assert now.channels[GPU].meter_j == pytest.approx(host.metered_j(), abs=10.0)
    assert now.channels[GPU].meter_j >= last.channels[GPU].meter_j


def test_an_owner_that_dies_before_it_has_told_what_it_read_leaves_that_to_the_next(host: Host) -> None:
    first, second = host.serve(), host.serve()
    host.go_on(1.0)
    for _ in range(50):
        second.begin("/a").end(200)
    told = host.workers[0].owner
    assert told is not None
    told._told.books.write = lambda content: (_ for _ in ()).throw(SystemExit)  # type: ignore[method-assign]
    host.clock.advance(0.2)
    with pytest.raises(SystemExit):
        host.workers[0].attend()
    host.workers.pop(0).die()
    host.runs[-1].alive = False
    for _ in range(50):
        second.begin("/a").end(200)
    host.go_on(1.0)
    assert seen(second).routes[0].requests == 100
    del first


def test_a_dead_process_pays_nothing_and_its_ring_is_removed(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = host.serve(), host.serve()
    dead, alive = second.begin("/dead"), first.begin("/alive")
    host.go_on(1.0)
    worker = host.workers.pop()
    monkeypatch.setattr(
        "joulegram.host.ring.RingReader.over",
        property(lambda ring: ring.path == worker.ring.path),
    )
    host.go_on(2.0)
    alive.end(200)
    host.go_on(0.5)
    snapshot = seen(first)
    assert snapshot.dropped == 1
    assert snapshot.in_flight == 0
    assert snapshot.workers == 1
    assert [row.route for row in snapshot.routes] == ["/alive"]
    assert len(rings(host.folder)) == 1
    # As long as nobody knew, they shared; then one was alone.
    assert route_j(snapshot, "/alive") + snapshot.channels[GPU].unattributed_j == pytest.approx(
        snapshot.channels[GPU].meter_j, rel=1e-9
    )
    assert dead.end_ns is None
    first.close()
    assert [(hour.dropped, hour.late) for hour in host.runs[-1].hours if hour.route is None] == [(1, snapshot.late)]


def test_a_meter_that_fails_and_returns_is_settled_evenly_over_its_gap(host: Host) -> None:
    service = host.serve()
    host.go_on(1.0)
    reads = host.counter.read
    host.counter.read = lambda: [nan]  # type: ignore[method-assign]
    request = service.begin("/a")
    host.go_on(2.0)
    request.end(200)
    host.go_on(1.0)
    waiting = seen(service)
    assert route_j(waiting, "/a") if waiting.routes[0].energy_j else True
    assert service.result(request.id) is None
    host.counter.read = reads  # type: ignore[method-assign]
    host.go_on(1.0)
    assert route_j(seen(service), "/a") == pytest.approx(200.0, rel=1e-9)
    assert seen(service).channels[GPU].meter_j == pytest.approx(host.metered_j(), abs=10.0)


def test_counters_go_on_in_a_process_that_starts_soon_after_the_last_has_closed(host: Host) -> None:
    service = host.serve()
    service.begin("/a").end(200)
    host.go_on(1.0)
    service.close()
    assert host.runs[-1].closed
    before = service.snapshot()
    host.workers.clear()
    host.clock.advance(5.0)
    again = host.serve()
    again.begin("/a").end(200)
    host.go_on(1.0)
    snapshot = seen(again)
    assert snapshot.routes[0].requests == 2
    assert before is None or snapshot.channels[GPU].meter_j >= before.channels[GPU].meter_j
    assert snapshot.channels[GPU].meter_j == pytest.approx(host.metered_j(), abs=10.0)


def test_books_that_nobody_kept_for_long_are_begun_anew(host: Host) -> None:
    service = host.serve()
    service.begin("/a").end(200)
    host.go_on(1.0)
    service.close()
    host.workers.clear()
    host.clock.advance(KEEP_NS / NS_PER_S + 1)
    again = host.serve()
    host.go_on(1.0)
    assert seen(again).routes == ()
    assert seen(again).run == "run-2"


def test_what_found_no_room_is_nobodys_and_counted(host: Host) -> None:
    service = host.serve()
    host.go_on(1.0)
    requests = [service.begin("/a") for _ in range(20_000)]
    lost = sum(not request.id for request in requests)
    assert lost > 0
    for request in requests:
        request.end(200)
    host.go_on(2.0)
    snapshot = seen(service)
    assert snapshot.in_flight == 0
    assert snapshot.lost >= lost
    assert snapshot.routes[0].requests + snapshot.lost == 20_000
    service.close()
    assert [hour.lost for hour in host.runs[-1].hours if hour.route is None] == [snapshot.lost]


def test_a_request_may_be_ended_twice_and_from_anywhere(host: Host) -> None:
    service = host.serve()
    request = service.begin("/a")
    request.end(200)
    end_ns = request.end_ns
    host.clock.advance(1.0)
    request.end(500)
    request.weigh(5.0)
    assert (request.end_ns, request.status) == (end_ns, 200)
    with pytest.raises(RuntimeError), service.begin("/b"):
        raise RuntimeError
    host.go_on(1.0)
    assert {row.route: (row.requests, row.failed) for row in seen(service).routes} == {"/a": (1, 0), "/b": (1, 1)}


def test_what_cannot_be_a_weight_or_an_amount_is_ignored_with_one_word(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    service = host.serve()
    request = service.begin("/a", weight=-1.0)
    for wrong in (nan, -2.0, float("inf"), "much"):
        request.weigh(wrong)  # type: ignore[arg-type]
        request.add(tokens=wrong)  # type: ignore[arg-type]
    assert request.tokens == 0.0
    host.go_on(1.0)
    request.end(200)
    host.go_on(0.5)
    assert route_j(seen(service), "/a") == pytest.approx(100.0, rel=1e-9)
    assert "is ignored" in caplog.text


def test_routes_and_statuses_of_any_kind_never_reach_the_server_as_an_error(host: Host) -> None:
    service = host.serve()
    for route, status in (
        (b"/bytes", "ok"), (None, None), ("\ud800\x00", -1), ("/a", 1 << 20), (["/list"], HTTPStatus.BAD_GATEWAY),
    ):  # fmt: skip
        service.begin(route).end(status)  # type: ignore[arg-type]
    host.go_on(1.0)
    found = {row.route: row.failed for row in seen(service).routes}
    assert found == {"b'/bytes'": 0, "None": 0, "?\x00": 0, "/a": 0, "['/list']": 1}


def test_of_a_server_that_is_killed_the_ledger_lacks_a_few_seconds(host: Host) -> None:
    service = host.serve()
    host.go_on(1.0)
    for _ in range(20):
        request = service.begin("/a")
        host.go_on(1.0)
        request.end(200)
    host.workers[0].die()
    host.runs[0].still.flush()  # as a recorder does every five seconds
    told = {hour.route: hour.requests for hour in host.runs[0].hours}
    assert 14 <= told["/a"] <= 20


@pytest.mark.parametrize("keeps", [False, True])
def test_the_ledger_keeps_each_request_only_if_asked(host: Host, keeps: bool) -> None:
    service = host.serve()
    owner = host.workers[0].owner
    assert owner is not None
    owner._keeps_requests = keeps
    host.go_on(1.0)
    with service.begin("/a") as request:
        request.add(tokens=7)
        host.go_on(1.0)
    host.go_on(1.0)
    host.runs[0].still.flush()
    kept = [(each.id, each.route, each.tokens, each.energy_j) for each in host.runs[0].sink.of(ServedRequest)]
    assert kept == ([(request.id, "/a", 7.0, {"gpu:A": (pytest.approx(100.0), 0.0)})] if keeps else [])


def test_a_request_while_the_meter_was_away_has_no_energy_and_is_in_no_histogram(host: Host) -> None:
    service = host.serve()
    host.go_on(1.0)

    def away() -> None:
        raise OSError("away")

    host.counter.before_read = away
    host.go_on(1.0)
    request = service.begin("/a")
    host.go_on(1.0)
    request.end(200)
    host.go_on(20.0, step_s=0.5)
    result = service.result(request.id)
    assert result is not None
    assert (result.energy_j, result.carbon_g, result.method, result.parts_j) == (None, None, "missing", {})
    (row,) = seen(service).routes
    assert (row.requests, sum(row.buckets), row.energy_j, row.carbon_g) == (1, 0, {}, None)


def test_a_route_that_is_known_only_at_the_end_is_the_one_that_pays(host: Host) -> None:
    service = host.serve()
    request = service.begin()
    host.go_on(1.0)
    request.route = "/late"
    request.end(200)
    host.go_on(1.0)
    assert [row.route for row in seen(service).routes] == ["/late"]
    assert route_j(seen(service), "/late") == pytest.approx(100.0, rel=1e-9)


def test_a_recording_that_somebody_ends_is_begun_again_and_the_meter_goes_on(host: Host) -> None:
    service = host.serve()
    host.go_on(1.0)
    host.runs[-1].alive = False
    host.go_on(70.0, step_s=0.5)
    assert [run.id for run in host.runs] == ["run-1", "run-1"]
    request = service.begin("/a")
    host.go_on(1.0)
    request.end(200)
    host.go_on(1.0)
    assert route_j(seen(service), "/a") == pytest.approx(100.0, rel=1e-9)
    assert seen(service).channels[GPU].meter_j == pytest.approx(host.metered_j(), abs=10.0)


def test_a_stream_that_changes_its_weight_all_the_time_costs_what_it_had_part_in(host: Host) -> None:
    service = host.serve(weigh_by="tokens")
    stream, other = service.begin("/stream"), service.begin("/other", weight=0.0)
    for _ in range(400):
        stream.add(tokens=1)
        host.go_on(0.05)
    stream.end(200)
    other.end(200)
    host.go_on(1.0)
    assert route_j(seen(service), "/stream") == pytest.approx(2000.0, rel=1e-9)
    assert seen(service).routes[0].tokens == 400.0


def test_hours_of_routes_go_to_the_ledger_and_add_up_to_what_was_counted(host: Host) -> None:
    service = host.serve()
    for _ in range(3):
        request = service.begin("/a")
        host.go_on(1.0)
        request.end(200)
        host.clock.advance(1800.0)
        host.go_on(1.0)
    last = seen(service)
    service.close()
    hours = host.runs[-1].hours
    mine = [hour for hour in hours if hour.route == "/a"]
    assert len({hour.hour_s for hour in mine}) > 1
    assert sum(hour.requests for hour in mine) == 3
    assert sum(sum(hour.energy_j["gpu:A"]) for hour in mine if hour.energy_j) == pytest.approx(route_j(last, "/a"))
    nobody = sum(hour.unattributed_j["gpu:A"] for hour in hours if hour.route is None)
    assert nobody == pytest.approx(last.channels[GPU].meter_j - route_j(last, "/a"), abs=20.0)


def test_idle_power_is_shared_apart_where_it_is_known_and_said_to_be_unknown_where_not(tmp_path: Path) -> None:
    for folder, more in (("known", {"idle_w": 40.0}), ("unknown", {})):
        (tmp_path / folder).mkdir()
        host = Host(tmp_path / folder, **more)
        service = host.serve()
        request = service.begin("/a")
        host.go_on(1.0)
        request.end(200)
        host.go_on(0.5)
        parts = seen(service).routes[0].energy_j[GPU]
        idle = seen(service).channels[GPU].idle
        if more:
            assert (parts.active, parts.idle_shared) == pytest.approx((60.0, 40.0), rel=1e-9)
            assert idle.startswith("idle power 40 W")
        else:
            assert (parts.active, parts.idle_shared) == pytest.approx((100.0, 0.0), rel=1e-9)
            assert "unknown" in idle


def test_a_process_that_did_not_serve_long_enough_to_be_counted_has_no_figures(host: Host) -> None:
    service = host.serve()
    assert service.result("no id") is None
    assert service.result("0000000a-ffffffffffffffffffffff") is None
    assert service.result("") is None


moves = st.lists(
    st.one_of(
        st.tuples(st.just("begin"), st.integers(0, 2), st.sampled_from([0.0, 1.0, 5.0, 1e12])),
        st.tuples(st.just("end"), st.integers(0, 9)),
        st.tuples(st.just("weigh"), st.integers(0, 9), st.sampled_from([0.0, 2.0, 300.0])),
        st.tuples(st.just("power"), st.floats(0.0, 900.0)),
        st.tuples(st.just("time"), st.floats(0.001, 2.0)),
        st.tuples(st.just("kill the owner")),
    ),
    max_size=30,
)


@given(moves)
def test_through_any_history_counters_never_fall_and_add_up(
    tmp_path_factory: pytest.TempPathFactory, history: Iterable[tuple[object, ...]]
) -> None:
    host = Host(tmp_path_factory.mktemp("host"))
    services = [host.serve() for _ in range(3)]
    host.go_on(0.2)
    open_requests = []
    begun = 0
    last = seen(services[0])
    for what, *how in history:
        if what == "begin":
            open_requests.append(services[how[0]].begin("/a", how[1]))
            begun += 1
        elif what == "end" and open_requests:
            open_requests.pop(how[0] % len(open_requests)).end(200)
        elif what == "weigh" and open_requests:
            open_requests[how[0] % len(open_requests)].weigh(how[1])
        elif what == "power":
            host.counter.draw(how[0])
        elif what == "time":
            host.go_on(how[0], step_s=how[0] / 2)
        elif what == "kill the owner":
            owner = next((worker for worker in host.workers if worker.owner is not None), None)
            if owner is not None:
                owner.die()  # the process lives on in this world, as a candidate: only the owner's work is lost
                host.runs[-1].alive = False
                host.clock.advance(0.2)
        now = seen(services[0])
        for name, channel in last.channels.items():
            assert now.channels[name].meter_j >= channel.meter_j
            assert now.energy_j(name) >= last.energy_j(name) - 1e-9
        assert sum(row.requests for row in now.routes) >= sum(row.requests for row in last.routes)
        last = now
    for request in open_requests:
        request.end(200)
    host.go_on(0.6 + SLACK_NS / NS_PER_S, step_s=0.1)
    final = seen(services[0])
    assert sum(row.requests for row in final.routes) == begun
    assert final.in_flight == final.dropped == final.lost == 0
    assert final.channels[GPU].meter_j == pytest.approx(host.metered_j(), abs=100.0)
