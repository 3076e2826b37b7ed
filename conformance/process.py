"""A child process that answers in messages; it may crash, hang, or print what it likes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Any, Self

from conformance.channel import parse

__all__ = ["Child", "Died", "Silent", "environment"]

LONGEST_LINE = 2**26


class Died(Exception):
    """The process ended without the message that ends its work; the text says how, and what it printed last."""


class Silent(Exception):
    """The process said nothing for longer than anybody waits."""


class Child:
    """A module that runs as `python -m module`; killed, with everything it started, when the context ends.

    `patience` is the number of seconds of silence that is taken for a hang.
    """

    def __init__(self, module: str, env: Mapping[str, str], patience: float) -> None:
        self._module, self._env, self._patience = module, env, patience
        self._printed: deque[str] = deque(maxlen=12)

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", self._module, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE, env=dict(self._env), start_new_session=True, limit=LONGEST_LINE,
        )  # fmt: skip
        self._drain = asyncio.create_task(self._keep_printed())
        return self

    async def __aexit__(self, *_: object) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()
        self._drain.cancel()

    async def send(self, **message: Any) -> None:
        """Send one message; a process that is gone is noticed when it is heard."""
        assert self._process.stdin
        with suppress(BrokenPipeError, ConnectionResetError):
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            await self._process.stdin.drain()

    async def hear(self) -> dict[str, Any]:
        """The next message. Raises Died or Silent."""
        assert self._process.stdout
        while True:
            try:
                line = await asyncio.wait_for(self._process.stdout.readline(), self._patience)
            except TimeoutError:
                raise Silent(f"it said nothing for {self._patience:g} seconds") from None
            if not line:
                raise Died(await self._epitaph())
            message = parse(line)
            if message:
                return message

    async def messages(self, last: tuple[str, ...]) -> AsyncIterator[dict[str, Any]]:
        """All messages, up to one of those that end the work. Raises Died or Silent."""
        while True:
            message = await self.hear()
            yield message
            if message["event"] in last:
                return

    async def _epitaph(self) -> str:
        code = await self._process.wait()
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._drain), 2)
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        printed = "; it printed last: " + " | ".join(self._printed) if self._printed else ""
        return f"its process ended by {how} before it had finished{printed}"

    async def _keep_printed(self) -> None:
        assert self._process.stderr
        while chunk := await self._process.stderr.read(2**16):
            self._printed.extend(line for line in chunk.decode(errors="replace").splitlines() if line.strip())


def environment(threads: int | None = None, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables of a child: quiet, and with BLAS threads that stop spinning, so that nobody slows the next one."""
    own = {"OPENBLAS_THREAD_TIMEOUT": "4", "TF_CPP_MIN_LOG_LEVEL": "3", **(more or {})}
    if threads:
        own |= dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    return {**os.environ, **own}
