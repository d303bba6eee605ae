"""The calls of docs/definitions.md, as they are pasted: a definition's whole life."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

from tests.support.pages import texts
from tests.support.process import ENVIRONMENT, Process

PAGE = "docs/definitions.md"


def test_the_calls_work_as_they_are_pasted(shared: Process, tmp_path: Path) -> None:
    said = [paste(block, shared, tmp_path) for block in texts(PAGE, "sh")]
    drawn, templated, moved, ended = [answers(output) for output in said]

    created, enabled, updated, versions, first, diff, rolled_back = drawn
    assert (created["version"], created["status"]) == (1, "TASK_DEF_STATUS_DRAFT")
    assert enabled["status"] == "TASK_DEF_STATUS_ENABLED"
    assert (updated["version"], updated["created_by"]) == (2, "ann")
    assert [each["version"] for each in versions["task_def_versions"]] == [2, 1]
    assert versions["task_def_versions"][0]["change_note"] == "lift at the end"
    assert first["config"] == created["config"]
    assert [(c["kind"], c["path"]) for c in diff["changes"]] == [
        ("KIND_ADDED", "config.blocks[lift]")
    ]
    assert (rolled_back["version"], rolled_back["config"]) == (3, created["config"])

    template, instance, listed = templated
    assert template["version"] == 1
    assert instance["config"] == {
        "priority": 5,
        "blocks": [
            {
                "id": "drive",
                "type": "drive",
                "name": "to P-07",
                "inputs": {"target": "P-07", "speed": 1.5},
            }
        ],
    }
    assert (instance["task_template_id"], instance["task_type"]) == ("to-station", "delivery")
    assert listed["task_defs"] == [instance]

    lines = [json.loads(line) for line in (tmp_path / "site.jsonl").read_text().splitlines()]
    assert {line["task_def"]["id"] for line in lines if "task_def" in line} >= {
        "shuttle",
        "to-p-07",
    }
    assert moved == []
    for line in said[2].splitlines():
        assert re.fullmatch(r"created 0, updated 0, skipped [1-9]\d*, errors 0", line)

    disabled, deleted, read, listed, back, enabled = ended
    assert disabled["status"] == "TASK_DEF_STATUS_DISABLED"
    assert read == deleted
    assert "delete_time" in deleted
    assert "shuttle" in {each["id"] for each in listed["task_defs"] if "delete_time" in each}
    assert "delete_time" not in back
    assert (back["version"], back["config"]) == (3, created["config"])
    assert enabled["status"] == "TASK_DEF_STATUS_ENABLED"


def paste(block: str, server: Process, where: Path) -> str:
    """Runs a block in a shell that stops at the first command that fails; answers what it says."""
    done = subprocess.run(
        "set -eo pipefail; D=vwed.v1.TaskDefService\n"
        + block.replace("127.0.0.1:50051", server.address),
        shell=True,
        executable="/bin/bash",
        cwd=where,
        env=ENVIRONMENT | {"VWED_TARGET": server.address},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def answers(output: str) -> list[Any]:
    """The messages that grpcurl printed, one after another."""
    return [
        json.loads(text) for text in re.findall(r"^\{$.*?^\}$", output, re.DOTALL | re.MULTILINE)
    ]
