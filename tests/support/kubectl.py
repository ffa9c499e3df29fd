"""The real kubectl, for tests marked `kubectl`."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from pathlib import Path

from gke_notebook.cluster.connection import Connection
from gke_notebook.sandbox import kubeconfig
from tests.support.apiserver import TOKEN, test_certificates
from tests.support.tools import find_kubectl

__all__ = ["Answer", "Kubectl", "find_kubectl"]


@dataclass(frozen=True)
class Answer:
    """What kubectl said."""

    code: int
    out: str
    err: str


@dataclass
class Kubectl:
    """Runs kubectl against a server of this event loop.

    Args:
        home: a directory of its own, for the kubeconfig and the discovery cache.
        connection: a TLS server of `running_server`.
    """

    home: Path
    connection: Connection
    environment: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        config = self.home / "kubeconfig"
        self.use(test_certificates().authority.read_text(), TOKEN)
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")},
            "KUBECONFIG": str(config),
            "HOME": str(self.home),
            "NO_PROXY": "127.0.0.1",
        }

    def use(self, authority: str, token: str) -> None:
        """Write the kubeconfig.

        Args:
            authority: the certificate to trust, in PEM.
            token: the bearer token.
        """
        text = kubeconfig.render(self.connection.server, authority, token, self.connection.namespace)
        (self.home / "kubeconfig").write_text(text)

    async def start(self, *arguments: str, stdin: str | None = None, **environment: str) -> asyncio.subprocess.Process:
        """Start kubectl and give the process.

        Args:
            arguments: after the word kubectl.
            stdin: what it reads.
            environment: further variables.
        """
        program = find_kubectl()
        assert program is not None
        process = await asyncio.create_subprocess_exec(
            program,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL if stdin is None else asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**self.environment, **environment},
        )
        if stdin is not None:
            assert process.stdin is not None
            process.stdin.write(stdin.encode())
            process.stdin.close()
        return process

    async def run(self, *arguments: str, stdin: str | None = None, **environment: str) -> Answer:
        """Run kubectl to its end.

        Args:
            arguments: after the word kubectl.
            stdin: what it reads.
            environment: further variables.
        """
        process = await self.start(*arguments, stdin=stdin, **environment)
        assert process.stdout is not None
        assert process.stderr is not None
        out, err = await asyncio.wait_for(asyncio.gather(process.stdout.read(), process.stderr.read()), 90)
        return Answer(await process.wait(), out.decode(), err.decode())

    async def __call__(self, *arguments: str, stdin: str | None = None, **environment: str) -> str:
        """Run kubectl, expect success, and give its output.

        Args:
            arguments: after the word kubectl.
            stdin: what it reads.
            environment: further variables.
        """
        answer = await self.run(*arguments, stdin=stdin, **environment)
        assert answer.code == 0, f"kubectl {' '.join(arguments)}: {answer.err}{answer.out}"
        return answer.out
