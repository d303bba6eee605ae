"""TLS and mTLS: who is let in, whom a certificate names, and certificates that are renewed."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from click.testing import CliRunner
from cryptography.x509 import load_der_x509_certificate
from vwed.v1.record_service_pb2 import CreateTaskRecordRequest, GetTaskRecordRequest
from vwed.v1.task_record_pb2 import TaskRecord

from tests.support.calls import create_def
from tests.support.certificates import Authority, Files
from tests.support.tokens import PRIVATE, token, write_keys
from tests.support.waiting import until_true
from vwed.client import CallError, connect
from vwed_grpc.cli.main import main
from vwed_grpc.cli.target import Target
from vwed_grpc.process.stores import CannotServeError
from vwed_grpc.rpc.certificates import Certificates
from vwed_grpc.server import serving
from vwed_grpc.settings import Settings

Secured = Callable[..., Settings]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def shown(authority: Authority) -> Files:
    return authority.issue("server")


@pytest.fixture
def secured(settings: Settings, shown: Files) -> Secured:
    def made(**more: Any) -> Settings:
        tls = {"tls_cert": shown.certificate, "tls_key": shown.key}
        return settings.model_copy(update=tls | more)

    return made


def credentials(authority: Authority, own: Files | None = None) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(
        authority.certificate.read_bytes(),
        own and own.key.read_bytes(),
        own and own.certificate.read_bytes(),
    )


async def code(port: int, given: grpc.ChannelCredentials | None, **options: Any) -> grpc.StatusCode:
    """How a read of what is not there is answered."""
    async with connect(f"127.0.0.1:{port}", credentials=given, **options, bare=True) as client:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await client.records.GetTaskRecord(GetTaskRecordRequest(id="none"), timeout=20)
    return raised.value.code()


async def why(port: int, given: grpc.ChannelCredentials | None) -> str:
    """What a command says that cannot reach the server, without where that is."""
    target = Target(f"127.0.0.1:{port}", "default", None, given)
    async with target.connect(patience=0) as client:
        with pytest.raises(CallError) as raised:
            await client.records.GetTaskRecord(GetTaskRecordRequest(id="none"))
    address, _, said = target.why(raised.value).partition(" ")
    assert address == target.address
    return said


async def test_tls(secured: Secured, authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other")
    async with serving(secured()) as port:
        assert await code(port, credentials(authority)) is grpc.StatusCode.NOT_FOUND
        assert "is it of the authorities of --tls-ca?" in await why(port, credentials(other))
        assert (await why(port, None)).endswith("; does it want TLS?")


async def test_a_server_without_tls_says_so(settings: Settings, authority: Authority) -> None:
    async with serving(settings) as port:
        assert "is it one without TLS?" in await why(port, credentials(authority))


def test_what_a_client_has_for_tls_and_cannot_be(authority: Authority, tmp_path: Path) -> None:
    own, other = authority.issue("own"), authority.issue("other")
    nothing = tmp_path / "nothing"
    for words, said in (
        (["--client-cert", own.certificate], "needs both --client-cert and --client-key"),
        (["--client-key", own.key], "needs both --client-cert and --client-key"),
        (["--client-cert", own.certificate, "--client-key", other.key], "is not the key of"),
        (["--client-cert", own.certificate, "--client-key", own.certificate], "no private key"),
        (["--client-cert", own.key, "--client-key", own.key], "is no certificate in PEM"),
        (["--tls-ca", own.key], "is no certificate in PEM"),
        (["--tls-ca", nothing], "nothing cannot be read: No such file or directory"),
        (["--token-file", own.certificate], "the token is not one line of ASCII"),
        (["--token-file", nothing], "nothing cannot be read: No such file or directory"),
    ):
        done = CliRunner().invoke(main, ["list", *map(str, words)])
        assert (done.exit_code, done.stdout) == (1, ""), words
        (line,) = done.stderr.splitlines()
        assert said in line


@pytest.mark.parametrize(
    ("spiffe", "actor", "kept"),
    [
        ("", "", "robot-7"),
        ("spiffe://plant.test/robot/7", "", "spiffe://plant.test/robot/7"),
        ("", "chen", "chen"),
    ],
)
async def test_a_certificate_names_the_actor(
    secured: Secured, authority: Authority, tenant: str, spiffe: str, actor: str, kept: str
) -> None:
    own = authority.issue("robot-7", spiffe=spiffe)
    async with (
        serving(secured(tls_client_ca=authority.certificate)) as port,
        connect(
            f"127.0.0.1:{port}",
            tenant=tenant,
            actor=actor,
            credentials=credentials(authority, own),
            bare=True,
        ) as client,
    ):
        definition = await create_def(client)
        run = await client.records.CreateTaskRecord(
            CreateTaskRecordRequest(task_record=TaskRecord(task_def_id=definition.id))
        )
        assert (definition.created_by, run.created_by) == (kept, kept)


async def test_only_certificates_of_the_authority(
    secured: Secured, authority: Authority, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    stranger = Authority(tmp_path / "other").issue("robot-7")
    async with serving(secured(tls_client_ca=authority.certificate)) as port:
        for own in (None, stranger):
            assert await code(port, credentials(authority, own)) is grpc.StatusCode.UNAVAILABLE


async def test_a_token_as_well_as_a_certificate(
    secured: Secured, authority: Authority, tmp_path: Path
) -> None:
    keys = write_keys(tmp_path / "keys.json", *PRIVATE)
    both = secured(tls_client_ca=authority.certificate, token_keys=keys)
    given = credentials(authority, authority.issue("robot-7"))
    async with serving(both) as port:
        assert await code(port, given) is grpc.StatusCode.UNAUTHENTICATED
        assert await code(port, given, token=token()) is grpc.StatusCode.NOT_FOUND
        assert await code(port, given, token=token) is grpc.StatusCode.NOT_FOUND


async def serial(port: int, authority: Authority) -> int:
    """Of the certificate that a new connection is shown."""
    trusted = ssl.create_default_context(cafile=authority.certificate)
    trusted.set_alpn_protocols(["h2"])
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusted)
    raw = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return load_der_x509_certificate(raw).serial_number


async def test_certificates_are_renewed(
    secured: Secured, authority: Authority, shown: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, tried = Certificates.read, list[Certificates]()

    def try_(self: Certificates) -> None:
        try:
            read(self)
        finally:
            tried.append(self)

    monkeypatch.setattr(Certificates, "read", try_)
    given = credentials(authority)
    async with (
        serving(secured()) as port,
        connect(f"127.0.0.1:{port}", credentials=given, bare=True) as client,
    ):

        async def answers() -> bool:
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await client.records.GetTaskRecord(GetTaskRecordRequest(id="none"))
            return raised.value.code() is grpc.StatusCode.NOT_FOUND

        assert await answers()
        before = await serial(port, authority)
        # One after the other: a certificate without its key is not taken.
        new = authority.issue("server", file="renewed")
        new.certificate.replace(shown.certificate)
        await until_true(lambda: tried, what="a look at the files")
        assert await serial(port, authority) == before
        new.key.replace(shown.key)

        async def renewed() -> bool:
            return await serial(port, authority) != before

        await until_true(renewed, what="the new certificate", every=0.2)
        assert await answers(), "the connection that stood goes on"


BEYOND = "0.0.0.0:0"
UNSAFE: dict[str, tuple[dict[str, Any], str]] = {
    "neither": ({}, "without TLS and authentication that needs --insecure"),
    "tokens without TLS": ({"token_keys": "keys"}, "without TLS that needs --insecure"),
    "TLS alone": (
        {"tls_cert": "certificate", "tls_key": "key"},
        "without authentication that needs --insecure",
    ),
    "half of TLS": ({"listen": "127.0.0.1:0", "tls_cert": "certificate"}, "both --tls-cert and"),
    "clients' authority alone": (
        {"listen": "127.0.0.1:0", "tls_client_ca": "authority"},
        "both --tls-cert and",
    ),
    "a key of another": (
        {"listen": "127.0.0.1:0", "tls_cert": "certificate", "tls_key": "other"},
        "is not the key of",
    ),
    "no key": (
        {"listen": "127.0.0.1:0", "tls_cert": "certificate", "tls_key": "certificate"},
        "is no private key in PEM",
    ),
    "no certificate": (
        {"listen": "127.0.0.1:0", "tls_cert": "key", "tls_key": "key"},
        "is no certificate in PEM",
    ),
    "no file": (
        {"listen": "127.0.0.1:0", "tls_cert": "none", "tls_key": "key"},
        "none cannot be read: No such file",
    ),
    "no keys": ({"listen": "127.0.0.1:0", "token_keys": "none"}, "none cannot be read: No such"),
}


@pytest.mark.parametrize("unsafe", UNSAFE)
async def test_what_is_unsafe_does_not_start(
    settings: Settings, authority: Authority, shown: Files, tmp_path: Path, unsafe: str
) -> None:
    given, said = UNSAFE[unsafe]
    files = {
        "certificate": shown.certificate,
        "key": shown.key,
        "other": authority.issue("other").key,
        "authority": authority.certificate,
        "keys": write_keys(tmp_path / "keys.json", "HS256"),
        "none": tmp_path / "none",
    }
    update = {"listen": BEYOND} | {name: files.get(value, value) for name, value in given.items()}
    with pytest.raises(CannotServeError) as raised:
        async with serving(settings.model_copy(update=update)):
            pass
    assert said in str(raised.value)


SAFE: list[dict[str, str]] = [
    {"token_keys": "keys"},
    {"tls_client_ca": "authority"},
]


@pytest.mark.parametrize("safe", SAFE, ids=str)
async def test_tls_and_authentication_may_listen_beyond_loopback(
    secured: Secured, authority: Authority, tmp_path: Path, safe: dict[str, str]
) -> None:
    files = {
        "keys": write_keys(tmp_path / "keys.json", "HS256"),
        "authority": authority.certificate,
    }
    update = {name: files[value] for name, value in safe.items()}
    async with serving(secured(listen=BEYOND, **update)) as port:
        own = authority.issue("robot-7")
        given = credentials(authority, own)
        assert await code(port, given, token=token()) is grpc.StatusCode.NOT_FOUND


async def test_insecure_warns(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    async with serving(settings.model_copy(update={"listen": BEYOND, "insecure": True})):
        pass
    said = capsys.readouterr().out
    assert "listening beyond loopback" in said
    assert "without=TLS and authentication" in said.replace("'", "")


@pytest.fixture
async def protected(
    secured: Secured, authority: Authority, tmp_path: Path
) -> AsyncIterator[list[str]]:
    """The options of a command for a server with all of it."""
    keys = write_keys(tmp_path / "keys.json", *PRIVATE)
    own = authority.issue("operator")
    (tmp_path / "token").write_text(f"{token()}\n")
    async with serving(secured(tls_client_ca=authority.certificate, token_keys=keys)) as port:
        yield [
            *("--target", f"127.0.0.1:{port}", "--tls-ca", str(authority.certificate)),
            *("--client-cert", str(own.certificate), "--client-key", str(own.key)),
        ]


async def test_commands_reach_a_secured_server(
    protected: list[str], tenant: str, tmp_path: Path
) -> None:
    async def command(*words: str, **environment: str) -> Any:
        run = CliRunner(env=environment).invoke
        return await asyncio.to_thread(run, main, [*words, *protected, "--tenant", tenant])

    refused = await command("export")
    assert refused.exit_code == 1
    assert "UNAUTHENTICATED: a token is needed: --token-file" in refused.output
    by_file = ("--token-file", str(tmp_path / "token"))
    played = await command("demo", "--runs=1", "--robots=1", "--speed=0", *by_file)
    assert (played.exit_code, played.exception) == (0, None), played.output
    exported = await command("export", VWED_TOKEN=token("taskdefs:read"))
    assert exported.exit_code == 0
    assert '"task_def"' in exported.output
