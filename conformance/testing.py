"""The suite as pytest tests: a class to subclass in a backend's own tests.

    class TestTheirs(conformance.testing.BackendSuite):
        @pytest.fixture(scope="class")
        @classmethod
        def backend(cls):
            return rnnspec.get_backend("theirs", precision="f64")

It has one test for each law, in this process. pytest must be installed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from conformance.findings.finding import BAD, NOT_APPLICABLE, Finding
from conformance.registry import Property, properties
from conformance.running.examination import Examination
from conformance.selection import Selection
from rnnspec import Backend

__all__ = ["BackendSuite"]

OPEN = ("backend", "selection", "xfails")
"""The attributes that a subclass may set; it inherits everything else."""


class BackendSuite:
    """Tests the backend of the fixture `backend`, which a subclass must define.

    `selection` is the selection of laws and the depth. `xfails` maps the id of a law that must fail to the reason; the
    test of such a law fails where the law holds. A subclass that overrides anything else raises TypeError.
    """

    selection: ClassVar[Selection] = Selection("smoke")
    xfails: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls) -> None:
        own = sorted(name for name in vars(cls) if not name.startswith("__") and name not in OPEN)
        replaced = [name for name in own if hasattr(BackendSuite, name)]
        unknown = sorted(set(cls.xfails) - {law.id for law in properties()})
        if replaced:
            raise TypeError(f"{cls.__name__}: the suite's tests must stay as they are, got {', '.join(replaced)}; "
                            "name what must fail in xfails, with a reason")  # fmt: skip
        if unknown or not all(map(str.strip, cls.xfails.values())):
            raise TypeError(f"{cls.__name__}: xfails must map properties' ids to reasons, got {dict(cls.xfails)}; "
                            "see `python -m conformance --list`")  # fmt: skip

    @pytest.fixture(scope="class")
    @classmethod
    def backend(cls) -> Backend:
        """The backend to test."""
        raise NotImplementedError(f"{cls.__name__}: give a fixture `backend` that returns a rnnspec.Backend")

    @pytest.mark.parametrize("law", properties(), ids=lambda law: law.id)
    def test_property(self, backend: Backend, law: Property, record_property: Any) -> None:
        """The law holds."""
        chosen, depth = self.selection, self.selection.depth
        scope = chosen.scope(backend.capabilities)
        if law not in chosen.laws():
            pytest.skip("not selected")
        examination = Examination(backend, scope, chosen.seed, chosen.examples_each, depth.labels)
        finding = examination.judge(law, self.xfails.get(law.id))
        record_property("kappa_max", finding.kappa_max)
        record_property("examples", finding.examples)
        if finding.status in BAD:
            pytest.fail(_shown(finding), pytrace=False)
        if finding.status == "xfail":
            pytest.xfail(finding.why)
        if finding.status in ("unsupported", "ill_posed", "inconclusive", NOT_APPLICABLE):
            pytest.skip(f"{finding.status}: {finding.why}")


def _shown(finding: Finding) -> str:
    texts = ("what this means", finding.failure), ("where to start", finding.first)
    explained = "".join(f"{heading}: {text}\n" for heading, text in texts if text)
    return f"{finding.id} {finding.name}: {finding.says}\n{finding.why}\n{explained}\n{finding.reproducer}"
