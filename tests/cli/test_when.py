"""``joulegram when`` and ``joulegram wait``: what they print, wait for, and refuse."""

from __future__ import annotations

import io
import json
import math
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from joulegram import config, registry
from joulegram.analysis.expected import from_feeds
from joulegram.analysis.outlook import DAY_S, CannotPlan
from joulegram.cli import main
from joulegram.cli.when import SAY_S, Job, answer, wait_until
from joulegram.feeds import Feed, NotServed, Reach, in_order
from joulegram.feeds.cache import Cache
from joulegram.records import IntensityPoint

HOUR_S = 3600.0
NOW_S = 1.8e9
JOULEGRAM = [sys.executable, "-m", "joulegram"]


@pytest.fixture
def series(tmp_path: Path) -> Callable[..., str]:
    """Writes hourly intensities from a number of hours before the present on; ``series:`` and its path."""

    def write(values: Sequence[float], before: int = 0, now_s: float | None = None) -> str:
        path = tmp_path / "grid.csv"
        start_s = (time.time() if now_s is None else now_s) // HOUR_S * HOUR_S - before * HOUR_S
        rows = [f"{datetime.fromtimestamp(start_s + i * HOUR_S, UTC).isoformat()},{g}" for i, g in enumerate(values)]
        path.write_text("\n".join(["time,g_co2e_per_kwh", *rows]))
        return f"series:{path}"

    return write


def feed(
    basis: str = "lifecycle", sure: bool = True, after: float = 100.0
) -> Callable[[str, float, float], list[IntensityPoint]]:
    """A grid of 400 g/kWh, and of 100 from the third hour on; another zone emits half."""

    def points_of(zone: str, start_s: float, end_s: float) -> list[IntensityPoint]:
        factor = 0.5 if zone == "FR" else 1.0
        spread = 0.0 if sure else 0.8
        found = []
        for hour in range(-24, 25):
            g = factor * (400.0 if hour < 2 else after)
            found.append(
                IntensityPoint(
                    g,
                    g * (1 - spread),
                    g * (1 + spread),
                    zone,
                    "a feed",
                    "forecast",
                    basis="direct" if zone == "GB" else basis,
                    start_s=NOW_S + hour * HOUR_S,
                    length_s=HOUR_S,
                )
            )
        return [p for p in found if p.start_s is not None and start_s <= p.start_s < end_s]

    return points_of


def asked(zones: Sequence[str], hours: float = 2, within: float = 6, **more: Any) -> dict[str, Any]:
    job = Job(hours * HOUR_S, within * HOUR_S)
    return answer(job, zones, None, now_s=lambda: NOW_S, points_of=feed(**more))


def test_the_best_start_is_told_beside_starting_now() -> None:
    found = asked(["DE"])
    (zone,) = found["zones"]
    assert zone["best"]["stretches"] == ((NOW_S + 2 * HOUR_S, NOW_S + 4 * HOUR_S),)
    assert zone["saving"] == {"promised": 0.75, "value": 0.75, "low": 0.75, "high": 0.75}
    assert "expected 75 % less than now." in found["sentences"][0]


def test_a_saving_that_may_be_none_says_so_in_words() -> None:
    found = asked(["DE"], sure=False)
    assert found["zones"][0]["advice"] == "later"
    assert "expected 32 % less than now, between 109 % more and 78 % less. It may emit more." in found["sentences"][0]


def test_what_is_too_little_to_wait_for_says_how_little() -> None:
    found = asked(["DE"], sure=False, after=396.0)
    assert found["zones"][0]["start_s"] == NOW_S
    assert "DE: start now." in found["sentences"][0]
    assert "0 % less than now, between 207 % more and 68 % less: too little to wait for." in found["sentences"][0]


def test_zones_are_ranked_only_where_their_intensities_are_of_one_kind() -> None:
    alike, mixed = asked(["DE", "FR"]), asked(["DE", "GB"])
    assert alike["lowest"] == "FR"
    assert "Lowest is FR, 50 gCO2e/kWh" in alike["sentences"][-1]
    assert mixed["lowest"] is None
    assert "DE average lifecycle location, GB average direct location" in mixed["sentences"][-1]


def test_hours_of_a_file_that_are_yet_to_come_are_a_forecast(series: Callable[..., str]) -> None:
    settings = config.load({"intensity": series([200] * 4, 2, NOW_S)})
    points = from_feeds(settings, lambda: NOW_S)("", NOW_S - HOUR_S, NOW_S + 2 * HOUR_S)
    by_start = {round(((p.start_s or 0) - NOW_S) / HOUR_S): p for p in points}
    assert [by_start[hour].kind for hour in (-1, 0, 1)] == ["measured", "measured", "forecast"]
    assert by_start[0].low == by_start[0].high == 200
    assert by_start[1].low < 200 < by_start[1].high


