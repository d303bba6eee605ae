"""What the blocks of the examples do to a robot, and what they would measure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import hypot
from typing import Any, NamedTuple
from zlib import crc32

from vwed_grpc.demo.walk import Values

Inputs = Mapping[str, Any]


@dataclass
class Vehicle:
    """A robot on the floor: where it is, and what is left of its battery."""

    robot_id: str
    station: str = "CHARGE-01"
    battery_percent: float = 96.0

    def use(self, percent: float) -> float:
        """What is left of the battery; a flat one is changed."""
        left = self.battery_percent - percent
        self.battery_percent = round(left if left > 5 else 96.0, 2)  # noqa: PLR2004 - percent
        return self.battery_percent


class Outcome(NamedTuple):
    """How long a block takes, and its output."""

    seconds: float
    output: Values


def act(block_type: str, vehicle: Vehicle, inputs: Inputs) -> Outcome:
    """Do a block as a robot on a real floor would; unknown types do nothing."""
    action = _ACTIONS.get(block_type)
    return action(vehicle, inputs) if action else Outcome(0.5, {})


def position(station: str) -> dict[str, float]:
    """Where a station is: metres on a floor of 60 by 40, degrees."""
    place = _measure(station)
    return {"x": place % 600 / 10, "y": place // 600 % 400 / 10, "theta": place % 4 * 90.0}


def _measure(*things: Any) -> int:
    # The same scales for the same things: a repeated run weighs what it weighed before.
    return crc32(repr(things).encode())


def _distance(start: str, goal: str) -> float:
    a, b = position(start), position(goal)
    return round(hypot(a["x"] - b["x"], a["y"] - b["y"]), 1)


def _choose_robot(vehicle: Vehicle, inputs: Inputs) -> Outcome:
    near = inputs.get("near", vehicle.station)
    return Outcome(
        1.0,
        {
            "robot_id": vehicle.robot_id,
            "group": inputs.get("group", "any"),
            "battery_percent": vehicle.battery_percent,
            "distance_m": _distance(vehicle.station, near),
        },
    )


def _drive(vehicle: Vehicle, inputs: Inputs) -> Outcome:
    start, goal = vehicle.station, inputs["to"]
    distance = _distance(start, goal)
    seconds = round(distance / inputs.get("max_speed_mps", 1.2) + 2, 1)  # 2 s to speed up and brake
    vehicle.station = goal
    return Outcome(
        seconds,
        {
            "from": start,
            "to": goal,
            "position": position(goal),
            "distance_m": distance,
            "duration_s": seconds,
            "battery_percent": vehicle.use(distance * 0.02),
        },
    )


def _lift(vehicle: Vehicle, inputs: Inputs) -> Outcome:
    load = _measure("pallet", vehicle.station)
    return Outcome(
        4.0,
        {
            "pallet_id": f"PLT-{load % 100_000:05}",
            "weight_kg": 18 + load % 4_000 / 10,
            "height_mm": inputs["height_mm"],
            "battery_percent": vehicle.use(0.1),
        },
    )


def _put_down(vehicle: Vehicle, inputs: Inputs) -> Outcome:
    return Outcome(
        4.0,
        {
            "pallet_id": inputs["pallet_id"],
            "station": vehicle.station,
            "position": position(vehicle.station),
            "battery_percent": vehicle.use(0.1),
        },
    )


def _detect_pallet(vehicle: Vehicle, _inputs: Inputs) -> Outcome:
    seen = _measure("camera", vehicle.station)
    return Outcome(
        2.0,
        {"angle_deg": seen % 40 / 10, "offset_mm": seen % 25, "confidence": 0.9 + seen % 99 / 1000},
    )


def _scan(_vehicle: Vehicle, inputs: Inputs) -> Outcome:
    return Outcome(1.0, {"code": inputs["code"], "symbology": "CODE128", "grade": "A"})


def _pick(_vehicle: Vehicle, inputs: Inputs) -> Outcome:
    each = 0.05 + _measure(inputs["sku"]) % 900 / 1000
    return Outcome(
        3.0,
        {
            "sku": inputs["sku"],
            "quantity": inputs["quantity"],
            "weight_kg": round(each * inputs["quantity"], 3),
        },
    )


def _weigh(_vehicle: Vehicle, inputs: Inputs) -> Outcome:
    deviation = _measure(inputs["tote_id"]) % 30 / 1000
    return Outcome(
        1.5,
        {
            "weight_kg": round(1.9 + inputs["expected_kg"] + deviation, 3),
            "tare_kg": 1.9,
            "deviation_kg": deviation,
        },
    )


def _pick_by_light(_vehicle: Vehicle, inputs: Inputs) -> Outcome:
    outcome = _pick(_vehicle, inputs)
    return Outcome(4.0, outcome.output | {"slot": inputs["slot"], "picker": "P-17"})


def _report_to_wms(vehicle: Vehicle, inputs: Inputs) -> Outcome:
    receipt = _measure(inputs["event"], inputs["text"], vehicle.robot_id)
    return Outcome(0.5, {"http_status": 200, "receipt": f"RCPT-{receipt:010}"})


_ACTIONS: dict[str, Callable[[Vehicle, Inputs], Outcome]] = {
    "choose_robot": _choose_robot,
    "drive": _drive,
    "lift": _lift,
    "put_down": _put_down,
    "detect_pallet": _detect_pallet,
    "scan": _scan,
    "pick": _pick,
    "weigh": _weigh,
    "pick_by_light": _pick_by_light,
    "report_to_wms": _report_to_wms,
}
