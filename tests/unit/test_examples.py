from collections.abc import Sequence
from typing import Any

import pytest
from vwed.v1.task_def_pb2 import TaskDef

from vwed.client import Step, as_dict
from vwed.client.executor.steps import steps_of
from vwed_grpc.demo import examples
from vwed_grpc.demo.actions import Vehicle, act
from vwed_grpc.demo.references import resolve
from vwed_grpc.demo.walk import Body, Turn, walk
from vwed_grpc.domain.config_tree import config_problems
from vwed_grpc.domain.json_value import struct_problems
from vwed_grpc.domain.run_input import complete_input

DEFINITIONS = {request.task_def.id: request.task_def for request in examples.definitions()}
RUNS = {run.task_record.task_def_id: run for run in examples.runs()}


class DryRun:
    """Does the blocks' actions with a dict for the data cache; takes no time."""

    def __init__(self, run_input: dict[str, Any]) -> None:
        self._input = run_input
        self._cache: dict[str, Any] = {}
        self._vehicle = Vehicle("AMB-01")
        self.leaves: list[str] = []

    async def perform(self, step: Step, turn: Turn, body: Body | None) -> None:
        async def look_up(root: str, path: Sequence[str]) -> Any:
            value: Any = {"input": self._input, "item": turn.item, "cache": self._cache}[root]
            for name in path:
                value = value[name]
            return value

        inputs = await resolve(step.inputs, look_up)
        if body:
            await body(inputs)
            return
        outcome = act(step.type, self._vehicle, inputs)
        assert outcome.output, f"{step.type} is not a type that robots know"
        assert outcome.seconds > 0
        for key, field in inputs.get("save", {}).items():
            self._cache[key] = outcome.output[field]
        self.leaves.append(" ".join(filter(None, [step.id, turn.iteration])))


async def leaves(definition: TaskDef) -> list[str]:
    run_input = RUNS[definition.id].task_record.input
    complete_input(definition.config, run_input)
    dry_run = DryRun(as_dict(run_input))
    await walk(steps_of(definition), dry_run.perform)
    return dry_run.leaves


@pytest.mark.parametrize("definition_id", DEFINITIONS)
def test_configs_are_well_formed(definition_id: str) -> None:
    config = DEFINITIONS[definition_id].config
    assert not struct_problems(config, "config")
    assert not config_problems(config, "config")


def test_template_config_is_well_formed() -> None:
    assert not config_problems(examples.template().task_template.config, "config")
    assert examples.instance().id == examples.template().task_template.id


def test_every_definition_has_a_run() -> None:
    assert set(RUNS) == {*DEFINITIONS, examples.instance().task_def.id}


async def test_empty_pallet_is_delivered_in_order() -> None:
    assert await leaves(DEFINITIONS["demo-empty-pallet-delivery"]) == [
        "choose_robot",
        "drive_to_shelf",
        "lift_pallet",
        "drive_to_station",
        "put_down_pallet",
        "report_to_wms",
    ]


async def test_parallel_pick_goes_through_every_line_of_every_tote() -> None:
    visited = await leaves(DEFINITIONS["demo-parallel-pick"])
    lights = ["pick_by_light 1", "pick_by_light 2"]
    assert [leaf for leaf in visited if leaf in lights] == lights
    assert [leaf for leaf in visited if leaf not in lights] == [
        "choose_robot",
        "bind_tote 1",
        "drive_to_slot 1.1",
        "pick_line 1.1",
        "drive_to_slot 1.2",
        "pick_line 1.2",
        "weigh_tote 1",
        "bind_tote 2",
        "drive_to_slot 2.1",
        "pick_line 2.1",
        "drive_to_slot 2.2",
        "pick_line 2.2",
        "drive_to_slot 2.3",
        "pick_line 2.3",
        "weigh_tote 2",
        "drive_to_pack",
        "report_to_wms",
    ]


async def test_putaway_meets_its_fault_halfway() -> None:
    definition = DEFINITIONS["demo-inbound-putaway"]
    visited = await leaves(definition)
    assert visited == [
        "choose_robot",
        "drive_to_dock",
        "detect_pallet",
        "lift_pallet",
        "drive_to_slot",
        "put_down_pallet",
        "report_to_wms",
    ]
    assert examples.fault(definition) == "PALLET_ASKEW"


def test_only_the_putaway_has_a_fault() -> None:
    faulty = [name for name, definition in DEFINITIONS.items() if examples.fault(definition)]
    assert faulty == ["demo-inbound-putaway"]
