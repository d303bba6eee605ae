"""The dashboard and the alerts ask for what the page of a real server has."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # has no types
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from vwed.v1.record_service_pb2 import ListTaskRecordsRequest

from tests.support.metrics_page import ask, free_address
from tests.support.process import Process
from vwed.client import connect

ROOT = Path(__file__).parents[2]
DASHBOARD = ROOT / "deploy" / "grafana" / "vwed-grpc.json"
ALERTS = ROOT / "deploy" / "alerts.yml"
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
TROUBLESHOOTING = (ROOT / "docs" / "troubleshooting.md").read_text()

PROMTOOL = shutil.which("promtool")

_NAME = re.compile(r"\bvwed_[a-z_]+")
_SELECTED = re.compile(r"\b(vwed_[a-z_]+)\{([^}]*)\}")
_GROUPED = re.compile(r"\b(?:by|on|ignoring) \(([^)]*)\)")
ASKED_FOR: Mapping[str, Mapping[str, set[str]]] = {
    "rate and errors": {"vwed_calls_total": {"service", "method", "code"}},
    "duration": {"vwed_call_seconds_bucket": {"service", "method"}},
    "open calls": {"vwed_open_calls": {"class"}},
    "open streams": {"vwed_open_streams": {"class"}},
    "refusals by limit": {"vwed_refused_calls_total": {"reason"}},
    "depth of queues": {
        "vwed_queued_calls": {"class"},
        "vwed_queued_writes": {"kind"},
        "vwed_queued_connections": {"pool"},
    },
    "flushes": {"vwed_flush_size_bucket": {"kind"}, "vwed_flush_seconds_bucket": {"kind"}},
    "waits for connections": {
        "vwed_connection_waits_total": {"pool"},
        "vwed_connection_wait_seconds_total": {"pool"},
    },
    "lag of the tail": {"vwed_tail_lag_seconds_bucket": set()},
    "catch-ups": {"vwed_catch_up_reads_total": set(), "vwed_catch_ups_waiting": set()},
    "leases": {"vwed_lease_expiries_total": set(), "vwed_lease_renewals_total": set()},
    "runs that wait": {"vwed_oldest_pending_run_seconds": {"tenant", "task_type"}},
    "duties": {"vwed_duty_last_success_seconds": {"duty"}, "vwed_duty_failures_total": {"duty"}},
    "cache": {
        "vwed_cache_hits_total": set(),
        "vwed_cache_misses_total": set(),
        "vwed_redis_breaker": {"state"},
    },
    "lag of the loop": {"vwed_loop_lag_seconds_bucket": set()},
    "disk": {"vwed_disk_free_bytes": set(), "vwed_disk_size_bytes": set()},
}
"""By what they want to see: the metrics that show it, and their labels."""
_OF_PROMETHEUS = {"job", "instance", "le"}
"""Labels that come with every scrape, or with a histogram."""


def queries() -> Iterator[tuple[str, str]]:
    """Where each stands, and the query."""
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", ()):
            yield f"panel {panel['title']!r}", target["expr"]
    for rule in alerts():
        yield f"alert {rule['alert']}", rule["expr"]


def alerts() -> list[dict[str, Any]]:
    return [
        rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]
    ]


@pytest.fixture(scope="module")
def page() -> str:
    return free_address()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, page: str) -> Iterator[Process]:
    process = Process(tmp_path_factory.mktemp("sight") / "data", "--metrics-listen", page)
    process.start()
    try:
        yield process
    finally:
        process.close()


async def metrics_of(page: str) -> Mapping[str, Metric]:
    """By the names that queries have for their samples."""
    _, text = await ask(page)
    found = {}
    for metric in text_string_to_metric_families(text):
        suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
        for suffix in suffixes.get(metric.type, ("",)):
            found[metric.name + suffix] = metric
    return found


async def test_each_query_asks_for_metrics_and_labels_that_there_are(
    server: Process, page: str
) -> None:
    async with connect(server.address, bare=True) as client:
        await client.records.ListTaskRecords(ListTaskRecordsRequest())
    metrics = await metrics_of(page)
    asked = list(queries())
    assert len(asked) > 30
    labels = {
        name: {label for sample in metric.samples for label in sample.labels}
        for name, metric in metrics.items()
    }
    # What has no samples yet: its labels stand in the table of the docs.
    labels = {name: of or documented_labels(name) for name, of in labels.items()}
    for where, query in asked:
        names = set(_NAME.findall(query))
        assert names, f"{where}: {query}"
        assert names <= metrics.keys(), f"{where}: no {names - metrics.keys()}"
        for name, selectors in _SELECTED.findall(query):
            used = {one.partition("=")[0].strip(" !") for one in selectors.split(",")}
            assert used <= labels[name] | _OF_PROMETHEUS, f"{where}: {name} has {labels[name]}"
        grouped = {label.strip() for one in _GROUPED.findall(query) for label in one.split(",")}
        of_query = set[str]().union(*(labels[name] for name in names))
        assert grouped <= of_query | _OF_PROMETHEUS, f"{where}: {grouped - of_query}"


def documented_labels(name: str) -> set[str]:
    name = re.sub("_(bucket|sum|count)$", "", name)
    found = re.search(rf"`{re.escape(name)}\{{([a-z_, ]+)\}}`", OPERATIONS)
    return set(found[1].replace(" ", "").split(",")) if found else set()


@pytest.mark.parametrize("what", ASKED_FOR)
async def test_the_page_has_what_operators_ask_for(server: Process, page: str, what: str) -> None:
    metrics = await metrics_of(page)
    for name, labels in ASKED_FOR[what].items():
        assert documented_labels(name) == labels
        for sample in metrics[name].samples:
            assert sample.labels.keys() - {"le"} == labels, name


async def test_the_docs_have_a_line_for_each_metric(server: Process, page: str) -> None:
    _, text = await ask(page)
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            name = line.split(" ")[2]
            assert re.search(rf"^\| .*`{name}[`{{]", OPERATIONS, re.MULTILINE), name


@pytest.mark.skipif(not PROMTOOL, reason="no promtool: `apt-get install prometheus` brings it")
def test_prometheus_takes_each_query(tmp_path: Path) -> None:
    rules = [
        {"record": f"query{n}", "expr": query.replace("$__rate_interval", "5m")}
        for n, (_, query) in enumerate(queries())
    ]
    (tmp_path / "queries.yml").write_text(
        json.dumps({"groups": [{"name": "queries", "rules": rules}]})  # which is YAML, too
    )
    for file in (ALERTS, tmp_path / "queries.yml"):
        done = subprocess.run(
            [str(PROMTOOL), "check", "rules", str(file)], capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()


def test_each_alert_says_how_bad_it_is_and_what_to_look_at() -> None:
    for rule in alerts():
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert set(rule["annotations"]) == {"summary", "description"}
        assert f"`{rule['alert']}`" in TROUBLESHOOTING, rule["alert"]


def test_the_panels_do_not_cover_each_other() -> None:
    taken = set[tuple[int, int]]()
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
