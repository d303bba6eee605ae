"""Definitions and templates: one repository, for the rules of names and versions are the same."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

import sqlalchemy as sa
from google.protobuf.struct_pb2 import Struct
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.exc import IntegrityError
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_template_pb2 import TaskTemplate

from vwed_grpc.domain.errors import AlreadyExists, FailedPrecondition, NotFound
from vwed_grpc.domain.ids import check_etag, new_etag
from vwed_grpc.storage import facets, models, rows
from vwed_grpc.storage.by_key import ByKey
from vwed_grpc.storage.errors import sqlstate
from vwed_grpc.storage.pool import ReadingPool
from vwed_grpc.storage.statement import Statement
from vwed_grpc.storage.transaction import Transaction

D = TypeVar("D", bound=TaskDef | TaskTemplate)

CONTENT = ("name", "description", "task_type", "labels")
"""The versioned fields that both tables hold; the JSON ones stand in the versions alone."""

_NAMES = 1_000
"""That one statement looks up."""


@dataclass(frozen=True)
class Definitions(Generic[D]):
    """The present state in `heads`, each version's content in `versions`, lists by `facets`."""

    noun: str
    heads: sa.Table
    versions: sa.Table
    facets: sa.Table
    json_fields: tuple[str, ...]
    own_fields: tuple[str, ...]
    reader: Callable[[tuple[str, ...]], Callable[[sa.Row[Any]], D]]

    def to_message(self, row: sa.Row[Any]) -> D:
        """What `reader` makes of one row."""
        return self.reader(tuple(row._fields))(row)

    @property
    def parent(self) -> sa.Column[str]:
        """The id of the definition, in `versions`."""
        return self.versions.c[f"{self.noun}_id"]

    @cached_property
    def latest(self) -> sa.Join:
        """The present state with the content of its version."""
        h, v = self.heads, self.versions
        return h.join(
            v,
            sa.and_(v.c.tenant == h.c.tenant, self.parent == h.c.id, v.c.version == h.c.version),
        )

    @cached_property
    def history(self) -> sa.Join:
        """Each version with the present state."""
        h, v = self.heads, self.versions
        return h.join(v, sa.and_(v.c.tenant == h.c.tenant, self.parent == h.c.id))

    @property
    def json(self) -> list[sa.Column[Any]]:
        """The columns that may be large, in `versions`."""
        return [self.versions.c[name] for name in self.json_fields]

    @cached_property
    def at_a_version(self) -> list[sa.ColumnElement[Any]]:
        """What of `history` a version answers; its JSON apart.

        Status belongs to the definition, not to a version; where it came from never changes.
        """
        h, v = self.heads.c, self.versions.c
        return [
            h.id,
            v.version,
            *(v[name] for name in CONTENT),
            v.created_by,
            v.change_note,
            h.create_time,
            v.write_time.label("update_time"),
            sa.null().label("delete_time"),
            sa.literal_column("''", models.Text).label("etag"),
            *(
                sa.literal_column("0", sa.Integer).label(n) if n == "status" else h[n]
                for n in self.own_fields
            ),
        ]

    @cached_property
    def _get(self) -> ByKey:
        h = self.heads.c
        latest = (
            sa.select(self.heads, *self.json)
            .select_from(self.latest)
            .where(h.tenant == sa.bindparam("tenant"))
        )
        return ByKey(lambda given: latest.where(h.id == given.c.id), h.id)

    @cached_property
    def _get_version(self) -> Statement:
        h = self.heads.c
        return Statement(
            sa.select(*self.at_a_version, *self.json)
            .select_from(self.history)
            .where(
                h.tenant == sa.bindparam("tenant"),
                h.id == sa.bindparam("id"),
                self.versions.c.version == sa.bindparam("version"),
            )
        )

    async def get(self, pool: ReadingPool, tenant: str, id_: str, version: int = 0) -> D | None:
        """The latest content (version 0), or that of a version; None: there is none."""
        if not version:
            row = await pool.row(self._get, tenant, id_)
            return self.to_message(row) if row else None
        found = await pool.fetch(
            self._get_version, {"tenant": tenant, "id": id_, "version": version}
        )
        return self.to_message(found[0]) if found else None

    @cached_property
    def _id(self) -> Statement:
        h = self.heads.c
        return Statement(
            sa.select(h.id).where(h.tenant == sa.bindparam("tenant"), h.id == sa.bindparam("id"))
        )

    async def require(self, pool: ReadingPool, tenant: str, id_: str) -> None:
        """Raises NotFound; a soft-deleted one is there."""
        if not await pool.fetch(self._id, {"tenant": tenant, "id": id_}):
            raise self.missing(id_)

    @cached_property
    def _pinned(self) -> Statement:
        h, v = self.heads.c, self.versions.c
        version = sa.bindparam("version", type_=sa.Integer)
        wanted = v.version == sa.case((version == sa.literal_column("0"), h.version), else_=version)
        return Statement(
            sa.select(
                *(c for c in h if c.name not in {"version", *CONTENT}),
                v.version,
                *(v[name] for name in CONTENT),
                *self.json,
            )
            .select_from(
                self.heads.join(
                    self.versions, sa.and_(v.tenant == h.tenant, self.parent == h.id, wanted)
                )
            )
            .where(h.tenant == sa.bindparam("tenant"), h.id == sa.bindparam("id"))
            .with_for_update(of=self.heads, read=True)
        )

    async def pinned(self, tx: Transaction, tenant: str, id_: str, version: int) -> D | None:
        """A version's content with the definition's present status: what a run is made of.

        The status cannot change before the transaction ends.
        """
        key = {"tenant": tenant, "id": id_, "version": version}
        row = await self._locked(tx, self._pinned, key)
        return self.to_message(row) if row else None

    @cached_property
    def _named(self) -> Statement:
        h = self.heads.c
        return Statement(
            sa.select(h.id).where(
                h.tenant == sa.bindparam("tenant"),
                h.name == sa.bindparam("name"),
                h.delete_time.is_(None),
            )
        )

    async def named(self, tx: Transaction, tenant: str, name: str) -> str | None:
        """The id of the live definition of that name."""
        found = await tx.fetch(self._named, {"tenant": tenant, "name": name})
        return found[0].id if found else None

    @cached_property
    def _holders(self) -> Statement:
        h = self.heads.c
        return Statement(
            sa.select(h.name, h.id).where(
                h.tenant == sa.bindparam("tenant"),
                h.name == sa.any_(sa.bindparam("names", type_=ARRAY(models.Text))),
                h.delete_time.is_(None),
            )
        )

    async def holders(
        self, pool: ReadingPool, tenant: str, names: Sequence[str]
    ) -> AsyncIterator[tuple[str, str]]:
        """(name, id) of the live definitions that have one of the names."""
        for start in range(0, len(names), _NAMES):
            key = {"tenant": tenant, "names": names[start : start + _NAMES]}
            for row in await pool.fetch(self._holders, key):
                yield row.name, row.id

    @cached_property
    def _free_names(self) -> Statement:
        h = self.heads.c
        return Statement(
            sa.update(self.heads)
            .where(
                h.tenant == sa.bindparam("tenant"),
                h.id == sa.any_(sa.bindparam("ids", type_=ARRAY(models.Text))),
            )
            .values(delete_time=sa.func.now())
        )

    async def free_names(self, tx: Transaction, tenant: str, ids: Sequence[str]) -> None:
        """Lets others have the names of locked definitions, each of which is to be saved yet.

        Names are unique among live definitions alone, so it makes them not live until then.
        """
        await tx.fetch(self._free_names, {"tenant": tenant, "ids": ids})

    async def lock(self, tx: Transaction, tenant: str, id_: str, etag: str = "") -> D:
        """The latest content, locked until the end. Raises NotFound, Aborted if `etag` differs."""
        message = await self.find(tx, tenant, id_)
        if message is None:
            raise self.missing(id_)
        check_etag(self.noun, message, etag)
        return message

    @cached_property
    def _find(self) -> Statement:
        h = self.heads.c
        return Statement(
            sa.select(self.heads, *self.json)
            .select_from(self.latest)
            .where(h.tenant == sa.bindparam("tenant"), h.id == sa.bindparam("id"))
            .with_for_update(of=self.heads, key_share=True)
        )

    async def find(self, tx: Transaction, tenant: str, id_: str) -> D | None:
        """As `lock`; None: there is none."""
        row = await self._locked(tx, self._find, {"tenant": tenant, "id": id_})
        if row is None:
            return None
        # Versions never go back in time, whichever transaction began first.
        tx.now = max(tx.now, row.update_time)
        return self.to_message(row)

    async def _locked(self, tx: Transaction, statement: Statement, key: Mapping[str, Any]) -> Any:
        """The row of a locking statement, None if there is none.

        One that had to wait for a writer gets the new head, but cannot see the version that goes
        with it, and so finds nothing: the next statement sees both, and the head is locked by now.
        """
        for _ in range(2):
            if found := await tx.fetch(statement, key):
                return found[0]
        return None

    def missing(self, id_: str) -> NotFound:
        """What is raised where there is none with this id."""
        return NotFound(
            f"{self.noun.upper()}_NOT_FOUND", f"no {self.noun} {id_!r}", metadata={"id": id_}
        )

    @cached_property
    def _there(self) -> Statement:
        h = self.heads.c
        return Statement(
            sa.select(h.id).where(h.tenant == sa.bindparam("tenant"), h.id == sa.bindparam("id"))
        )

    async def missing_at(
        self, store: ReadingPool | Transaction, tenant: str, id_: str, version: int
    ) -> NotFound:
        """Why nothing is at a version (0: the latest): that one is missing, or all of it is."""
        if not version or not await store.fetch(self._there, {"tenant": tenant, "id": id_}):
            return self.missing(id_)
        return NotFound(
            f"{self.noun.upper()}_VERSION_NOT_FOUND",
            f"{self.noun} {id_!r} has no version {version}",
            metadata={"id": id_, "version": str(version)},
        )

    def deleted(self, id_: str) -> FailedPrecondition:
        """What is raised where a deleted one is asked for more than it is good for."""
        return FailedPrecondition(
            f"{self.noun.upper()}_DELETED",
            f"{self.noun} {id_!r} is deleted: only reading and undelete work",
            metadata={"id": id_},
        )

    async def insert(self, tx: Transaction, tenant: str, message: D) -> None:
        """A new definition, at version 1 unless it has one; fills in what the service sets."""
        message.version = message.version or 1
        rows.put_time(message.create_time, tx.now)
        rows.put_time(message.update_time, tx.now)
        message.etag = new_etag()
        await self._guarded(
            tx,
            message,
            sa.insert(self.heads).values(
                tenant=tenant, id=message.id, create_time=tx.now, **self._head(tx, message)
            ),
        )
        await self.write_version(tx, tenant, message)
        await facets.write(tx, self.facets, tenant, message)

    async def save(self, tx: Transaction, tenant: str, message: D, *, new_content: bool) -> None:
        """Writes a locked definition back, `new_content` as its next version."""
        if new_content:
            message.version += 1
        rows.put_time(message.update_time, tx.now)
        message.etag = new_etag()
        deleted = rows.moment(message.delete_time) if message.HasField("delete_time") else None
        await self._guarded(
            tx,
            message,
            sa.update(self.heads)
            .where(self.heads.c.tenant == tenant, self.heads.c.id == message.id)
            .values(delete_time=deleted, **self._head(tx, message)),
        )
        if new_content:
            await self.write_version(tx, tenant, message)
        await facets.rewrite(tx, self.facets, tenant, message)

    async def _guarded(self, tx: Transaction, message: D, statement: sa.Executable) -> None:
        try:
            await tx.session.execute(statement)
        except IntegrityError as exc:
            if sqlstate(exc) != "23505":
                raise
            taken = "name" if f"{self.heads.name}_live_name" in str(exc.orig) else "id"
            raise AlreadyExists(
                f"{taken.upper()}_TAKEN",
                f"there is a {self.noun} with the {taken} {getattr(message, taken)!r}",
                metadata={taken: getattr(message, taken)},
            ) from None

    async def write_version(self, tx: Transaction, tenant: str, message: D) -> None:
        """The message's content as the version that it says."""
        await tx.session.execute(
            sa.insert(self.versions).values(
                {
                    "tenant": tenant,
                    self.parent.name: message.id,
                    "version": message.version,
                    "name": message.name,
                    "description": message.description,
                    "task_type": message.task_type,
                    "labels": dict(message.labels),
                    "created_by": message.created_by,
                    "change_note": message.change_note,
                    "write_time": tx.now,
                    **{name: _stored(getattr(message, name)) for name in self.json_fields},
                }
            )
        )

    def _head(self, tx: Transaction, message: D) -> dict[str, Any]:
        return {
            "name": message.name,
            "description": message.description,
            "task_type": message.task_type,
            "labels": dict(message.labels),
            "version": message.version,
            "created_by": message.created_by,
            "change_note": message.change_note,
            "update_time": tx.now,
            "etag": message.etag,
            **{name: getattr(message, name) for name in self.own_fields},
        }


def _stored(value: Struct) -> bytes:
    # Deterministic: equal contents have equal bytes, which is how a change is told from none.
    return value.SerializeToString(deterministic=True)


task_defs = Definitions(
    "task_def",
    models.TaskDef.__table__,
    models.TaskDefVersion.__table__,
    models.TaskDefFacet.__table__,
    ("config",),
    ("status", "task_template_id", "task_template_version"),
    rows.task_defs,
)
task_templates = Definitions(
    "task_template",
    models.TaskTemplate.__table__,
    models.TaskTemplateVersion.__table__,
    models.TaskTemplateFacet.__table__,
    ("config", "parameters_schema"),
    (),
    rows.task_templates,
)
