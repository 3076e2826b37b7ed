"""Communicators of one process, for threads: the messages of MPI by way of queues."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from queue import Empty, Queue


@dataclass
class Arrival:
    """A message that is waited for."""

    buffer: object
    queue: Queue

    def Test(self):  # noqa: N802  # the names of MPI
        try:
            self.buffer[...] = self.queue.get_nowait()
        except Empty:
            return False
        return True


class Sent:
    """A message that is on its way; the buffer is free."""

    def Test(self):  # noqa: N802
        return True


@dataclass
class Post:
    """The communicator of one of `size` workers, who share the queues."""

    rank: int
    size: int
    queues: dict

    def Get_rank(self):  # noqa: N802
        return self.rank

    def Get_size(self):  # noqa: N802
        return self.size

    def Isend(self, buffer, dest, tag):  # noqa: N802
        self.queues[self.rank, dest].put(buffer.copy())
        return Sent()

    def Irecv(self, buffer, source, tag):  # noqa: N802
        return Arrival(buffer, self.queues[source, self.rank])


def posts(size):
    """The communicators of so many workers."""
    queues = {pair: Queue() for pair in product(range(size), repeat=2)}
    return [Post(rank, size, queues) for rank in range(size)]
