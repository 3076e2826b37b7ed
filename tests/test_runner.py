"""A backend may crash, hang, leave, lie or take all there is: its own row says so, and the others finish."""

from __future__ import annotations

import json
from typing import Any

import psutil
import pytest
from fake_plugins import install, site
from typer.testing import CliRunner

from conformance.command import app
from conformance.findings.report import conforms, report
from conformance.processes.limits import Limits
from conformance.registry import Shape
from conformance.running.runner import Plan, run
from conformance.selection import Selection

UNAVAILABLE = "rnnspec.errors.BackendUnavailable('get_backend', 'x', 'y', 'pip install z')"
WRONG = "params = {**params, 'b': {k: v + 1e-3 for k, v in params['b'].items()}}"
FORGE = """
        import conformance.processes.channel
        (channel,) = [o for o in gc.get_objects() if isinstance(o, conformance.processes.channel.Channel)]
        channel.tell(%s)
"""
ORPHAN = """
        if os.fork() == 0:
            os.setsid()
            open(os.environ["ORPHAN"], "w").write(str(os.getpid()))
            time.sleep(600)
        while not os.path.exists(os.environ["ORPHAN"]):
            time.sleep(0.01)
        os._exit(0)
"""
CHILD = "import time; kept = b'1' * 2**30; time.sleep(600)"
HOARD = """
        kept = []
        while True:
            kept.append(b'1' * 2**24)
"""

SOUND = {
    "sound": {},
    "printer": {"fault": """print('{"event": "done"}'); os.write(1, b'{"event": "finding"}\\n'); sys.stdout.flush()"""},
    "chatterbox": {"fault": "os.write(2, b'x' * 2**18)"},
    "earlybird": {"top": "print('hello')"},
}
CRASHED = {
    "segfault": ("SIGSEGV", {"fault": "os.kill(os.getpid(), signal.SIGSEGV)"}),
    "wildpointer": ("in string_at", {"fault": "import ctypes; ctypes.string_at(1)"}),
    "abort": ("SIGABRT", {"fault": "os.abort()"}),
    "leaver": ("exit status 0", {"fault": "os._exit(0)"}),
    "latecomer": ("exit status 0", {"fault": "Fake.faults > 2 and os._exit(0)"}),
    "abandoner": ("exit status 0", {"fault": ORPHAN}),
    "flood": ("printed more than 50 MB", {"fault": "\n        while True: os.write(2, b'y' * 2**20)"}),
    "intruder": ("the suite's own channel", {"fault": "os.write(3, b'{\"event\": \"done\"}\\n')"}),
    "deluge": ("the suite's own channel", {"fault": "\n        while True: os.write(3, b'z' * 2**16)"}),
    "closer": ("it closed the suite's own channel", {"fault": "os.closerange(3, 100); time.sleep(600)"}),
    "hog": ("more than 700 MB of memory", {"fault": HOARD}),
    "brood": ("more than 700 MB of memory", {"fault": f"subprocess.run([sys.executable, '-c', {CHILD!r}])"}),
    "forger": ("done (ValueError", {"fault": FORGE % "'done', entries=1"}),
    "early judge": ("1 properties did not run",
                    {"fault": FORGE % "'judged', seconds=0, programs_compiled=0, effective_u=0"}),
    "inventor": ("a finding of P99", {"fault": FORGE % "'finding', finding={'id': 'P99', 'status': 'pass'}"}),
    "usurper": ("handover (ValueError", {"fault": FORGE % "'handover', record={}"}),
    "stutterer": ("finding (KeyError", {"fault": FORGE % "'finding', nothing=0"}),
}  # fmt: skip
# The call in "lock" keeps the interpreter's lock: no other thread of the process runs, as in a loop of C without end.
TIMEOUT = {
    "hang": ("8 seconds", {"fault": "time.sleep(600)"}),
    "lock": ("8 seconds", {"fault": "import ctypes; ctypes.PyDLL(None).sleep(600)"}),
    "slow start": ("8 seconds", {"top": "time.sleep(600)"}),
}
FAILS = {
    "unloadable": ("RuntimeError: no such device", {"make": "raise RuntimeError('no such device')"}),
    "unimportable": ("ValueError: broken inside", {"top": "raise ValueError('broken inside')"}),
    "forgetful": ("must give a Backend", {"make": "return None"}),
    "too new": ("pip install -U rnnspec", {"body": "spec_version = '2.0'"}),
    "too old": ("pip install -U fake-too", {"body": "spec_version = '0.9'"}),
    "boaster": ("must be a whole number", {"body": "programs_compiled = -3"}),
    "twin": ("two-twin 1.0", {}),
}
WRONG_ANSWERS = {
    "wrong": ("fail", {"fault": WRONG}),
    "nan": ("fail", {"fault": "inputs = inputs * np.nan"}),
    "mute": ("error", {"fault": "return None"}),
    "raiser": ("error", {"fault": "raise ValueError('x' * 2**20 + '\\x1b[2J')"}),
    "misshapen": ("fail", {"fault": "return LayerResult('outputs', {}, 'nothing')"}),
    "bottomless": ("error", {"fault": "return self.layer(cell, params, inputs, state, lengths, call)"}),
}
SHAPE = Shape(3, 5, 2, 3)
"""One size: it is the process that is judged here, not the law."""
SELECTION = Selection("smoke", examples=2, cells=("elman",), shapes=(SHAPE,), only=("P01",), precisions=("f64",))
LIMITS = Limits(silence=8, memory=700 * 10**6, printed=50 * 10**6)


