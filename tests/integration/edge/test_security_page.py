"""The program of docs/security.md, as it is pasted."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import Authority
from tests.support.pages import texts
from tests.support.tokens import token, write_keys
from vwed_grpc.server import serving
from vwed_grpc.settings import Settings

PAGE = "docs/security.md"


async def test_it_calls_with_tls_and_a_token(
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    authority = Authority(tmp_path, "ca")
    server = authority.issue("server")
    secured = {
        "tls_cert": server.certificate,
        "tls_key": server.key,
        "token_keys": write_keys(tmp_path / "keys.json", "HS256"),
    }
    (tmp_path / "token").write_text(f"{token('records:read', tenants=['plant-2'])}\n")
    monkeypatch.chdir(tmp_path)
    (program,) = texts(PAGE, "python")
    names: dict[str, Any] = {}
    async with serving(settings.model_copy(update=secured)) as port:
        program = program.replace("vwed.plant:50051", f"127.0.0.1:{port}")
        exec(program.removesuffix("asyncio.run(main())\n"), names)
        await names["main"]()
    assert re.search(r"^\d+ runs$", capsys.readouterr().out, re.MULTILINE)
