"""What can be read, and the course in which it is learnt; what it was chosen by is validation, never testing."""

from __future__ import annotations

from dataclasses import dataclass, replace

import digit_lines
import word_lines
from text_course import Course, Stage
from text_lines import Task


@dataclass(frozen=True)
class Exercise:
    """A task, its course, and a short one to see that everything works."""

    task: Task
    course: Course

    @property
    def quick(self) -> Course:
        return replace(self.course, stages=(Stage(1e-2, 2), Stage(1e-3, 1)), hidden=8, batch=4, lines=64,
                       validation=24, testing=24)  # fmt: skip


EXERCISES = {
    "digits": Exercise(digit_lines.TASK, Course((Stage(3e-3, 60), Stage(1e-3, 25), Stage(2e-4, 15)))),
    "words": Exercise(word_lines.TASK, Course((Stage(3e-3, 45), Stage(1e-3, 18), Stage(3e-4, 9)), hidden=80)),
}
