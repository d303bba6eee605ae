"""What tokens and TLS add to a cached read: the CPU of the server, beside a server without."""

from collections.abc import Iterator
from statistics import median

from bench.measure import Result, Sample, Shape, repeated
from bench.reads import GETS
from bench.stand import Server, Stand
from bench.trial import answer_to
from tests.support.certificates import Authority
from tests.support.tokens import token, write_keys

SHAPE = Shape(callers=128)
TOKENS_MOST, TLS_MOST = 1.03, 1.15


def security(stand: Stand, rounds: int, seconds: float) -> Iterator[Result]:
    """A token that is remembered, as all are but the first time; TLS on connections that stand."""
    keys = stand.stores.room / "token-keys"
    write_keys(keys, "HS256")
    files = Authority(stand.stores.room).issue("server")
    with (
        stand.another("plain") as plain,
        stand.another("tokens", VWED_TOKEN_KEYS=str(keys)) as guarded,
        stand.another(
            "tls", VWED_TLS_CERT=str(files.certificate), VWED_TLS_KEY=str(files.key)
        ) as with_tls,
    ):
        bearer = {"authorization": f"Bearer {token(kid=None)}"}
        answer_to(guarded.target, GETS[1].path, GETS[1].body, bearer)
        secured = Server(f"https://{with_tls.target}", with_tls.process)
        yield _beside(plain, guarded, "a token", bearer, TOKENS_MOST, rounds, seconds)
        yield _beside(plain, secured, "TLS", {}, TLS_MOST, rounds, seconds)


def _beside(
    plain: Server,
    other: Server,
    what: str,
    metadata: dict[str, str],
    most: float,
    rounds: int,
    seconds: float,
) -> Result:
    case = GETS[1]
    size = len(answer_to(plain.target, case.path, case.body))

    def run(server: Server, sent: dict[str, str]) -> Sample:
        return repeated(
            server, case.path, case.body, SHAPE, seconds, answer_bytes=size, metadata=sent
        )

    pairs = list[tuple[Sample, Sample]]()
    for n in range(rounds):  # in turns, each first as often
        if n % 2:
            second = run(other, metadata)
            pairs.append((run(plain, {}), second))
        else:
            pairs.append((run(plain, {}), run(other, metadata)))
    costs = [(a.server_cpu / a.count, b.server_cpu / b.count) for a, b in pairs]
    ratio = median(b / a for a, b in costs)
    return Result(
        f"{what}: {case.case}",
        "calls",
        f"CPU per call <= {most} of without",
        rate=median(b.rate for _, b in pairs),
        cpu_us=median(b for _, b in costs) * 1e6,
        rounds=rounds,
        others=max(b.others_cpu / b.seconds for _, b in pairs),
        figures={"without_cpu_us": median(a for a, _ in costs) * 1e6, "of_without": ratio},
        met=ratio <= most,
    )
