"""Templates: placeholders, and the configs that are made of them."""

from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.waiting import cheaply
from vwed_grpc.domain.errors import InvalidArgument, Violation
from vwed_grpc.domain.json_convert import to_value
from vwed_grpc.domain.templates import (
    instantiate,
    instantiate_serialized,
    problems_of_serialized,
    template_problems,
)

ANY: dict[str, Any] = {"properties": {name: {} for name in ("a", "b", "名 前", "x.y")}}


def struct(content: dict[str, Any]) -> Struct:
    value = to_value(content)
    value.struct_value.SetInParent()
    return value.struct_value


def made(
    config: dict[str, Any],
    parameters: dict[str, Any],
    overrides: dict[str, Any] | None = None,
    schema: dict[str, Any] = ANY,
) -> Any:
    messages = [struct(config), struct(schema), struct(parameters), struct(overrides or {})]
    assert template_problems(messages[0], messages[1], "t") == []
    result = instantiate(*messages)
    assert messages == [struct(config), struct(schema), struct(parameters), struct(overrides or {})]
    return MessageToDict(result)


def refused(*arguments: Any, **more: Any) -> list[tuple[str, str]]:
    with pytest.raises(InvalidArgument) as raised:
        made(*arguments, **more)
    return [(v.field, v.description) for v in raised.value.violations]


def problems(config: dict[str, Any], schema: dict[str, Any]) -> list[str]:
    found = template_problems(struct(config), struct(schema), "task_template")
    return [problem.field for problem in found]


@pytest.mark.parametrize(
    "value", ["text", "", 3, 0.5, -2, True, None, [1, ["x"]], {"k": {}}, [], {}, "${params.b}"]
)
def test_a_whole_string_becomes_the_typed_value(value: Any) -> None:
    config = {"k": "${params.a}", "list": [["${params.a}"]]}
    assert made(config, {"a": value}) == {"k": value, "list": [[value]]}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("é ${params.b} $", "é ${params.b} $"),
        ("", ""),
        (3.0, "3"),
        (-0.25, "-0.25"),
        (1e300, "1e+300"),
        (True, "true"),
        (False, "false"),
        (None, "null"),
        ({"b": [1, "é"], "a": None}, '{"a":null,"b":[1,"é"]}'),
        ([], "[]"),
    ],
)
def test_inside_a_text_it_becomes_text(value: Any, text: str) -> None:
    assert made({"k": "<${params.a}>${params.a}"}, {"a": value}) == {"k": f"<{text}>{text}"}


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("${params.名 前}-${params.x.y}", "1-2"),
        ("$${params.a}", "${params.a}"),
        ("$$${params.a}", "$${params.a}"),
        ("$${params.nothing such}${params.a}", "${params.nothing such}A"),
        ("$${params.${params.a}", "${params.${params.a}"),
        ("$ ${params.a}$", "$ A$"),
        ("${params.a", "${params.a"),
        ("${params}", "${params}"),
        ("${ params.a }", "${ params.a }"),
        ("$params.a", "$params.a"),
        ("${params.a}}", "A}"),
        ("${params.a}$", "A$"),
    ],
)
def test_what_is_a_placeholder(text: str, filled: str) -> None:
    assert made({"k": text}, {"a": "A", "名 前": 1, "x.y": 2}) == {"k": filled}


def test_keys_are_not_substituted() -> None:
    assert made({"${params.a}": 1, "${params.no}": 2}, {"a": "A"}) == {
        "${params.a}": 1,
        "${params.no}": 2,
    }


def test_a_placeholder_must_be_a_property_of_the_schema() -> None:
    config = {
        "blocks": [{"inputs": {"target": "${params.target}"}}, "to ${params.a} ${params.}"],
        "x": ["${params.a}", "$${params.free}", "${params.${params.a}}"],
    }
    schema: dict[str, Any] = {"properties": {"a": {"properties": {"target": {}}}}}
    assert sorted(problems(config, schema)) == [
        "task_template.config.blocks[0].inputs.target",
        "task_template.config.blocks[1]",
        "task_template.config.x[2]",
    ]
    assert problems({"k": "${params.a}"}, {}) == ["task_template.config.k"]
    assert len(problems({"k": ["${params.a}"] * 101}, {})) == 100
    long = struct({"k": f"${{params.{'x' * 129}}}"})
    description = f"{'x' * 128!r} is not a property of the schema"
    assert template_problems(long, Struct(), "t") == [Violation("t.config.k", description)]


