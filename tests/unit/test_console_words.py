"""Both languages say everything."""

import re
from itertools import chain

from vwed.v1.block_record_pb2 import BlockRecordStatus
from vwed.v1.task_def_pb2 import TaskDefStatus
from vwed.v1.task_record_pb2 import TaskRecordStatus

from vwed_grpc.console.languages import LANGUAGES, STATIC, words


def test_the_catalogues_have_the_same_keys() -> None:
    first, *others = ([*words(language)] for language in LANGUAGES)
    assert others == [first] * len(others)


def test_values_are_put_in_at_the_same_places() -> None:
    first, *others = (words(language) for language in LANGUAGES)
    for key, text in first.items():
        for other in others:
            assert set(re.findall(r"{\w+}", other[key])) == set(re.findall(r"{\w+}", text)), key


def test_what_pages_say_is_in_them() -> None:
    sources = "".join(module.read_text() for module in STATIC.glob("*.js"))
    titles = chain.from_iterable(
        re.findall(r'"#?([^"]+)"', columns) for columns in re.findall(r"head\(([^)]*)\)", sources)
    )
    said = {*re.findall(r'say\("([^"]+)"', sources), *titles}
    assert len(said) > 50
    assert not said - {*words(LANGUAGES[0])}


def test_each_status_has_a_word() -> None:
    for enum in (TaskRecordStatus, BlockRecordStatus, TaskDefStatus):
        for name in enum.keys()[1:]:
            assert f"status.{re.sub('^[A-Z_]+_STATUS_', '', name)}" in words(LANGUAGES[0])
