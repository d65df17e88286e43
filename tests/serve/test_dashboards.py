"""What is shipped for Grafana and Prometheus asks for what is there, in a form that they take."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from servers import Host

pytest.importorskip("prometheus_client")

import joulegram_serve
from joulegram_serve.__main__ import main
from joulegram_serve.collector import families

FOLDER = Path(joulegram_serve.__file__).parent / "dashboards"
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "grafana.json").read_text(encoding="utf-8"))
RULES_PATH = FOLDER / "prometheus_rules.yml"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(RULES_PATH.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]
]
TARGETS: list[dict[str, Any]] = [target for panel in DASHBOARD["panels"] for target in panel["targets"]]
EXPRESSIONS: list[str] = [*(target["expr"] for target in TARGETS), *(rule["expr"] for rule in RULES)]
SCRAPED = {"job", "instance"}
"""Labels that Prometheus adds to what it scrapes."""
GRAFANA = {"__rate_interval": "5m", "__range": "6h", "instance": ".*", "service": ".*"}


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Labels of each sample's name, of a real snapshot in which everything has happened."""
    host = Host(tmp_path_factory.mktemp("host"), idle_w=30.0)
    service = host.serve()
    with service.begin("/a") as request:
        host.go_on(1.0)
        request.add(tokens=7, items=1, flops=1e9)
    host.go_on(1.0)
    snapshot = service.snapshot()
    assert snapshot is not None
    found: dict[str, set[str]] = {}
    for family in families(snapshot):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def filled(expression: str) -> str:
    """As Grafana asks it."""
    return re.sub(r"\$(\w+)", lambda variable: GRAFANA[variable[1]], expression)


def selectors(expression: str) -> Iterator[tuple[str, set[str]]]:
    """Each metric that is asked for, with the labels that choose from it."""
    for name, _, matchers in re.findall(r"\b(joulegram_\w+)\b(\{([^}]*)\})?", expression):
        yield name, set(re.findall(r"(\w+)\s*=~?\s*\"", matchers))


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_metric_and_label_that_is_asked_for_is_there(expression: str, labels: dict[str, set[str]]) -> None:
    asked = list(selectors(filled(expression)))
    for name, chosen_by in asked:
        assert name in labels
        assert chosen_by <= labels[name] | SCRAPED
    of_any = set().union(*(labels[name] for name, _ in asked)) | SCRAPED
    for grouped_by in re.findall(r"\b(?:by|on|group_left) \(([^)]*)\)", expression):
        assert set(filter(None, grouped_by.split(", "))) <= of_any


def test_every_expression_is_promql() -> None:
    promql = pytest.importorskip("promql_parser")
    for expression in EXPRESSIONS:
        promql.parse(filled(expression))


def test_rules_record_and_alert_in_words_that_say_what_to_do() -> None:
    recorded = {rule["record"] for rule in RULES if "record" in rule}
    for rule in RULES:
        assert set(re.findall(r"\bjoulegram:[\w:]+", rule["expr"])) <= recorded
        if "alert" in rule:
            assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
            assert set(rule["annotations"]) == {"summary", "description"}
            assert rule["labels"]["severity"] in ("info", "warning")
        else:
            assert set(rule) == {"record", "expr"}
    names = [rule.get("alert", rule.get("record")) for rule in RULES]
    assert len(set(names)) == len(names)


def test_the_dashboard_may_be_given_to_any_grafana() -> None:
    assert DASHBOARD["id"] is None
    assert re.fullmatch(r"[\w-]{1,40}", DASHBOARD["uid"])
    assert DASHBOARD["schemaVersion"] >= 36  # since then a data source is an object
    variables = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    source = {"type": "prometheus", "uid": "${datasource}"}
    for asks in (*DASHBOARD["panels"], *TARGETS, variables["instance"], variables["service"]):
        assert asks["datasource"] == source
    for target in TARGETS:
        assert set(re.findall(r"\$(\w+)", target["expr"])) <= {*variables, "__rate_interval", "__range"}
        assert target["instant"] is not target["range"]


def test_variables_ask_for_labels_that_are_there(labels: dict[str, set[str]]) -> None:
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            asked = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"])
            assert asked
            assert asked[2] in labels[asked[1]] | SCRAPED


