import click

from vwed.client import Executor
from vwed_grpc.cli.progress_view import progress_view
from vwed_grpc.cli.target import Target, run, target_options
from vwed_grpc.demo import examples
from vwed_grpc.demo.session import UnexpectedEnd, play

_PATIENCE = 120.0
"""Seconds for a server that restarts under the robots' work."""


@click.command()
@click.option("--runs", type=click.IntRange(1, 1000), default=4, show_default=True)
@click.option("--robots", type=click.IntRange(1, 100), default=3, show_default=True)
@click.option(
    "--speed",
    type=click.FloatRange(min=0),
    default=0.1,
    show_default=True,
    help="How long actions take, 1: as on a real floor, 0: no time at all.",
)
@target_options
def demo(runs: int, robots: int, speed: float, target: Target) -> None:
    """Play robots: run the example definitions and show their progress.

    One of the examples fails halfway and is run again. Ends with 0 when all ended as they should.
    """
    run(target, _demo(target, runs, robots, speed))


async def _demo(target: Target, runs: int, robots: int, speed: float) -> None:
    def hire(robot_id: str) -> Executor:
        return Executor(
            target.address,
            robot_id,
            tenant=target.tenant,
            token=target.token,
            credentials=target.credentials,
            grace=0,  # after Ctrl-C they stop where they are
        )

    try:
        with progress_view() as spectator:
            async with target.connect("demo") as client:
                await examples.load(client)
            async with target.connect("demo", patience=_PATIENCE) as client:
                await play(client, hire, spectator, runs=runs, robots=robots, speed=speed)
    except UnexpectedEnd as exc:
        raise click.ClickException(str(exc)) from exc
    click.echo(f"ended as they should: {runs} of {runs} runs")