def test_problems_of_the_schema_and_of_the_config_at_once() -> None:
    schema = {"properties": {"speed": {"pattern": "(?=a)"}}}
    assert problems({"a": ["${params.zone}"]}, schema) == [
        "task_template.parameters_schema.properties.speed.pattern",
        "task_template.config.a[0]",
    ]


def test_a_templates_config_need_not_be_a_tree_yet() -> None:
    config = {"blocks": "${params.a}", "inputs": [{"name": "${params.b}", "type": "string"}]}
    blocks = [{"id": "a", "type": "move"}]
    assert made(config, {"a": blocks, "b": "n"}) == {
        "blocks": blocks,
        "inputs": [{"name": "n", "type": "string"}],
    }
    assert refused(config, {"a": [{"id": "a"}], "b": ""}) == [
        ("config.inputs[0].name", "must be a string that is not empty"),
        ("config.blocks[0].type", "must be a string of 1 to 128 characters"),
    ]


def test_overrides_are_merged_last_and_then_the_config_is_checked() -> None:
    config = {"a": "${params.a}", "b": {"c": 1, "d": 2}}
    assert made(config, {"a": 1}, {"a": "${params.b}", "b": {"c": None}}) == {
        "a": "${params.b}",
        "b": {"d": 2},
    }
    assert refused(config, {"a": 1}, {"blocks": 1}) == [("config.blocks", "must be a list")]


def test_what_lacks_or_does_not_fit_is_named_at_once() -> None:
    config = {
        "b": ["${params.b} ${params.a}"],
        "x": "${params.c}",
        "y": "${params.d}",
        "z": "${params.a}",
    }
    schema = {
        "properties": {"a": {}, "b": {"type": "string"}, "c": {}, "d": {}},
        "required": ["d"],
    }
    assert refused(config, {"b": 1}, schema=schema) == [
        ("parameters.b", 'is not of type "string"'),
        ("parameters.d", "is required"),
        ("parameters.a", "is needed for config.b[0]"),
        ("parameters.a", "is needed for config.z"),
        ("parameters.c", "is needed for config.x"),
    ]


def test_what_came_in_is_measured_whatever_else_comes_in_later() -> None:
    deep: Any = "x"
    for _ in range(28):
        deep = [deep]
    config = {"l": [{"k": "${params.n}"}, {"y": {"z": "${params.deep}"}}]}
    schema: dict[str, Any] = {"properties": {"n": {}, "deep": {}}}
    [(_, problem)] = refused(config, {"n": 1, "deep": deep}, schema=schema)
    assert problem == "nests deeper than 30 levels"


def test_members_are_sorted_in_text() -> None:
    schema = {"properties": {"p": {"properties": {"a": {"default": 1}}}}}
    assert made({"x": "at ${params.p}"}, {"p": {"b": 2}}, schema=schema) == {
        "x": 'at {"a":1,"b":2}'
    }


def test_defaults_fill_placeholders() -> None:
    schema = {"properties": {"a": {"default": [1]}}}
    assert made({"k": "${params.a}"}, {}, schema=schema) == {"k": [1]}


def test_serialized_arguments_give_the_same() -> None:
    contents: list[dict[str, Any]] = [{"k": "${params.a}"}, ANY, {"a": 1}, {"l": 2}]
    config, *others = (struct(content).SerializeToString() for content in contents)
    result = Struct.FromString(instantiate_serialized(config, *others))
    assert MessageToDict(result) == {"k": 1, "l": 2}
    assert problems_of_serialized(config, others[0], "t") == []
    [problem] = problems_of_serialized(config, b"", "t")
    assert problem.field == "t.config.k"


