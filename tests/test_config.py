from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from joulegram import config
from joulegram.config import ConfigError, Settings, load

World = Callable[..., Path]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Writes the user's file and a project's pyproject.toml and sets variables; gives the project's folder."""
    monkeypatch.delenv("JOULEGRAM_LEDGER")
    monkeypatch.delenv("JOULEGRAM_METERS")
    monkeypatch.delenv("JOULEGRAM_INTENSITY")
    folder = tmp_path / "project" / "src"
    folder.mkdir(parents=True)

    def make(user: str = "", project: str = "", **environment: str) -> Path:
        if user:
            file = tmp_path / "config" / "joulegram" / "config.toml"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(user)
        if project:
            (folder.parent / "pyproject.toml").write_text(project)
        for name, value in environment.items():
            monkeypatch.setenv(f"JOULEGRAM_{name}", value)
        return folder

    return make


def refusal(given: dict[str, Any] | None, folder: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load(given, folder)
    return str(caught.value)


def test_without_any_configuration_nothing_is_assumed(world: World) -> None:
    settings = load(folder=world())
    assert settings == Settings()
    assert (settings.zone, settings.pue, settings.ip_lookup) == (None, None, False)


def test_later_sources_win_over_earlier_ones_key_by_key(world: World) -> None:
    user = 'zone = "SE"\nproject = "user"\nstage = "data"\nledger = "/user"'
    project = '[tool.joulegram]\nproject = "pyproject"\nstage = "search"\nledger = "runs"'
    folder = world(user, project, STAGE="finetune", LEDGER="/env")
    settings = load({"ledger": "/argument"}, folder)
    assert (settings.basis, settings.zone, settings.project, settings.stage, settings.ledger) == (
        None, "SE", "pyproject", "finetune", "/argument",
    )  # fmt: skip


def test_an_argument_of_none_sets_nothing(world: World) -> None:
    assert load({"zone": None}, world(ZONE="DK")).zone == "DK"


def test_a_variable_that_is_set_to_nothing_sets_nothing(world: World) -> None:
    folder = world('zone = "SE"', ZONE="", PUE=" ", LEDGER="", METERS="", DISABLED="")
    assert load(folder=folder) == Settings(zone="SE")
    assert not config.disabled()


def test_the_nearest_pyproject_is_the_one_that_counts(world: World) -> None:
    folder = world(project='[tool.joulegram]\nzone = "DK"')
    assert load(folder=folder).zone == "DK"
    (folder / "pyproject.toml").write_text("[tool.other]\nname = 'no joulegram table here'")
    assert load(folder=folder).zone is None


def test_the_search_for_a_pyproject_starts_in_the_working_directory(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(world(project='[tool.joulegram]\nzone = "DK"'))
    assert load().zone == "DK"
    assert load(folder=Path(".")).zone == "DK"


def test_a_removed_working_directory_is_no_obstacle(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    world(ZONE="DK")
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert load().zone == "DK"


def test_a_configuration_folder_that_may_not_be_looked_into_is_no_obstacle(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, stat = world('zone = "DK"'), os.stat

    def denied(path: Any, *args: Any, **kwargs: Any) -> os.stat_result:
        if str(path).endswith("config.toml"):
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, *args, **kwargs)

    monkeypatch.setattr(os, "stat", denied)
    assert load(folder=folder).zone is None


def test_a_user_may_keep_the_configuration_elsewhere(world: World, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text('zone = "NO"')
    assert load(folder=world('zone = "SE"', CONFIG=str(other))).zone == "NO"


@pytest.mark.parametrize(
    ("make", "given", "where", "remedy"),
    [
        ({}, {"zoen": "DK"}, "argument", "did you mean zone?"),
        ({"user": 'projet = "x"'}, {}, "config.toml", "did you mean project?"),
        ({"project": "[tool.joulegram]\nmeter = ['nvml']"}, {}, "pyproject.toml", "did you mean meters?"),
        ({"ZONNE": "DK"}, {}, "environment", "did you mean JOULEGRAM_ZONE?"),
        ({"DISABELD": "1"}, {}, "environment", "did you mean JOULEGRAM_DISABLED?"),
        ({}, {"xyzzyx": 1}, "argument", "known are: ledger, project,"),
    ],
)
def test_a_misspelt_key_names_the_place_and_the_nearest_right_one(
    world: World, make: dict[str, str], given: dict[str, Any], where: str, remedy: str
) -> None:
    message = refusal(given, world(**make))
    assert where in message
    assert remedy in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("name", "value", "needed"),
    [
        ("pue", 0.9, "from 1.0"),
        ("pue", "high", "the word datacenter"),
        ("pue", float("nan"), "from 1.0"),
        ("pue", True, "from 1.0"),
        ("pue", [1], "from 1.0"),
        ("basis", "unknown", "lifecycle or direct"),
        ("basis", ["direct"], "lifecycle or direct"),
        ("idle_w", "warm", "watts between"),
        ("idle_w", -1, "watts between"),
        ("max_w", 1e9, "watts between"),
        ("max_w", True, "watts between"),
        ("ip_lookup", "maybe", "yes or no"),
        ("zone", 5, "a text"),
        ("meters", 5, "a list of names"),
        ("meters", [1], "a text"),
        ("feeds", "https://example.org", "a table of tables"),
        ("feeds", {"annual": "x"}, "a table of tables"),
        ("meter_options", ["x"], "a table of tables"),
    ],
)
def test_a_bad_value_is_one_clear_line(world: World, name: str, value: Any, needed: str) -> None:
    message = refusal({name: value}, world())
    assert message.startswith(f"argument: {name} = ")
    assert needed in message
    assert "\n" not in message


@pytest.mark.parametrize("text", ["zone = ", "zone = DK", "\x00", "zone = 'DK'\nzone = 'SE'"])
def test_a_file_that_is_no_toml_is_one_clear_line(world: World, text: str) -> None:
    message = refusal(None, world(user=text))
    assert "config.toml cannot be read as TOML" in message
    assert "\n" not in message


def test_a_file_in_another_encoding_is_one_clear_line(world: World, tmp_path: Path) -> None:
    folder = world(user="x")
    (tmp_path / "config" / "joulegram" / "config.toml").write_bytes(b'project = "\xe6"')
    assert "config.toml cannot be read as TOML" in refusal(None, folder)


def test_a_table_that_is_no_table_is_one_clear_line(world: World) -> None:
    assert "[tool.joulegram] must be a table" in refusal(None, world(project='[tool]\njoulegram = "on"'))


def test_a_pyproject_without_a_word_of_joulegram_is_not_even_parsed(world: World) -> None:
    assert load(folder=world(project="this is no TOML")).zone is None


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("feeds", 'feeds = {electricitymaps = {base_url = "https://evil.example"}}'),
        ("meter_options", 'meter_options = {remote = {address = "evil.example"}}'),
        ("ip_lookup", "ip_lookup = true"),
        ("ledger", 'ledger = "https://evil.example/ledger"'),
        ("ledger", 'ledger = "file:///etc"'),
        ("ledger", r"ledger = '\\evil.example\share'"),
        ("ledger", 'ledger = "//evil.example/share"'),
    ],
)
def test_a_cloned_project_may_not_name_an_address_a_key_or_a_look_up(
    world: World, caplog: pytest.LogCaptureFixture, name: str, line: str
) -> None:
    user = '[feeds.electricitymaps]\ntoken = "secret"'
    folder = world(user, f'[tool.joulegram]\nzone = "DK"\n{line}')
    with caplog.at_level(logging.WARNING, "joulegram"):
        settings = load(folder=folder)
        assert load(folder=folder) == settings
    assert settings == Settings(zone="DK", feeds={"electricitymaps": {"token": "secret"}})
    (warning,) = caplog.messages  # said once, however often it is read
    assert f"{name} is ignored" in warning
    assert "pyproject.toml" in warning
    assert "\n" not in warning


def test_the_user_may_name_all_of_these(world: World) -> None:
    user = 'ip_lookup = true\nledger = "file:///runs"\n[meter_options.remote]\naddress = "10.0.0.1"'
    settings = load(folder=world(user))
    assert (settings.ip_lookup, settings.ledger) == (True, "file:///runs")
    assert settings.meter_options == {"remote": {"address": "10.0.0.1"}}


def test_a_project_may_keep_its_runs_in_its_own_folder(world: World) -> None:
    assert load(folder=world(project='[tool.joulegram]\nledger = "runs"')).ledger == "runs"


def test_options_of_one_feed_from_several_places_are_laid_over_each_other(world: World) -> None:
    user = '[feeds.watttime]\nuser = "me"\npassword = "old"\n[feeds.other]\nkey = "k"'
    folder = world(user, FEEDS_WATTTIME_PASSWORD="fresh", FEEDS_WATTTIME_BASE_URL="u")
    settings = load({"feeds": {"new": {"x": 1}}}, folder)
    assert settings.feeds == {
        "watttime": {"user": "me", "password": "fresh", "base_url": "u"},
        "other": {"key": "k"},
        "new": {"x": 1},
    }


def test_values_in_the_environment_are_understood_as_their_settings_types(world: World) -> None:
    folder = world(
        PUE="1.2",
        METERS="nvml, rapl,",
        IDLE_W="12.5",
        MAX_W="60",
        IP_LOOKUP="yes",
        BASIS="direct",
        METER_OPTIONS_NVML_INDEX="0",
    )
    assert load(folder=folder) == Settings(
        pue=1.2, meters=("nvml", "rapl"), idle_w=12.5, max_w=60.0, ip_lookup=True, basis="direct",
        meter_options={"nvml": {"index": "0"}},
    )  # fmt: skip


def test_variables_that_are_no_settings_are_left_alone(world: World) -> None:
    folder = world(RUN="r@host/1/2", AUTO="1", HOST="a", RUNTIME_DIR="/tmp/x", DISABLED="0")
    assert load(folder=folder) == Settings()


@pytest.mark.parametrize("word", ["datacenter", "Datacentre", "DATACENTER"])
def test_a_user_in_a_data_centre_may_say_so(world: World, word: str) -> None:
    assert load({"pue": word}, world()).pue == "datacenter"


def test_a_list_of_no_meters_opens_none(world: World) -> None:
    assert load({"meters": []}, world()).meters == ()


def test_a_path_is_as_good_as_a_text(world: World, tmp_path: Path) -> None:
    assert load({"ledger": tmp_path}, world()).ledger == str(tmp_path)


@pytest.mark.parametrize(("word", "off"), [("1", True), ("true", True), ("0", False), ("no", False), ("", False)])
def test_everything_can_be_switched_off(world: World, word: str, off: bool) -> None:
    world(DISABLED=word)
    assert config.disabled() is off


def test_a_switch_that_says_neither_yes_nor_no_is_one_clear_line(world: World) -> None:
    world(DISABLED="perhaps")
    with pytest.raises(ConfigError, match="environment: disabled = 'perhaps': yes or no is needed"):
        config.disabled()


def test_peak_rates_of_devices_may_come_from_anywhere_and_are_laid_over_each_other(world: World) -> None:
    folder = world(
        '[peaks."My device"]\nbfloat16 = 9.9e14\nfloat32 = 1e13',
        '[tool.joulegram.peaks."My device"]\nbfloat16 = 8e14',
        PEAKS_H200_TF32="4e14",
    )
    assert load(folder=folder).peaks == {"My device": {"bfloat16": 8e14, "float32": 1e13}, "h200": {"tf32": 4e14}}


@pytest.mark.parametrize(
    ("peaks", "why"),
    [
        ({"My device": 1e14}, "a table is needed for each device"),
        ({"My device": {"bf16": 1e14}}, "My device has a rate for bf16; known are: float64, "),
        ({"My device": {"bfloat16": 990}}, "My device needs its rate for bfloat16 in FLOP/s"),
        ({"My device": {"bfloat16": "fast"}}, "My device needs its rate for bfloat16 in FLOP/s"),
    ],
)
def test_a_peak_rate_that_is_not_understood_is_refused_in_a_line(world: World, peaks: Any, why: str) -> None:
    said = refusal({"peaks": peaks}, world())
    assert why in said
    assert "\n" not in said