class Grid(Feed):
    """Known to two hours ago, and expected from the next hour on; or as broken as the test says."""

    name = title = "grid"
    base_url = "http://grid.invalid"
    basis = "lifecycle"
    reach = Reach(spacing_s=0.0)
    broken: str | None = None
    foresees = True

    def serves(self, zone: str) -> bool:
        return True

    def latest(self, zone: str) -> IntensityPoint:
        return self.history(zone, NOW_S - DAY_S, NOW_S)[-1]

    def history(self, zone: str, start_s: float, end_s: float) -> list[IntensityPoint]:
        if self.broken:
            raise NotServed(self.broken)
        return in_order(
            [self._at(hour, 400 if hour < -12 else 200, "measured") for hour in range(-30, -2)], start_s, end_s
        )

    def forecast(self, zone: str, start_s: float, end_s: float) -> list[IntensityPoint]:
        if self.broken or not self.foresees:
            raise NotServed(self.broken or "it makes no forecasts")
        return in_order([self._at(hour, 600 - 100 * (hour == 5), "forecast") for hour in range(1, 24)], start_s, end_s)

    def _at(self, hour: int, g_per_kwh: float, kind: Any) -> IntensityPoint | None:
        return self.point("DE", NOW_S + hour * HOUR_S, HOUR_S, g_per_kwh, kind)


@pytest.fixture
def grid(monkeypatch: pytest.MonkeyPatch) -> type[Grid]:
    made = type("Made", (Grid,), {})
    load = registry.load
    monkeypatch.setattr(registry, "load", lambda group, name: made if name == "neso" else load(group, name))
    return made


def looked_up() -> Any:
    settings = config.load({"intensity": "neso"})
    points_of = from_feeds(settings, lambda: NOW_S, lambda _: False, Cache(None))
    return answer(Job(HOUR_S, 8 * HOUR_S), ["DE"], None, now_s=lambda: NOW_S, points_of=points_of)


def test_a_feed_is_asked_for_what_was_and_for_what_is_expected(grid: type[Grid]) -> None:
    (zone,) = looked_up()["zones"]
    assert zone["now"]["g_per_kwh"] == 200  # held on to, as of now nothing is known yet
    assert zone["repeated_share"] == 0
    assert zone["random_g_per_kwh"] > 500


def test_a_feed_without_forecasts_is_taken_by_its_yesterday(grid: type[Grid]) -> None:
    grid.foresees = False
    (zone,) = looked_up()["zones"]
    assert zone["repeated_share"] == pytest.approx(7 / 8)
    assert any("without a forecast" in note for note in zone["notes"])


def test_a_feed_that_does_not_answer_is_named(grid: type[Grid]) -> None:
    grid.broken = "it is being mended"
    with pytest.raises(CannotPlan, match="grid: it is being mended"):
        looked_up()


def test_a_feed_that_only_was_once_asked_is_named_too(grid: type[Grid]) -> None:
    cache, settings = Cache(None), config.load({"intensity": "neso"})
    days_later_s = NOW_S + 3 * DAY_S
    assert from_feeds(settings, lambda: NOW_S, lambda _: False, cache)("DE", NOW_S - DAY_S, NOW_S + DAY_S)
    grid.broken = "it is being mended"
    points_of = from_feeds(settings, lambda: days_later_s, lambda _: False, cache)
    assert points_of("DE", NOW_S - DAY_S, NOW_S)
    with pytest.raises(CannotPlan, match="grid: it is being mended"):
        answer(Job(HOUR_S, 8 * HOUR_S), ["DE"], None, now_s=lambda: days_later_s, points_of=points_of)


