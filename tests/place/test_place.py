"""Where a machine is: who is asked, in which order, and what becomes of answers that are none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hosts import Host, host
from hypothesis import given
from hypothesis import strategies as st
from metadata_hosts import (
    AWS_PATH,
    AZURE_PATH,
    GCP_PATH,
    SIGNS,
    TOKEN,
    MetadataHost,
    firmware,
    metadata_host,
    sources,
)

from joulegram.config import Settings
from joulegram.feeds.annual import resolve
from joulegram.place import Place, address, find, metadata, regions

NOTHING_SET = Settings()
LOOK_UP = Settings(ip_lookup=True)
PATHS = {"aws": AWS_PATH, "gcp": GCP_PATH, "azure": AZURE_PATH}
WHERE = {"aws": b"eu-west-1", "gcp": b"projects/123456/zones/europe-west4-a", "azure": b"northeurope"}


@pytest.fixture
def server() -> Iterator[MetadataHost]:
    with metadata_host() as made:
        made.answers = {PATHS[cloud]: text for cloud, text in WHERE.items()}
        yield made


@pytest.fixture
def service() -> Iterator[Host]:
    with host() as made:
        made.body = b"DK\n"
        yield made


def said(place: Place, asked: str) -> str:
    """What came of the one step that asked somebody."""
    (step,) = (step for step in place.tried if asked in step.asked)
    return step.said


def everything(place: Place) -> str:
    return repr(place)


# -- the user -------------------------------------------------------------------------------------------------------


def test_where_the_user_says_it_nobody_else_is_asked(tmp_path: Path, server: MetadataHost, service: Host) -> None:
    asked = sources(tmp_path, "aws", server, environment={"AWS_REGION": "eu-west-1"}, ip_url=service.url)
    place = find(Settings(zone="DK-DK1", ip_lookup=True), "JOULEGRAM_ZONE", asked)
    assert (place.zone, place.how, place.provider, place.pue) == ("DK-DK1", "set by JOULEGRAM_ZONE", None, None)
    assert len(place.tried) == 1
    assert server.asked == service.asked == []


def test_a_zone_of_blanks_is_none(tmp_path: Path) -> None:
    assert find(Settings(zone="  "), sources=sources(tmp_path, None)).zone is None


# -- clouds ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cloud", "zone", "region", "pue", "how"),
    [
        ("aws", "IE", "eu-west-1", 1.11, "AWS eu-west-1 (Europe (Ireland)), by its metadata server"),
        ("gcp", "NL", "europe-west4", 1.07, "Google Cloud europe-west4 (Eemshaven), by its metadata server"),
        ("azure", "IE", "northeurope", 1.19, "Azure northeurope (Ireland), by its metadata server"),
    ],
)
def test_a_clouds_metadata_server_tells_the_region(
    tmp_path: Path, server: MetadataHost, cloud: str, zone: str, region: str, pue: float, how: str
) -> None:
    place = find(NOTHING_SET, sources=sources(tmp_path, cloud, server))
    assert (place.zone, place.provider, place.region, place.how) == (zone, cloud, region, how)
    assert place.pue is not None
    assert place.pue.value == pue
    assert {path for _, path, _ in server.asked} <= {PATHS[cloud], "/latest/api/token"}


def test_the_grid_zone_goes_before_the_country(tmp_path: Path, server: MetadataHost) -> None:
    server.answers[AWS_PATH] = b"eu-north-1"
    assert find(NOTHING_SET, sources=sources(tmp_path, "aws", server)).zone == "SE-SE3"
    server.answers[AWS_PATH] = b"us-gov-east-1"
    assert find(NOTHING_SET, sources=sources(tmp_path, "aws", server)).zone == "US-OH"


def test_amazons_server_is_asked_for_a_token_that_soon_ends_and_for_nothing_without_one(
    tmp_path: Path, server: MetadataHost
) -> None:
    find(NOTHING_SET, sources=sources(tmp_path, "aws", server))
    (token_method, token_path, token_headers), (method, path, headers) = server.asked
    assert (token_method, token_path, method, path) == ("PUT", "/latest/api/token", "GET", AWS_PATH)
    assert token_headers["X-aws-ec2-metadata-token-ttl-seconds"] == "60"
    assert headers["X-aws-ec2-metadata-token"] == TOKEN


def test_a_server_that_gives_no_token_is_not_asked_without_one(tmp_path: Path, server: MetadataHost) -> None:
    for status in (403, 404, 405):
        server.token_status = status
        place = find(NOTHING_SET, sources=sources(tmp_path, "aws", server))
        assert said(place, "metadata") == f"answered with HTTP {status}"
    assert {method for method, _, _ in server.asked} == {"PUT"}


def test_a_token_that_is_refused_is_one_clear_line(tmp_path: Path, server: MetadataHost) -> None:
    server.token = b"another-token"
    place = find(NOTHING_SET, sources=sources(tmp_path, "aws", server))
    assert place.zone is None
    assert said(place, "metadata") == "answered with HTTP 401"


@pytest.mark.parametrize("token", [b"two\r\nX-Other: lines", b"caf\xc3\xa9", b"", b"s3cr3t " * 200, b"with blanks"])
def test_a_token_that_is_none_goes_nowhere_and_is_never_told(
    tmp_path: Path, server: MetadataHost, token: bytes
) -> None:
    server.token = token
    place = find(NOTHING_SET, sources=sources(tmp_path, "aws", server))
    assert place.zone is None
    assert [method for method, _, _ in server.asked] == ["PUT"]
    assert "s3cr3t" not in everything(place)


def test_no_token_is_in_any_message(tmp_path: Path, server: MetadataHost) -> None:
    for text in (b"eu-west-1", TOKEN.encode(), b"<html>", b"\xff"):
        server.answers[AWS_PATH] = text
        assert TOKEN not in everything(find(NOTHING_SET, sources=sources(tmp_path, "aws", server)))


def test_a_cloud_that_tells_no_region_still_tells_its_fleets_pue(tmp_path: Path) -> None:
    place = find(NOTHING_SET, sources=sources(tmp_path, "aws"))
    assert (place.zone, place.provider, place.region) == (None, "aws", None)
    assert place.how == "unknown: AWS does not tell in which region"
    assert said(place, "metadata") == "could not be asked (ConnectionRefusedError)"
    assert place.pue is not None
    assert (place.pue.value, place.pue.low, place.pue.high) == (1.15, 1.07, 1.46)


def test_a_region_that_is_not_in_the_table_is_no_zone(tmp_path: Path, server: MetadataHost) -> None:
    server.answers[AWS_PATH] = b"eu-moon-7"
    place = find(NOTHING_SET, sources=sources(tmp_path, "aws", server))
    assert (place.zone, place.provider, place.region) == (None, "aws", "eu-moon-7")
    assert place.how == "unknown: no grid is known of AWS eu-moon-7"
    assert place.pue is not None
    assert "none is published for eu-moon-7" in place.pue.source


def test_another_clouds_region_is_no_zone_here(tmp_path: Path, server: MetadataHost) -> None:
    server.answers[AZURE_PATH] = b"europe-west4"
    assert find(NOTHING_SET, sources=sources(tmp_path, "azure", server)).zone is None


@pytest.mark.parametrize("zone", ["us-central1-a", "us-central1-ai1a"])
def test_googles_zone_is_of_the_region_before_its_last_part(tmp_path: Path, server: MetadataHost, zone: str) -> None:
    server.answers[GCP_PATH] = f"projects/1/zones/{zone}\n".encode()
    assert find(NOTHING_SET, sources=sources(tmp_path, "gcp", server)).region == "us-central1"


@pytest.mark.parametrize(
    "text", [b"", b"null", b"{}", b"<html>", b"us-central1-a", b"projects/x/zones/us-central1-a", b"../../secret"]
)
@pytest.mark.parametrize("cloud", ["aws", "gcp"])
def test_what_is_no_regions_name_is_not_told_on(tmp_path: Path, server: MetadataHost, cloud: str, text: bytes) -> None:
    server.answers[PATHS[cloud]] = text
    place = find(NOTHING_SET, sources=sources(tmp_path, cloud, server))
    assert (place.zone, place.region) == (None, None)
    assert said(place, "metadata") == "what it says is no region's name"


@pytest.mark.parametrize("cloud", SIGNS)
def test_a_redirect_is_not_followed(tmp_path: Path, server: MetadataHost, cloud: str) -> None:
    with metadata_host() as elsewhere:
        elsewhere.answers = server.answers
        server.status, server.headers = 302, {"Location": f"{elsewhere.url}{PATHS[cloud]}"}
        place = find(NOTHING_SET, sources=sources(tmp_path, cloud, server))
        assert place.zone is None
        assert said(place, "metadata") == "sends us elsewhere (HTTP 302), where nobody is asked"
        assert elsewhere.asked == []


@pytest.mark.parametrize("cloud", SIGNS)
def test_proxies_are_not_asked(
    tmp_path: Path, server: MetadataHost, service: Host, cloud: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(variable, service.url)
    monkeypatch.delenv("no_proxy", raising=False)
    assert find(NOTHING_SET, sources=sources(tmp_path, cloud, server)).region is not None
    assert service.asked == []


@pytest.mark.parametrize("cloud", SIGNS)
def test_a_server_out_of_reach_is_given_up(tmp_path: Path, server: MetadataHost, cloud: str) -> None:
    server.silent.set()
    place = find(NOTHING_SET, sources=sources(tmp_path, cloud, server))
    assert place.zone is None
    assert said(place, "metadata").startswith("no answer within 0.5 s")
    assert ("hop limit" in said(place, "metadata")) == (cloud == "aws")


@pytest.mark.parametrize("cloud", SIGNS)
def test_a_server_whose_answer_never_ends_is_given_up(tmp_path: Path, server: MetadataHost, cloud: str) -> None:
    server.drips.set()  # each byte comes well within the time-out of a single wait
    place = find(NOTHING_SET, sources=sources(tmp_path, cloud, server))
    assert place.zone is None
    assert said(place, "metadata").startswith("no answer within 0.5 s")


def test_all_questions_have_one_deadline(tmp_path: Path, server: MetadataHost) -> None:
    now_s = 100.0

    def clock_s() -> float:
        """By a clock on which the token alone takes the whole time."""
        return now_s + (metadata.BUDGET_S if server.asked else 0.0)

    place = find(NOTHING_SET, sources=sources(tmp_path, "aws", server, now_s=clock_s))
    assert said(place, "metadata").startswith("no answer within 0.5 s")
    assert [path for _, path, _ in server.asked] == ["/latest/api/token"]


# -- whose machine it is --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "signs",
    [
        {},
        {"sys_vendor": "LENOVO"},
        {"sys_vendor": "QEMU", "product_name": "Standard PC (Q35 + ICH9, 2009)"},
        {"sys_vendor": "Google", "product_name": "Eve"},  # a Chromebook
        {"sys_vendor": "Microsoft Corporation", "product_name": "Virtual Machine"},  # Hyper-V on a desktop
        {"sys_vendor": "Microsoft Corporation", "chassis_asset_tag": "7783-7084-3265-9085-8269-3286-78"},
        {"product_name": "Google Compute Engine"},
        {"sys_vendor": "Amazon EC2 lookalike"},
    ],
    ids=repr,
)
def test_on_a_machine_of_no_cloud_nothing_is_asked(
    tmp_path: Path, server: MetadataHost, service: Host, signs: dict[str, str]
) -> None:
    asked = sources(tmp_path, None, server, dmi=firmware(tmp_path / "own", signs), ip_url=service.url)
    place = find(NOTHING_SET, sources=asked)
    assert (place.zone, place.provider, place.region, place.pue) == (None, None, None, None)
    assert place.how == "unknown: nothing tells where this machine is"
    assert said(place, "IP address") == "not asked, as ip_lookup is off"
    assert server.asked == service.asked == []


def test_without_firmware_to_read_nothing_is_asked(tmp_path: Path, server: MetadataHost) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "nowhere", tmp_path / "file"):
        place = find(NOTHING_SET, sources=sources(tmp_path, None, server, dmi=folder))
        assert said(place, "maker") == "it does not tell who made it: no cloud is asked"
    assert server.asked == []


def test_firmware_of_any_bytes_is_read(tmp_path: Path) -> None:
    folder = firmware(tmp_path / "own", {})
    (folder / "sys_vendor").write_bytes(b"\xff\x00\x1b[2J" * 1000)
    place = find(NOTHING_SET, sources=sources(tmp_path, None, dmi=folder))
    assert "\x1b" not in said(place, "maker")
    assert len(said(place, "maker")) < 300


# -- variables ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variable", ["AWS_REGION", "AWS_DEFAULT_REGION"])
def test_on_amazons_machines_its_variables_go_before_its_server(
    tmp_path: Path, server: MetadataHost, variable: str
) -> None:
    place = find(NOTHING_SET, sources=sources(tmp_path, "aws", server, environment={variable: "us-west-2"}))
    assert (place.zone, place.region) == ("US-NW-PACW", "us-west-2")
    assert place.how == f"AWS us-west-2 (US West (Oregon)), by {variable}"
    assert server.asked == []


@pytest.mark.parametrize("cloud", [None, "gcp", "azure"])
def test_amazons_variables_say_nothing_of_other_machines(
    tmp_path: Path, server: MetadataHost, cloud: str | None
) -> None:
    place = find(NOTHING_SET, sources=sources(tmp_path, cloud, server, environment={"AWS_REGION": "us-west-2"}))
    assert place.provider == cloud
    assert place.region != "us-west-2"
    assert "not used" in said(place, "AWS_REGION")


@pytest.mark.parametrize("text", ["eu-moon-7", "nonsense", "us-west-2\nX: y", "DK"])
def test_a_variable_that_names_no_known_region_leaves_the_word_to_the_server(
    tmp_path: Path, server: MetadataHost, text: str
) -> None:
    place = find(NOTHING_SET, sources=sources(tmp_path, "aws", server, environment={"AWS_REGION": text}))
    assert (place.zone, place.region) == ("IE", "eu-west-1")


# -- the IP address -------------------------------------------------------------------------------------------------


def test_the_ip_address_is_looked_up_only_if_the_user_said_so(tmp_path: Path, service: Host) -> None:
    asked = sources(tmp_path, None, ip_url=service.url)
    assert find(NOTHING_SET, sources=asked).zone is None
    assert service.asked == []
    place = find(LOOK_UP, sources=asked)
    assert place.zone == "DK"
    assert place.how == "by IP address: the way out of a VPN or a cluster may be in another country"
    assert len(service.asked) == 1


def test_what_a_cloud_told_goes_before_the_ip_address(tmp_path: Path, server: MetadataHost, service: Host) -> None:
    place = find(LOOK_UP, sources=sources(tmp_path, "aws", server, ip_url=service.url))
    assert place.zone == "IE"
    assert service.asked == []


def test_a_cloud_whose_region_is_not_known_is_found_by_its_address_and_keeps_its_pue(
    tmp_path: Path, service: Host
) -> None:
    place = find(LOOK_UP, sources=sources(tmp_path, "gcp", ip_url=service.url))
    assert (place.zone, place.provider) == ("DK", "gcp")
    assert place.pue is not None
    assert place.pue.value == 1.09


@pytest.mark.parametrize("body", [b"", b"ZZ", b"EU", b"AP", b"T1", b"dk", b"DK DE", b"<html>DK</html>", b"\xff\xfe"])
def test_what_names_no_country_is_no_zone(tmp_path: Path, service: Host, body: bytes) -> None:
    service.body = body
    place = find(LOOK_UP, sources=sources(tmp_path, None, ip_url=service.url))
    assert place.zone is None
    assert said(place, "IP address") == "127.0.0.1 names no country"


@pytest.mark.parametrize("status", [302, 404, 429, 500])
def test_a_service_that_refuses_leaves_the_place_unknown(tmp_path: Path, service: Host, status: int) -> None:
    service.status, service.headers = status, {"Location": "http://127.0.0.1:1/"}
    place = find(LOOK_UP, sources=sources(tmp_path, None, ip_url=service.url))
    assert place.zone is None
    assert "127.0.0.1" in said(place, "IP address")


def test_a_service_that_is_not_there_leaves_the_place_unknown(tmp_path: Path) -> None:
    place = find(LOOK_UP, sources=sources(tmp_path, None))
    assert place.zone is None
    assert said(place, "IP address") == "127.0.0.1 could not be asked (ConnectionError)"


def test_the_service_is_asked_over_https() -> None:
    assert address.URL.startswith("https://")


# -- whatever comes -------------------------------------------------------------------------------------------------

_known_regions = st.sampled_from(regions.search()).map(lambda row: row.region.encode())
_bodies = st.one_of(st.binary(max_size=2048), _known_regions, st.text(max_size=40).map(str.encode))


@given(body=_bodies, cloud=st.sampled_from(sorted(SIGNS)), token=st.one_of(st.just(TOKEN.encode()), _bodies))
def test_no_bytes_raise_and_none_become_a_zone_outside_of_the_table(
    shared: tuple[Path, MetadataHost, Host], body: bytes, cloud: str, token: bytes
) -> None:
    folder, server, service = shared
    server.answers, server.token = {PATHS[cloud]: body}, token
    service.body = body
    place = find(NOTHING_SET, sources=sources(folder / cloud, cloud, server))
    assert place.zone is None or place.zone in {row.zone for row in regions.search() if row.provider == cloud}
    by_address = find(LOOK_UP, sources=sources(folder / "none", None, ip_url=service.url))
    assert by_address.zone is None or resolve(by_address.zone) == by_address.zone


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, MetadataHost, Host]]:
    with metadata_host() as server, host() as service:
        yield tmp_path_factory.mktemp("machines"), server, service