LARGE = "x" * 1_000_000


@pytest.mark.parametrize(
    ("config", "a"),
    [
        ({"k": ["${params.a}"] * 10_000}, LARGE),
        ({"k": ["${params.a}"] * 10_000}, [LARGE]),
        ({"k": "${params.a}" * 10_000}, LARGE),
        ({"k": "${params.a}" * 10_000}, [LARGE]),
        ({"k": [f"{n}${{params.a}}" for n in range(10_000)]}, LARGE),
        ({"k": ["${params.a}"] * 1_000}, [[None] * 20] * 1_000),
    ],
)
def test_a_result_that_is_too_large_is_refused_early(config: dict[str, Any], a: Any) -> None:
    def work() -> None:
        assert refused(config, {"a": a}) == [("config", "is larger than 1,048,576 bytes")]

    cheaply(work, below=1)


def test_placeholders_that_are_never_closed_are_looked_at_once() -> None:
    config = {"k": "${params." * 100_000}

    def work() -> None:
        assert made(config, {}) == config

    cheaply(work, below=1)


def test_what_comes_in_obeys_the_limits_of_json() -> None:
    deep: Any = 1
    for _ in range(29):
        deep = [deep]
    assert made({"k": "${params.a}"}, {"a": deep})
    assert refused({"k": {"k": "${params.a}"}}, {"a": deep})[0][1] == "nests deeper than 30 levels"
    assert refused({"k": ["${params.a}"] * 2}, {"a": LARGE}) == [
        ("config", "is larger than 1,048,576 bytes")
    ]
    many = [None] * 20_000
    assert refused({"k": ["${params.a}"] * 3}, {"a": many}) == [
        ("config", "has more than 50,000 values")
    ]
    assert refused({"k": LARGE}, {}, {"l": LARGE}) == [("config", "is larger than 1,048,576 bytes")]


def nested(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("kl"), inner, max_size=2)
        ),
        max_leaves=6,
    )


JSON = nested(st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["", "a", "$}{"]))
TEXTS = st.lists(
    st.sampled_from(
        ["${params.a}", "$${params.b}", "${params.b}", "$", "{", "}", "-", "${params."]
    ),
    max_size=4,
).map("".join)
CONFIGS = st.dictionaries(st.sampled_from("kl"), nested(TEXTS), max_size=2)


def replaced(json: Any, parameters: dict[str, Any]) -> Any:
    """The same as a walk over Python values, for texts without a typed value inside."""
    match json:
        case "${params.a}" | "${params.b}":
            return parameters[json[-2]]
        case dict():
            return {key: replaced(value, parameters) for key, value in json.items()}
        case list():
            return [replaced(value, parameters) for value in json]
        case _:
            return json


@settings(max_examples=60)
@given(CONFIGS, JSON, JSON, st.dictionaries(st.sampled_from("kl"), JSON))
def test_instantiating_is_deterministic(
    config: dict[str, Any], a: Any, b: Any, overrides: dict[str, Any]
) -> None:
    arguments = struct(config), struct(ANY), struct({"a": a, "b": b}), struct(overrides)
    if template_problems(*arguments[:2], "t"):
        return  # such as "${params.$${params.a}"
    copies = [Struct.FromString(each.SerializeToString(deterministic=True)) for each in arguments]
    results = instantiate(*arguments), instantiate(*copies)
    assert results[0].SerializeToString(deterministic=True) == results[1].SerializeToString(
        deterministic=True
    )


@settings(max_examples=60)
@given(
    st.dictionaries(
        st.sampled_from("kl"), nested(st.sampled_from(["${params.a}", "${params.b}", "c", 1]))
    ),
    JSON,
    JSON,
)
def test_typed_values_stand_where_the_placeholders_stood(
    config: dict[str, Any], a: Any, b: Any
) -> None:
    assert made(config, {"a": a, "b": b}) == replaced(config, {"a": a, "b": b})
