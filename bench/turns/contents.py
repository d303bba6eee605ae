"""Values as large as the contract allows: up to 1 MiB, 50,000 nodes, 2,000 blocks, 4 MiB a call."""

from typing import Any

from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct
from vwed.v1.block_record_pb2 import BlockRecord, BlockRecordStatus

RUNNING = BlockRecordStatus.BLOCK_RECORD_STATUS_RUNNING
SUCCEEDED = BlockRecordStatus.BLOCK_RECORD_STATUS_SUCCEEDED


def struct(content: dict[str, Any]) -> Struct:
    return ParseDict(content, Struct())


def blocks(shift: int = 0, *, parameter: str = "") -> Struct:
    """A config of 2,000 blocks in a hundred lists, 48,000 nodes, nearly 1 MiB.

    With another `shift` each block has other inputs, and stands in another list.
    """

    def block(n: int) -> dict[str, Any]:
        inputs: dict[str, Any] = {f"k{m:02}": n * m + shift for m in range(18)}
        if parameter:
            inputs["k00"] = f"${{params.{parameter}}}"
        return {"id": f"block-{n:05}", "type": "drive", "name": f"to {n + shift}", "inputs": inputs}

    def branch(n: int) -> list[dict[str, Any]]:
        return [block((n + 100 * m + shift * 137) % 1_900 + 100) for m in range(19)]

    return struct({"blocks": [block(n) | {"children": {"default": branch(n)}} for n in range(100)]})


def numbers(count: int = 49_990) -> Struct:
    return struct({"values": [float(n) + 0.5 for n in range(count)]})


def small(n: int, members: int = 40) -> Struct:
    """Some 40 members, 0.8 KB."""
    return struct({f"m{m:02}": n * m for m in range(members)})


def schemas() -> dict[str, dict[str, Any]]:
    """Valid ones that are heavy in one thing each."""
    return {
        "minimum": {"properties": {f"p{n:04}": {"minimum": 1e-300} for n in range(1_990)}},
        "maximum": {"properties": {f"p{n:04}": {"maximum": 1.1e300} for n in range(1_990)}},
        "multipleOf": {"properties": {f"p{n:04}": {"multipleOf": 1e-300} for n in range(1_990)}},
        "const": {"properties": {f"p{n:04}": {"const": 1e-300} for n in range(1_990)}},
        "several": {
            "properties": {
                f"p{n:04}": {
                    "minimum": 1e-300,
                    "exclusiveMinimum": 1e-300,
                    "maximum": 1.1e300,
                    "exclusiveMaximum": 1.1e300,
                    "multipleOf": 1e-300,
                    "const": 1e-300,
                    "enum": [1e-300, 1e-301, 1e-302],
                }
                for n in range(1_990)
            }
        },
        "enum": {"properties": {"a": {"enum": [n + 0.5 for n in range(40_000)]}}},
        "enum of texts": {"properties": {"a": {"enum": [f"choice {n}" for n in range(49_000)]}}},
        "enum of objects": {"properties": {"a": {"enum": [{"a": n} for n in range(20_000)]}}},
        "required": {"required": [f"name {n}" for n in range(49_000)]},
        "names": {"properties": {f"name {n:05}": True for n in range(45_000)}},
        "patterns": {"properties": {f"p{n}": {"pattern": f"^{n}.{{1,150}}$"} for n in range(99)}},
        "any of": {
            "properties": {
                "a": {"anyOf": [{"type": "object", "required": [f"n{n}"]} for n in range(990)]}
            }
        },
        "defaults": {
            "properties": {
                f"p{n:04}": {"type": "number", "minimum": 0.5, "default": 1} for n in range(1_900)
            }
        },
        "description": {"description": "x" * 1_000_000},
        "examples": {"examples": [{"a": [n, n, n]} for n in range(9_000)]},
    }


def reports(round_: int, count: int = 1_000) -> list[BlockRecord]:
    """Blocks with inputs and outputs, together 3 MiB."""
    return [
        BlockRecord(
            block_id=f"b{round_}-{n}",
            block_type="drive",
            name=f"block {n}",
            status=RUNNING,
            input_data=small(n + round_),
            output_data=small(n + round_ + 1),
        )
        for n in range(count)
    ]