def test_it_fits_eighty_columns_and_names_what_it_goes_by(
    series: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    values = [300 + 200 * math.cos(hour / 24 * 2 * math.pi) for hour in range(60)]
    path = series(values, 24)
    zones = ["--zone", "DE", "--zone", "US-TEX-ERCO"]
    assert main(["when", "--duration", "8h", "--within", "1d6h", "--intensity", path, *zones]) == 0
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 80
    for words in ("random start", "mean of 24 h", "average, basis unknown, location-based, from grid.csv", "Lowest is"):
        assert words in " ".join(said.split())


def test_pauses_are_told_with_their_times(series: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
    path = series([400, 400, 100, 400, 400, 100, 400, 400])
    assert (
        main(["when", "--duration", "2h", "--within", "6h", "--intensity", path, "--idle", "0", "--resume", "1s"]) == 0
    )
    said = capsys.readouterr().out
    assert "1 pause " in said
    assert "with pauses: " in said


def test_json_is_one_document(series: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["when", "--duration", "90m", "--within", "4h", "--json", "--intensity", series([5, 4, 3, 2, 1])]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["schema_version"] == 1
    assert found["zones"][0]["duration_s"] == 5400


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--duration"),
        (["--duration", "6x"], "a time such as 6h, 90m, 1h30m or 2d"),
        (["--duration", "0h"], "a time such as"),
        (["--duration", ""], "a time such as"),
        (["--duration", "-1h"], "--duration"),
        (["--duration", "30h", "--intensity", "SERIES"], "does not fit"),
        (["--duration", "20h", "--intensity", "SERIES"], "not known for as long as the job takes"),
        (["--duration", "1h"], "no zone is known: --zone names one"),
        (["--duration", "1h", "--zone", "Atlantis"], "no zone 'Atlantis' is known"),
        (["--duration", "1h", "--zone", "BR", "--intensity", "annual"], "only yearly means are known"),
        (["--duration", "1h", "--intensity", "fixed:300"], "one figure for all hours"),
        (["--duration", "1h", "--intensity", "nesso"], "there is none of that name"),
        (["--duration", "1h", "--intensity", "series:/no/such.csv"], "/no/such.csv: No such file"),
    ],
)
@pytest.mark.parametrize("verb", ["when", "wait"])
def test_a_mistake_is_one_line(
    verb: str, arguments: list[str], words: str, series: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = main([verb, *(series([3, 2, 1]) if text == "SERIES" else text for text in arguments)])
    except SystemExit as left:
        code = int(left.code or 0)
    told = capsys.readouterr()
    assert (code, told.out) == (2, "")
    assert words in told.err
    assert len(told.err.splitlines()) == 1


def test_wait_takes_one_zone(series: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["wait", "--duration", "1h", "--zone", "DE", "--zone", "FR", "--intensity", series([1, 2])]) == 2
    assert "one --zone" in capsys.readouterr().err


# -- waiting ----------------------------------------------------------------------------------------------------------


class Waiting:
    """A clock that goes on only by sleeping."""

    def __init__(self, breaks_after_s: float = math.inf) -> None:
        self.time_s, self.breaks_s = NOW_S, NOW_S + breaks_after_s

    def now_s(self) -> float:
        return self.time_s

    def sleep(self, seconds: float) -> None:
        assert 0 < seconds <= 1
        self.time_s += seconds
        if self.time_s >= self.breaks_s:
            raise KeyboardInterrupt


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_waiting_ends_at_the_start_and_says_so_now_and_then() -> None:
    clock, stream = Waiting(), io.StringIO()
    assert wait_until(NOW_S + 2.5 * SAY_S, now_s=clock.now_s, sleep=clock.sleep, stream=stream) == 0
    assert clock.time_s == NOW_S + 2.5 * SAY_S
    lines = stream.getvalue().splitlines()
    assert [line.partition(": ")[2] for line in lines[:-1]] == [
        "1 h 15 min to go", "45 min 00 s to go", "15 min 00 s to go",
    ]  # fmt: skip
    assert lines[-1] == "it is time"


def test_on_a_terminal_one_line_is_rewritten() -> None:
    clock, stream = Waiting(), Terminal()
    wait_until(NOW_S + 3, now_s=clock.now_s, sleep=clock.sleep, stream=stream)
    assert stream.getvalue().count("\r") == 3
    assert stream.getvalue().count("\n") == 2


def test_for_a_start_that_is_now_nobody_waits() -> None:
    clock, stream = Waiting(), io.StringIO()
    assert wait_until(NOW_S, now_s=clock.now_s, sleep=clock.sleep, stream=stream) == 0
    assert stream.getvalue() == ""


def test_a_clock_that_was_set_is_followed() -> None:
    clock, stream = Waiting(), io.StringIO()

    def sleep(seconds: float) -> None:
        clock.time_s += 1e6

    assert wait_until(NOW_S + HOUR_S, now_s=clock.now_s, sleep=sleep, stream=stream) == 0


def test_control_c_ends_waiting_with_one_line() -> None:
    clock, stream = Waiting(breaks_after_s=10), io.StringIO()
    assert wait_until(NOW_S + 70, now_s=clock.now_s, sleep=clock.sleep, stream=stream) == 130
    assert stream.getvalue().splitlines()[-1] == "joulegram: no longer waiting, 1 min 01 s before the start"


def test_control_c_in_a_shell_leaves_no_traceback(series: Callable[..., str]) -> None:
    path = series([400, 400, 400, 1, 1, 1])
    process = subprocess.Popen(
        [*JOULEGRAM, "wait", "--duration", "1h", "--within", "5h", "--intensity", path],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert process.stderr.readline().startswith("waiting for ")
    process.send_signal(signal.SIGINT)
    said, noted = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "less than now" in said
    assert "Traceback" not in noted
    assert "no longer waiting" in noted


def test_wait_does_not_wait_for_next_to_nothing(series: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["wait", "--duration", "1h", "--within", "5h", "--intensity", series([400, 400, 396, 398, 399])]) == 0
    told = capsys.readouterr()
    assert "too little to wait for" in told.out
    assert told.err == ""


def test_wait_waits_no_longer_than_it_may(series: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
    path = series([100, 200, 300, 1, 1, 1])
    assert main(["wait", "--duration", "1h", "--within", "5h", "--max-wait", "1s", "--json", "--intensity", path]) == 0
    (zone,) = json.loads(capsys.readouterr().out)["zones"]
    assert zone["until_s"] == pytest.approx(zone["now_s"] + HOUR_S + 1)
