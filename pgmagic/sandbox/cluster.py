"""Make the data directory of a server, a "cluster" in PostgreSQL's words."""

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from pgmagic.errors import SandboxError
from pgmagic.sandbox.account import Account
from pgmagic.sandbox.binaries import Binaries
from pgmagic.sandbox.secret import new_password, write_secret
from pgmagic.secret import Secret

__all__ = ["initialize"]


def initialize(
    data: Path,
    binaries: Binaries,
    account: Account,
    *,
    user: str,
    hba: Sequence[str] | None,
    files: Mapping[str, bytes],
    durable: bool,
) -> Secret:
    """Make a data directory, all or nothing, where there is none; give the user's password.

    The password is kept beside it. Raises SandboxError.
    https://www.postgresql.org/docs/current/app-initdb.html
    """
    root, secret = data.parent, data.parent / f"{data.name}.json"
    if data.exists():
        return Secret(json.loads(secret.read_text())["password"])
    for unfinished in root.glob(f"{data.name}.new-*"):
        shutil.rmtree(unfinished, ignore_errors=True)
    new = Path(tempfile.mkdtemp(prefix=f"{data.name}.new-", dir=root))
    account.own(new)
    password = new_password()
    _initdb(new, binaries, account, user=user, password=password, durable=durable)
    if hba is not None:
        _write(new / "pg_hba.conf", "\n".join([*hba, ""]).encode(), account)
    for name, content in files.items():
        _write(new / name, content, account)
    write_secret(secret, Secret(json.dumps({"user": user, "password": password.reveal()})))
    new.rename(data)
    return password


def _initdb(
    data: Path,
    binaries: Binaries,
    account: Account,
    *,
    user: str,
    password: Secret,
    durable: bool,
) -> None:
    # No wheel has ICU, and what sorts one way here and another there is no use.
    locale = ["--locale=C"]
    if binaries.major >= 17:
        locale += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    with tempfile.NamedTemporaryFile("w", dir=data.parent) as file:
        file.write(password.reveal() + "\n")
        file.flush()
        account.own(Path(file.name))
        finished = account.run(
            binaries.bindir / "initdb",
            *("-D", data, "-U", user, "-E", "UTF8"),
            *("--auth=scram-sha-256", f"--pwfile={file.name}"),
            *locale,
            *([] if durable else ["--no-sync"]),
        )
    if finished.returncode:
        shutil.rmtree(data, ignore_errors=True)
        output = (finished.stdout + finished.stderr)[-2000:]
        raise SandboxError(f"initdb of {binaries} failed:\n{output}")


def _write(path: Path, content: bytes, account: Account) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content)
    account.own(path)