def test_panels_say_what_they_show_and_lie_beside_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        assert panel["title"]
        assert panel["description"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        place = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not place & taken
        taken |= place
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_both_can_be_printed(capsys: pytest.CaptureFixture[str]) -> None:
    main(["dashboard"])
    assert json.loads(capsys.readouterr().out) == DASHBOARD
    done = subprocess.run(
        [sys.executable, "-m", "joulegram_serve", "rules"], capture_output=True, text=True, check=True
    )
    assert done.stdout == RULES_PATH.read_text(encoding="utf-8")
    with pytest.raises(SystemExit):
        main(["nothing"])
    assert "dashboard" in capsys.readouterr().err


ALERTS = """
rule_files: [rules.yml]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - {series: 'joulegram_meter_joules_total{channel="gone",instance="a"}', values: '0+60x20 1200x60'}
      - {series: 'joulegram_meter_joules_total{channel="well",instance="a"}', values: '0+60x80'}
      - {series: 'joulegram_snapshot_timestamp_seconds{instance="a"}', values: '0+60x80'}
      - {series: 'joulegram_requests_lost_total{instance="a"}', values: '0x39 9x40'}
      - {series: 'joulegram_requests_dropped_total{instance="a"}', values: '0x80'}
    alert_rule_test:
      - {eval_time: 20m, alertname: JoulegramMeterAway}
      - eval_time: 40m
        alertname: JoulegramMeterAway
        exp_alerts:
          - exp_labels: {severity: warning, channel: gone, instance: a}
            exp_annotations:
              summary: The counter of gone has stood still for ten minutes.
              description: No device draws nothing. What requests use meanwhile is not known; joulegram doctor on
                that host says why.
      - {eval_time: 40m, alertname: JoulegramFiguresStale}
      - {eval_time: 38m, alertname: JoulegramRequestsLost}
      - {eval_time: 45m, alertname: JoulegramRequestsDropped}
    promql_expr_test:
      - {expr: 'ALERTS{alertname="JoulegramRequestsLost",alertstate="firing"}', eval_time: 45m, exp_samples:
          [{labels: 'ALERTS{alertname="JoulegramRequestsLost",alertstate="firing",instance="a",severity="warning"}',
            value: 1}]}
  - interval: 1m
    input_series:
      - {series: 'joulegram_carbon_grams_total{part="active",service="s",route="/a"}', values: '0+1x3000'}
      - {series: 'joulegram_request_energy_joules_sum{service="s",route="/a"}', values: '0+60x1500 90060+120x1500'}
      - {series: 'joulegram_request_energy_joules_sum{service="s",route="/b"}', values: '0+60x3000'}
      - {series: 'joulegram_tokens_total{service="s",route="/a"}', values: '0+6x3000'}
      - {series: 'joulegram_tokens_total{service="s",route="/b"}', values: '0+6x3000'}
    promql_expr_test:
      - {expr: 'joulegram:joules_per_token:1h', eval_time: 1400m, exp_samples: [
          {labels: 'joulegram:joules_per_token:1h{service="s",route="/a"}', value: 10},
          {labels: 'joulegram:joules_per_token:1h{service="s",route="/b"}', value: 10}]}
      - {expr: 'sum by (alertname, route) (ALERTS{alertstate="firing"})', eval_time: 900m, exp_samples:
          [{labels: '{alertname="JoulegramCarbonBudgetWillBeSpent"}', value: 1}]}
      - {expr: 'sum by (alertname, route) (ALERTS{alertstate="firing"})', eval_time: 1700m, exp_samples: [
          {labels: '{alertname="JoulegramCarbonBudgetWillBeSpent"}', value: 1},
          {labels: '{alertname="JoulegramCarbonBudgetSpent"}', value: 1},
          {labels: '{alertname="JoulegramJoulesPerTokenRising",route="/a"}', value: 1}]}
"""


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool comes with Prometheus")
def test_prometheus_takes_the_rules_and_alerts_when_it_should(tmp_path: Path) -> None:
    shutil.copy(RULES_PATH, tmp_path / "rules.yml")
    (tmp_path / "alerts.yml").write_text(ALERTS, encoding="utf-8")
    for command in (["check", "rules", "rules.yml"], ["test", "rules", "alerts.yml"]):
        done = subprocess.run(["promtool", *command], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
