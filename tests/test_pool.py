"""Programs that wait for another call: given back by the garbage collector, at any time."""

from dataclasses import dataclass
from threading import Thread

from backends.planning import pool
from backends.planning.pool import Pool


@dataclass
class Kept:
    capacity: int = 4
    bytes: int = 1


def test_a_program_is_taken_once_and_only_where_it_has_room():
    kept, program = Pool(), Kept()
    kept.give("key", program)
    assert kept.take("other", 1) is None
    assert kept.take("key", 4) is program
    assert kept.take("key", 4) is None
    kept.give("key", program)
    assert kept.take("key", 5) is None


def test_of_many_programs_those_that_were_used_last_are_kept(monkeypatch):
    monkeypatch.setattr(pool, "KEPT_BYTES_OF_MANY", 20)
    kept = Pool()
    for key in range(60):
        kept.give(key, Kept(bytes=2))
    assert [key for key in range(60) if kept.take(key, 1)] == list(range(50, 60))
    for key in range(pool.FEW):
        kept.give(key, Kept(bytes=20))
    assert [key for key in range(pool.FEW) if kept.take(key, 1)] == list(range(pool.FEW))


def test_what_is_given_while_another_is_taken_waits_for_nobody():
    """As where the collector frees a run within `take`, on the thread that holds the lock."""
    kept, inner = Pool(), Kept()

    class Looked:
        def __eq__(self, other):
            kept.give("inner", inner)
            return self is other

        __hash__ = object.__hash__

    key = Looked()
    kept.give(key, Kept())
    taking = Thread(target=kept.take, args=("key", 1), daemon=True)
    taking.start()
    taking.join(20)
    assert not taking.is_alive()
    assert kept.take("inner", 1) is inner


def test_the_longest_idle_is_let_go_where_memory_is_short(monkeypatch):
    monkeypatch.setattr(pool, "KEPT_BYTES", 1)
    kept = Pool()
    for key in ("first", "second"):
        kept.give(key, Kept())
    assert kept.take("first", 1) is None
    assert kept.take("second", 1) is not None
