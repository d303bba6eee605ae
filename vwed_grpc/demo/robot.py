"""A robot that is not there: what its executor does for each run of the examples."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from vwed.client import BlockFailed, Executor, Run, Step
from vwed.client.executor import Block
from vwed_grpc.demo.actions import Vehicle, act
from vwed_grpc.demo.references import resolve
from vwed_grpc.demo.walk import Body, Turn, Values, walk

_LONG_SECONDS = 5.0
"""Longer actions say how far they are, a quarter at a time."""
_KEPT_SECONDS = 3600.0


def employ(executor: Executor, robot_id: str, *, labels: dict[str, str], speed: float) -> None:
    """Let the executor drive the runs with these labels as a robot would, one after another.

    `speed` is the factor by which actions take their time; 0: none.
    """
    vehicle = Vehicle(robot_id)

    @executor.task(labels=labels)
    async def drive(run: Run) -> Values:
        run.robot_id = robot_id
        await walk(run.blocks, _Drive(run, vehicle, speed).perform)
        return {"robot_id": robot_id, "battery_percent": vehicle.battery_percent}


@dataclass(frozen=True)
class _Drive:
    """One run in the hands of one robot."""

    run: Run
    vehicle: Vehicle
    speed: float

    async def perform(self, step: Step, turn: Turn, body: Body | None) -> None:
        inputs = await resolve(step.inputs, partial(self._look_up, turn.item))
        save, fault = inputs.pop("save", {}), inputs.pop("fault", None)
        # There is none if an earlier executor of the run has done the block.
        async for attempt in self.run.attempts(step, 1, iteration=turn.iteration, inputs=inputs):
            async with attempt as block:
                output = await (body(inputs) if body else self._act(block))
                if fault and self.run.record.attempt == 1:
                    raise BlockFailed(fault["error_code"], fault["message"])
                for key, field in save.items():
                    await self.run.cache.set(key, output[field], ttl=_KEPT_SECONDS)
                block.output = output

    async def _act(self, block: Block) -> Values:
        outcome = act(block.type, self.vehicle, block.inputs)
        quarters = 4 if outcome.seconds > _LONG_SECONDS else 1
        for quarter in range(1, quarters + 1):
            await asyncio.sleep(outcome.seconds / quarters * self.speed)
            if quarter < quarters:
                block.progress(quarter / quarters, f"电量 {self.vehicle.battery_percent} %")
        return outcome.output

    async def _look_up(self, item: Any, root: str, path: Sequence[str]) -> Any:
        """What `{{root.path}}` stands for in a block; raises BlockFailed if for nothing."""
        value: Any = {"input": self.run.input, "item": item}
        if root == "cache" and path and (kept := await self.run.cache.get(path[0])) is not None:
            value["cache"] = {path[0]: kept}
        for name in (root, *path):
            if not isinstance(value, Mapping) or name not in value:
                raise BlockFailed("MISSING_VALUE", f"{'.'.join([root, *path])} has no value")
            value = value[name]
        return value
