"""A child process that answers with messages, and may crash, hang, print anything, or use too much memory."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Any, ClassVar, Self

from conformance.processes.channel import OPEN, parse
from conformance.processes.limits import MARK, Family, Limits
from conformance.processes.printed import Printed, shortened

__all__ = ["Child", "Died", "Ended", "Garbled", "Overran", "Silent", "environment"]

LONGEST_LINE = 2**24
LOOK = 0.1
"""The seconds between two readings of a process' memory."""

LAST_WORDS = 2.0
"""The seconds to wait for the last output of an ended process."""


class Ended(Exception):
    """A process ended, or was ended, before it had finished; the text says how."""

    status: ClassVar[str] = "crashed"


class Died(Ended):
    """The process ended without the message that ends its work."""


class Silent(Ended):
    """The process sent no message within the limit."""

    status = "timeout"


class Overran(Ended):
    """The process exceeded a limit and was ended."""


class Garbled(Ended):
    """The process wrote something else than messages into the channel, and was ended."""


class Child:
    """A process that runs `python -m module`; the end of the context kills it and all that it started."""

    def __init__(self, module: str, env: Mapping[str, str], limits: Limits) -> None:
        self._module, self._limits = module, limits
        self._word, mark = secrets.token_hex(8), secrets.token_hex(8)
        self._env = {**env, MARK: mark}
        self.peak = 0
        """The most bytes of memory that it and all that it started were seen to use at one time."""
        self._opened = False
        self._printed = Printed()
        self._overran: Overran | None = None

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", self._module, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE, env=self._env, start_new_session=True, limit=LONGEST_LINE,
        )  # fmt: skip
        self._family = Family(self._process.pid, self._env[MARK])
        self._drain = asyncio.create_task(self._keep_printed())
        self._guard = asyncio.create_task(self._watch())
        await self._write(self._word)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._kill()
        for task in (self._drain, self._guard):
            task.cancel()
        assert self._process.stdin
        self._process.stdin.close()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._process.communicate(), LAST_WORDS)

    async def send(self, **message: Any) -> None:
        """Send one message; `hear` raises where the process has ended."""
        await self._write(json.dumps(message))

    async def hear(self) -> dict[str, Any]:
        """The next message. Raises Ended."""
        while True:
            line = await self._line()
            message = parse(line, self._word)
            if message and message["event"] != OPEN:
                return message
            if self._opened and not message:
                raise Garbled("the backend wrote into the suite's own channel: "
                              f"{shortened(line)!r}; its process was ended")  # fmt: skip
            self._opened = self._opened or bool(message)

    async def messages(self, last: tuple[str, ...]) -> AsyncIterator[dict[str, Any]]:
        """All messages, up to one of those that end the work. Raises Ended."""
        while True:
            message = await self.hear()
            yield message
            if message["event"] in last:
                return

    async def _line(self) -> bytes:
        assert self._process.stdout
        try:
            line = await asyncio.wait_for(self._process.stdout.readline(), self._limits.silence)
        except TimeoutError:
            raise Silent(f"it said nothing for {self._limits.silence:g} seconds, so its process was ended"
                         f"{self._last_printed()}") from None  # fmt: skip
        except ValueError:
            raise Garbled("the backend wrote into the suite's own channel without end; "
                          "its process was ended") from None  # fmt: skip
        if not line.endswith(b"\n"):
            raise self._overran or Died(await self._epitaph())
        return line

    async def _write(self, line: str) -> None:
        assert self._process.stdin
        with suppress(BrokenPipeError, ConnectionResetError):
            self._process.stdin.write(line.encode() + b"\n")
            await self._process.stdin.drain()

    async def _epitaph(self) -> str:
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(self._process.wait(), asyncio.shield(self._drain)), LAST_WORDS)
        code = self._process.returncode
        if code is None:
            return f"it closed the suite's own channel, so its process was ended{self._last_printed()}"
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        return f"its process ended by {how} before it had finished{self._last_printed()}"

    def _last_printed(self) -> str:
        shown = self._printed.shown()
        return f"; the last printed lines: {shown}" if shown else ""

    async def _keep_printed(self) -> None:
        """Read all printed text, so that the process never waits for a full pipe."""
        assert self._process.stderr
        while chunk := await self._process.stderr.read(2**16):
            self._printed.add(chunk)
            if self._printed.bytes > self._limits.printed:
                self._overrun(f"it printed more than {_size(self._limits.printed)}, so its process was ended"
                              f"{self._last_printed()}")  # fmt: skip

    async def _watch(self) -> None:
        """End a process that exceeds its memory, and processes that an ended one left, which hold the channel open."""
        while self._process.returncode is None:
            resident = self._family.resident()
            self.peak = max(self.peak, resident)
            if resident > self._limits.memory:
                self._overrun(f"it took more than {_size(self._limits.memory)} of memory, so its process was ended")
            await asyncio.sleep(LOOK)
        self._kill()

    def _overrun(self, why: str) -> None:
        self._overran = self._overran or Overran(why)
        self._kill()

    def _kill(self) -> None:
        self._family.kill()
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)


def environment(threads: int | None = None, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a child: quiet, and with BLAS threads that do not spin and slow the next process."""
    own = {"OPENBLAS_THREAD_TIMEOUT": "4", "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONFAULTHANDLER": "1", **(more or {})}
    if threads:
        own |= dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    return {**os.environ, **own}


def _size(count: int) -> str:
    return f"{count / 1e9:.3g} GB" if count >= 1e9 else f"{count / 1e6:.3g} MB"
