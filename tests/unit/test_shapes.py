"""A statement is built once a shape, and holds nobody's values."""

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from vwed_grpc.storage import models, shapes
from vwed_grpc.storage.shapes import Shapes
from vwed_grpc.storage.statement import Statement

c = models.TaskRecord.__table__.c


def asked(
    kept: Shapes, *where: sa.ColumnElement[Any], kind: str = "runs"
) -> tuple[Statement, list[Any]]:
    """The statement, and the values as the driver gets them."""
    statement, parameters = kept.bound(kind, where, lambda: sa.select(c.id).where(*where))
    return statement, statement.arguments(parameters)


def test_what_differs_in_values_alone_is_one_statement() -> None:
    kept = Shapes()
    first, given = asked(
        kept, c.tenant == "a", c.status == sa.any_(sa.literal([1], ARRAY(sa.Integer)))
    )
    again, others = asked(
        kept, c.tenant == "b", c.status == sa.any_(sa.literal([2, 3], ARRAY(sa.Integer)))
    )
    assert first is again
    assert given == ["a", [1]]
    assert others == ["b", [2, 3]]


def test_another_shape_is_another_statement() -> None:
    kept = Shapes()
    statements = {
        asked(kept, c.tenant == "a")[0],
        asked(kept, c.tenant == "a", kind="blocks")[0],
        asked(kept, c.id == "a")[0],
        asked(kept, c.tenant > "a")[0],
        asked(kept, c.tenant == "a", c.id == "b")[0],
    }
    assert len(statements) == 5


def test_values_are_encoded_each_time() -> None:
    kept = Shapes()
    for labels, text in (({"zone": "A"}, '{"zone": "A"}'), ({"zone": "B"}, '{"zone": "B"}')):
        assert asked(kept, c.labels.contains(labels))[1] == [text]


def test_a_value_that_would_stay_in_the_statement_is_refused() -> None:
    parts = [c.tenant == "a"]
    with pytest.raises(LookupError, match="secret"):
        Shapes().bound("runs", parts, lambda: sa.select(c.id).where(*parts, c.id == "secret"))


def test_what_is_kept_holds_no_values() -> None:
    kept = Shapes()
    statement, _ = asked(kept, c.tenant == "a" * 100_000)
    del _
    assert "a" * 100_000 not in {*statement.binds.values(), *statement._fixed.values()}
    assert not statement.binds


def test_shapes_are_kept_to_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes, "_MOST_TEXT", 300)
    kept = Shapes()
    for n in range(5):
        asked(kept, c.tenant == "a", kind=str(n))
        assert len(kept._compiled) <= 3
