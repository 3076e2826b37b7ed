"""A backend may crash, hang, leave or lie: its own row says so, and the others finish."""

from __future__ import annotations

from typing import Any

import pytest
from fake_plugins import install, site

from conformance.report import conforms, report
from conformance.runner import Plan, run
from conformance.selection import Selection

FAULTS = {
    "sound": "pass",
    "segfault": "os.kill(os.getpid(), signal.SIGSEGV)",
    "leaver": "os._exit(0)",
    "hang": "time.sleep(600)",
    "liar": "return None",
    "printer": """print('{"event": "done"}'); os.write(1, b'{"event": "finding"}\\n'); sys.stdout.flush()""",
    "wrong": "params = {**params, 'b': {k: v + 1e-3 for k, v in params['b'].items()}}",
}
UNAVAILABLE = "rnnspec.errors.BackendUnavailable('get_backend', 'x', 'y', 'pip install z')"
SELECTION = Selection("smoke", examples=2, cells=("elman",), only=("P01",), precisions=("f64",))


@pytest.fixture(scope="module")
def judged(tmp_path_factory) -> dict[str, Any]:
    with site(tmp_path_factory.mktemp("site")) as folder:
        for name, fault in FAULTS.items():
            install(folder, name, fault)
        install(folder, "unloadable", make="raise RuntimeError('no such device')")
        install(folder, "absent", make=f"raise {UNAVAILABLE}")
        plan = Plan((*FAULTS, "unloadable", "absent"), SELECTION, speed=False, patience=15)
        document = report(run(plan, lambda name, message: None), 0, "smoke", 0.0)
    return {entry["name"]: entry for entry in document["backends"]}


def test_every_backend_has_its_row(judged):
    assert {name: entry["status"] for name, entry in judged.items()} == {
        "sound": "conforms", "printer": "conforms", "liar": "fails", "wrong": "fails", "segfault": "crashed",
        "leaver": "crashed", "hang": "timeout", "unloadable": "fails", "absent": "unavailable",
    }  # fmt: skip


def test_the_end_of_a_process_is_told(judged):
    assert "SIGSEGV" in judged["segfault"]["why"]
    assert "exit status 0" in judged["leaver"]["why"]
    assert "15 seconds" in judged["hang"]["why"]
    assert "no such device" in judged["unloadable"]["why"]
    assert "fake-unloadable 1.0" in judged["unloadable"]["why"]
    assert "pip install z" in judged["absent"]["why"]


@pytest.mark.parametrize("name", ["segfault", "leaver", "hang", "liar", "wrong"])
def test_what_ended_it_can_be_pasted(judged, name):
    (finding,) = judged[name]["properties"]
    assert finding["status"] == ("fail" if name == "wrong" else "error")
    assert finding["reproducer"].splitlines()[-1].startswith("conformance.reproduce('P01', case, ")
    compile(finding["reproducer"], "reproducer", "exec")


def test_counts_add_up(judged):
    for name in ("sound", "wrong", "liar", "printer"):
        counts = dict(judged[name]["counts"])
        assert counts.pop("expected") == sum(counts.values()) == 1


def test_a_failure_shows_its_worst_element(judged):
    (finding,) = judged["wrong"]["properties"]
    evidence = finding["evidence"]
    assert evidence["kappa"] > evidence["allowed"] > 0
    assert evidence["where"]
    assert float(evidence["got"]) != float(evidence["expected"])


def test_only_sound_backends_conform(judged):
    def verdict(*names, named=()):
        return conforms({"backends": [judged[name] for name in names]}, named)

    assert verdict("sound", "printer", "absent")
    assert not verdict("sound", "absent", named=("absent",))
    assert not verdict("absent")
    for name in ("segfault", "leaver", "hang", "liar", "wrong", "unloadable"):
        assert not verdict("sound", name)


def test_what_did_not_run_does_not_conform(judged):
    entry = {**judged["sound"], "counts": {**judged["sound"]["counts"], "expected": 2}}
    assert not conforms({"backends": [entry]})
