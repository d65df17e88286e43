"""``joulegram zones``: finding a zone or a region by name, and telling where this machine is."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from metadata_hosts import AWS_PATH, metadata_host, sources
from rich.console import Console

from joulegram import config
from joulegram.cli import main
from joulegram.cli.here import here, print_here


def shown(found: dict[str, object]) -> str:
    """What is printed, eighty columns wide."""
    out = io.StringIO()
    print_here(found, Console(file=out, width=80))
    assert max(map(len, out.getvalue().splitlines())) <= 80
    return " ".join(out.getvalue().split())


@pytest.mark.parametrize(
    ("text", "region", "zone", "pue"),
    [
        ("us-east-1", "us-east-1", "US-MIDA-PJM", "1.15"),
        ("Europe-West4", "europe-west4", "NL", "1.07"),
        ("tokyo", "japaneast", "JP-TK", ""),
    ],
)
def test_a_cloud_region_is_found_by_name_and_location(
    text: str, region: str, zone: str, pue: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["zones", text]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    (line,) = (line for line in lines if region in line)
    assert zone in line
    assert line.rstrip().endswith(pue)


def test_zones_and_regions_of_one_name_are_both_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["zones", "israel", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [zone["code"] for zone in found["zones"]] == ["IL"]
    assert {region["region"] for region in found["regions"]} == {"il-central-1", "israelcentral"}
    assert {region["g_per_kwh"] for region in found["regions"]} == {found["zones"][0]["g_per_kwh"]}
    assert main(["zones", "israel"]) == 0
    assert "Israel (Tel Aviv)" in capsys.readouterr().out


def test_what_matches_nothing_is_exit_code_one_in_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["zones", "atlantis", "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {"schema_version": 1, "zones": [], "regions": []}


def test_without_a_text_zones_are_listed_and_regions_are_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["zones"]) == 0
    out = capsys.readouterr().out
    assert "us-east-1" not in out
    assert "joulegram zones TEXT finds one, and cloud regions" in out


def test_a_text_and_here_do_not_go_together(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["zones", "DK", "--here"]) == 2
    assert capsys.readouterr().err == "joulegram: zones takes a text or --here, not both\n"


def test_here_tells_who_set_the_zone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "config.toml"
    own.write_text('zone = "DK-DK1"\npue = 1.2\n')
    monkeypatch.setenv("JOULEGRAM_CONFIG", str(own))
    assert main(["zones", "--here", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["zone"], found["how"], found["pue"]["value"]) == ("DK-DK1", f"set by {own}", 1.2)
    assert [step["helped"] for step in found["tried"]] == [True]
    monkeypatch.setenv("JOULEGRAM_ZONE", "FR")
    assert main(["zones", "--here"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "zone FR" in out
    assert "set by JOULEGRAM_ZONE" in out
    assert "annual mean of" in out


def test_here_explains_step_by_step_what_a_cloud_told(tmp_path: Path) -> None:
    with metadata_host() as server:
        server.answers = {AWS_PATH: b"eu-north-1"}
        found = here(sources(tmp_path, "aws", server))
    out = shown(found)
    assert (found["zone"], found["known"], found["provider"], found["region"]) == (
        "SE-SE3", True, "aws", "eu-north-1",
    )  # fmt: skip
    assert "how AWS eu-north-1 (Europe (Stockholm)), by its metadata server" in out
    assert "PUE 1.1: AWS eu-north-1, 2024, as its provider published" in out
    assert "- argument, environment, configuration no zone is set" in out
    assert "+ this machine's maker (DMI) AWS" in out
    assert "- AWS_REGION, AWS_DEFAULT_REGION not set" in out
    assert "+ metadata server of AWS region eu-north-1" in out


def test_a_pue_of_the_users_goes_before_a_clouds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOULEGRAM_PUE", "1.3")
    found = here(sources(tmp_path, "aws", environment={"AWS_REGION": "eu-north-1"}))
    assert (found["pue"]["value"], found["pue"]["source"]) == (1.3, "as given")


def test_where_nothing_is_known_here_says_what_to_set(tmp_path: Path) -> None:
    found = here(sources(tmp_path, None))
    assert (found["zone"], found["known"]) == (None, False)
    out = shown(found)
    assert "zone unknown how unknown: nothing tells where this machine is" in out
    assert "set zone=…, JOULEGRAM_ZONE" in out
    assert "no machine of AWS, Azure or Google Cloud, so none of them is asked" in out
    assert "not asked, as ip_lookup is off" in out


def test_a_zone_that_is_misspelt_is_told_with_the_nearest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOULEGRAM_ZONE", "Danmrk")
    found = here(sources(tmp_path, None))
    assert not found["known"]
    assert "nearest: DK Denmark" in shown(found)


def test_the_origin_of_a_setting_is_the_place_that_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, project = tmp_path / "own.toml", tmp_path / "pyproject.toml"
    monkeypatch.setenv("JOULEGRAM_CONFIG", str(own))
    assert config.origin("zone", tmp_path) is None
    own.write_text('zone = "DK"\n')
    assert config.origin("zone", tmp_path) == str(own)
    project.write_text('[tool.joulegram]\nzone = "SE"\n')
    assert config.origin("zone", tmp_path) == str(project)
    monkeypatch.setenv("JOULEGRAM_ZONE", "FR")
    assert config.origin("zone", tmp_path) == "environment"
    assert config.load(folder=tmp_path).zone == "FR"
