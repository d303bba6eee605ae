"""One connection to Redis, on which everything that waits leaves together."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from redis.exceptions import ResponseError

from vwed_grpc.cache.client import TIMEOUT, client
from vwed_grpc.loop.ending import end

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

_BATCH = 64
"""Commands in one write: few enough that their answers, however large, do not block the loop."""


class RedisAway(Exception):
    """Redis gave no answer to rely on: do without."""


class _Command(NamedTuple):
    packed: list[bytes]
    once: bool
    answer: asyncio.Future[Any]


class Wire:
    """Sends commands to Redis and hands out their answers.

    While one batch is under way the commands that come meanwhile gather, and leave as the next:
    with many callers a command costs a tenth of what it costs on a pooled connection of its own,
    and a caller who leaves does not cost the connection. A batch that found no answer within the
    time-out is tried once more on a new connection, unless another server may have taken over
    meanwhile; then everything that waits fails at once.

    A new connection may lead to another server than the one before, so the first batch on it goes
    behind the greeting, and fails with it.
    """

    def __init__(
        self,
        url: str,
        lost: Callable[[Exception], None],
        greeting: Callable[[], Iterable[Sequence[str]]],
        *,
        stays: bool,
    ) -> None:
        """Nothing is sent yet.

        Args:
            url: of one server.
            lost: hears why when Redis is given up, before any caller does.
            greeting: commands that are safe to repeat, to be taken first on each connection.
            stays: whether the server that is wanted can always be found there.
        """
        pool = client(url, retries=0).connection_pool
        self._connection: AbstractConnection = pool.make_connection()  # type: ignore[no-untyped-call]  # redis-py has no types for it
        # Who is tried once may take as long as who is tried twice.
        self._timeout = (self._connection.socket_timeout or TIMEOUT) * (1 if stays else 2)
        self._connection.socket_timeout = None  # the attempt as a whole is timed, here
        self._lost = lost
        self._greeting = greeting
        self._stays = stays
        self._closed = False
        self._waiting: list[_Command] = []
        self._lane: asyncio.Task[None] | None = None

    def send(self, *words: bytes | str | int, once: bool = False) -> asyncio.Future[Any]:
        """Queue a command; the answer is what Redis says to it.

        Args:
            words: the command and its arguments.
            once: never sent a second time. An attempt given up may still be carried out later, by
                a server that was only slow, so whatever is not safe to repeat must be sent once.

        Returns:
            A future, which raises `ResponseError` if Redis refused this command, `RedisAway` if
            Redis did not answer.
        """
        loop = asyncio.get_running_loop()
        command = _Command(self._connection.pack_command(*words), once, loop.create_future())
        if self._closed:
            _fail([command], RedisAway("closed"))
            return command.answer
        self._waiting.append(command)
        if self._lane is None:
            self._lane = loop.create_task(self._run())
        return command.answer

    async def aclose(self) -> None:
        """Fail what still waits, and whatever comes, and disconnect."""
        self._closed = True
        if self._lane is not None:
            await end([self._lane])
        await self._connection.disconnect(nowait=True)

    async def _run(self) -> None:
        batch: list[_Command] = []
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:_BATCH], self._waiting[_BATCH:]
                await self._exchange(batch)
        finally:
            self._lane = None
            _fail(batch + self._waiting, RedisAway("closed"))  # if cancelled; else all are answered

    async def _exchange(self, batch: list[_Command]) -> None:
        error = await self._attempt(batch)
        if error is None:
            return
        _fail([command for command in batch if command.once], RedisAway("no answer"))
        again = [command for command in batch if not command.answer.done()]
        if self._stays and (not again or (error := await self._attempt(again)) is None):
            return
        self._lost(error)
        _fail(again + self._waiting, RedisAway(error))
        self._waiting = []

    async def _attempt(self, batch: list[_Command]) -> Exception | None:
        """One write, then as many answers, each of which may take the time-out anew.

        To move a timer costs more than to read an answer, so it is moved when half of it is over.
        """
        now = asyncio.get_running_loop().time
        pack = self._connection.pack_command
        greeting = () if self._connection.is_connected else self._greeting()
        greeted = [pack(*words) for words in greeting]
        packed = [c for chunks in (*greeted, *(one.packed for one in batch)) for c in chunks]
        try:
            async with asyncio.timeout(self._timeout) as limit:
                await self._connection.send_packed_command(packed, check_health=False)
                for command in (*[None] * len(greeted), *batch):
                    if command is None:
                        await self._connection.read_response()
                    else:
                        await self._hand_out(command.answer)
                    due = now() + self._timeout
                    if due - (limit.when() or 0.0) > self._timeout / 2:
                        limit.reschedule(due)
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody may wait for ever
            await self._connection.disconnect(nowait=True)
            return error
        return None

    async def _hand_out(self, answer: asyncio.Future[Any]) -> None:
        try:
            said = await self._connection.read_response()
        except ResponseError as refusal:
            if not answer.done():
                answer.set_exception(refusal)
        else:
            if not answer.done():
                answer.set_result(said)


def _fail(commands: list[_Command], why: RedisAway) -> None:
    for command in commands:
        if not command.answer.done():
            command.answer.set_exception(why)