@pytest.fixture(scope="module")
def judged(tmp_path_factory) -> dict[str, Any]:
    """The entry of every backend, judged together."""
    told = {name: fake for table in (CRASHED, TIMEOUT, FAILS, WRONG_ANSWERS) for name, (_, fake) in table.items()}
    with site(tmp_path_factory.mktemp("site")) as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("ORPHAN", str(folder / "orphan"))
        for name, fake in (SOUND | told).items():
            install(folder, name.replace(" ", "_"), **fake)
        install(folder, "twin", project="two")
        install(folder, "absent", make=f"raise {UNAVAILABLE}")
        names = tuple(name.replace(" ", "_") for name in (*SOUND, *told, "absent"))
        document = report(run(Plan(names, SELECTION, speed=False, limits=LIMITS), lambda *_: None), 0, "smoke", 0.0)
        assert [entry["name"] for entry in document["backends"]] == list(names)
        orphan = int((folder / "orphan").read_text())
    assert not psutil.pid_exists(orphan) or psutil.Process(orphan).status() == psutil.STATUS_ZOMBIE
    return {entry["name"].replace("_", " "): entry for entry in document["backends"]}


@pytest.mark.parametrize("name", SOUND)
def test_what_prints_much_and_answers_rightly_conforms(name, judged):
    assert judged[name]["status"] == "conforms", judged[name]["why"]


@pytest.mark.parametrize(
    ("status", "name", "says"),
    [(status, name, says) for status, table in (("crashed", CRASHED), ("timeout", TIMEOUT), ("fails", FAILS))
     for name, (says, _) in table.items()],
)  # fmt: skip
def test_what_became_of_a_process_is_told(status, name, says, judged):
    entry = judged[name]
    assert (entry["status"], says in entry["why"]) == (status, True), (entry["status"], entry["why"])


@pytest.mark.parametrize("name", FAILS)
def test_what_does_not_load_is_told_with_its_distribution(name, judged):
    assert f"fake-{name.replace(' ', '-')}" in judged[name]["why"] or judged[name]["counts"]["expected"]


@pytest.mark.parametrize(("name", "status"), [(name, status) for name, (status, _) in WRONG_ANSWERS.items()])
def test_a_wrong_answer_is_a_finding(name, status, judged):
    (finding,) = judged[name]["properties"]
    assert (judged[name]["status"], finding["status"]) == ("fails", status)


