"""PostgreSQL refuses to be root: who it runs as then, and how it reaches its files."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vwed_grpc.embedded.daemon import ENVIRONMENT, EmbeddedServerError


@dataclass(frozen=True, slots=True)
class Account:
    """Whom a server runs as; `prefix` goes before its command."""

    prefix: Sequence[str] = ()
    user: pwd.struct_passwd | None = None

    def give(self, path: Path) -> None:
        """Make the account the owner of `path`."""
        if self.user:
            os.chown(path, self.user.pw_uid, self.user.pw_gid)


def unprivileged(room: Path) -> Account:
    """Our own account, or for root `nobody`, able to work in `room` and to read the wheels.

    Both may lie below folders that root alone may enter (/root/...), so the server keeps
    CAP_DAC_OVERRIDE and nothing else. That makes it worth as much as root to whoever commands it,
    which is why its socket and its files lie in a folder that only root may enter.

    Raises:
        EmbeddedServerError: root may not do so here, as in a container with fewer capabilities.
    """
    if os.geteuid() != 0:
        return Account()
    problem = f"as root, PostgreSQL cannot run in {room}"
    advice = "run as an ordinary user or give a database URL"
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise EmbeddedServerError(f"{problem} without setpriv (util-linux): {advice}")
    try:
        user = pwd.getpwnam("nobody")
    except KeyError:
        raise EmbeddedServerError(f"{problem} without the user nobody: {advice}") from None
    prefix = [
        setpriv,
        f"--reuid={user.pw_uid}",
        f"--regid={user.pw_gid}",
        "--clear-groups",
        "--inh-caps=-all,+dac_override",
        "--ambient-caps=-all,+dac_override",
        "--securebits=+no_setuid_fixup",  # else access(2), which PostgreSQL asks, ignores them
        "--no-new-privs",
        "--",
    ]
    trial = subprocess.run(  # noqa: S603 - our own command, no shell
        [*prefix, "true"], env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    if trial.returncode:
        raise EmbeddedServerError(
            f"{problem} without the capabilities DAC_OVERRIDE, SETUID, SETGID and SETPCAP"
            f" ({trial.stderr.strip()}): {advice}"
        )
    return Account(prefix, user)
