"""The results as a table, as JSON, and in the page that users read."""

import json
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.measure import Result

_HEAD = ("case", "a second", "µs of CPU", "of the floor", "must reach", "", "more")
_MARKS = {True: "yes", False: "**no**", None: ""}
_LIBRARIES = ("grpcio", "uvloop", "sqlalchemy", "asyncpg", "redis", "protobuf")


def markdown(results: Sequence[Result]) -> str:
    lines = [" | ".join(("", *_HEAD, "")).strip(), "| --- | ---: | ---: | ---: | --- | --- | --- |"]
    lines += [" | ".join(("", *_cells(result), "")).strip() for result in results]
    return "\n".join(lines)


def _cells(r: Result) -> tuple[str, ...]:
    figures = ", ".join(f"{_plain(name)} {value:,.4g}" for name, value in r.figures.items())
    return (
        r.case,
        f"{r.rate:,.0f} {r.unit}" if r.rate else "",
        f"{r.cpu_us:,.0f} (floor {r.floor_cpu_us:,.0f})" if r.floor_cpu_us else f"{r.cpu_us:,.0f}",
        f"{r.ratio:.2f}" if r.ratio else "",
        r.target,
        _MARKS[r.met],
        "; ".join(part for part in (figures, r.note) if part),
    )


def _plain(name: str) -> str:
    return name.replace("_per_s", " /s").replace("_", " ")


def machine() -> dict[str, str]:
    cpu = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
            break
    return {
        "cpu": cpu,
        "python": platform.python_version(),
        **{name: version(name) for name in _LIBRARIES},
    }


def write_json(path: Path, results: Sequence[Result], more: Mapping[str, Any]) -> None:
    content = {"machine": machine(), "results": [r.as_json() for r in results], **more}
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def fill(page: Path, name: str, text: str) -> None:
    """Puts `text` between the page's `<!-- NAME -->` and `<!-- /NAME -->`."""
    content = page.read_text()
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    before, _, rest = content.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise LookupError(f"{page} has no place for {name}")
    page.write_text(f"{before}{begin}{text}\n{end}{after}")