@pytest.mark.parametrize("name", [*sorted(CRASHED.keys() - {"early judge"}), "hang", "lock", *WRONG_ANSWERS])
def test_what_ended_it_can_be_pasted(judged, name):
    (finding,) = judged[name]["properties"]
    assert finding["status"] == (WRONG_ANSWERS[name][0] if name in WRONG_ANSWERS else "error")
    assert finding["reproducer"].splitlines()[-1].startswith("conformance.reproduce('P01', case, ")
    compile(finding["reproducer"], "reproducer", "exec")


def test_counts_add_up(judged):
    for name in (*SOUND, *CRASHED, *WRONG_ANSWERS):
        counts = dict(judged[name]["counts"])
        assert counts.pop("expected") == sum(counts.values()) == 1


def test_a_failure_shows_its_worst_element(judged):
    (finding,) = judged["wrong"]["properties"]
    evidence = finding["evidence"]
    assert evidence["kappa"] > evidence["allowed"] > 0
    assert evidence["where"]
    assert float(evidence["got"]) != float(evidence["expected"])


def test_where_it_crashed_is_told(judged):
    assert "Segmentation fault" in judged["segfault"]["why"]
    assert "fake_segfault.py" in judged["segfault"]["why"]


def test_no_text_of_a_backend_fills_the_report_or_moves_the_cursor(judged):
    text = json.dumps(judged, ensure_ascii=False)
    assert "\x1b" not in text
    assert max(map(len, (entry["why"] for entry in judged.values()))) < 10_000
    assert len(judged["raiser"]["properties"][0]["why"]) < 30_000


def test_an_absent_framework_is_told(judged):
    assert judged["absent"]["status"] == "unavailable"
    assert "pip install z" in judged["absent"]["why"]


def test_only_sound_backends_conform(judged):
    def verdict(*names, named=()):
        return conforms({"backends": [judged[name] for name in names]}, named)

    assert verdict(*SOUND, "absent")
    assert not verdict("sound", "absent", named=("absent",))
    assert not verdict("absent")
    for name in (*CRASHED, *TIMEOUT, *FAILS, *WRONG_ANSWERS):
        assert not verdict("sound", name)


def test_what_did_not_run_does_not_conform(judged):
    entry = {**judged["sound"], "counts": {**judged["sound"]["counts"], "expected": 2}}
    assert not conforms({"backends": [entry]})


def test_the_command_s_limits_hold(tmp_path, monkeypatch):
    quick = ("--no-speed", "--tier", "smoke", "--only", "P01", "--cell", "elman", "--precision", "f64", "--shape",
             "3,5,2,3")  # fmt: skip
    with site(tmp_path):
        install(tmp_path, "hang", "time.sleep(600)")
        install(tmp_path, "hog", HOARD)
        both = [option for name in ("hang", "hog", "numpy") for option in ("--backend", name)]
        monkeypatch.syspath_prepend(tmp_path)
        done = CliRunner().invoke(app, [*both, *quick, "--patience", "8", "--memory", "0.7"])
    assert done.exit_code == 1
    assert "hang f64: it said nothing for 8 seconds" in done.output
    assert "hog f64: it took more than 700 MB of memory" in done.output
    assert "numpy f64: tested" in done.output


def test_what_ends_while_its_speed_is_measured_is_told_too(tmp_path):
    refuses = "rnnspec.errors.BrokenBackend('layer', 'x', 'y', 'z')"
    selection = Selection("default", cells=("elman",), shapes=(Shape(2, 3, 2, 2),), modes=("forward",))
    with site(tmp_path):
        install(tmp_path, "leaver", "Fake.faults > 50 and os._exit(0)")
        install(tmp_path, "quitter", f"\n        if Fake.faults > 50: raise {refuses}")
        plan = Plan(("leaver", "quitter", "numpy"), selection, correctness=False, limits=Limits())
        leaver, quitter, sound = run(plan, lambda *_: None)
    assert (leaver.status, quitter.status, sound.status) == ("crashed", "crashed", "conforms")
    assert "while its speed was measured: its process ended by exit status 0" in leaver.why
    assert "while its speed was measured: layer: x, got y" in quitter.why
    assert sound.speed
