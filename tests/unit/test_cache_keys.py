"""Keys of the cache: short, and never the same for two things, nor for two releases."""

from collections.abc import Iterator
from hashlib import blake2b

from google.protobuf.descriptor import Descriptor
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot
from vwed.v1.data_cache_pb2 import DataCache
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_record_pb2 import TaskRecord
from vwed.v1.task_template_pb2 import TaskTemplate

from vwed_grpc.cache.keys import GENERATION, KeySpace, escape

names = st.lists(
    st.text(alphabet=st.sampled_from("a:%{}25A37BDé\n"), max_size=4), min_size=2, max_size=4
)


@given(names, names)
def test_different_names_have_different_keys(one: list[str], other: list[str]) -> None:
    space = KeySpace(1, "db")
    assert (space.key(*one) == space.key(*other)) == (one == other)


@given(names)
def test_spaces_are_apart(name: list[str]) -> None:
    spaces = [(1, "db"), (2, "db"), (1, "db:def"), (1, "")]
    assert len({KeySpace(*space).key(*name) for space in spaces}) == len(spaces)


def test_a_key_can_be_read() -> None:
    key = KeySpace(3, "7f3a").key("entry", "plant-1", "run:1", "größe")
    assert key == "vwed:3:{7f3a:plant-1}:entry:run%3A1:größe"


@given(names, names)
def test_keys_of_a_tenant_have_one_slot(one: list[str], other: list[str]) -> None:
    space, tenant = KeySpace(1, "db}"), one[1]
    slots = {key_slot(space.key(kind, tenant, *rest).encode()) for kind, _, *rest in (one, other)}
    assert slots == {key_slot(f"db%7D:{escape(tenant)}".encode())}


STORED = [m.DESCRIPTOR for m in (TaskDef(), TaskTemplate(), TaskRecord(), DataCache())]
"""What stands serialized under the keys."""


def fields(message: Descriptor, seen: set[str]) -> Iterator[str]:
    """Every field in it, at any depth."""
    seen.add(message.full_name)
    for field in message.fields:
        yield f"{field.full_name} {field.number} {field.type} {field.is_repeated}"
        if field.message_type is not None and field.message_type.full_name not in seen:
            yield from fields(field.message_type, seen)


def test_other_messages_are_another_generation() -> None:
    """A release whose messages have other fields must not read what another one has stored.

    If this fails, raise GENERATION, and write here what is now.
    """
    seen: set[str] = set()
    shape = "\n".join(line for kind in STORED for line in sorted(fields(kind, seen)))
    assert (GENERATION, blake2b(shape.encode(), digest_size=4).hexdigest()) == (1, "31e47921")
