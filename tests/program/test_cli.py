import io
import json
import subprocess
import sys
from importlib.metadata import version
from types import SimpleNamespace

import pytest
from small import ROOT, HashedWords

from task_delegator import cli
from task_delegator.cli.options import load_program
from task_delegator.delegation import Delegation, Usage
from task_delegator.embedders import VectorCache
from task_delegator.errors import LMError, LMSpecError
from task_delegator.registry import Registry
from task_delegator.settings import TIMEOUT

AGENTS = str(ROOT / "datasets" / "agents.json")


def run(capsys, *arguments):
    code = cli.main(arguments)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def delegate(capsys, task, *options):
    return run(capsys, "delegate", task, "--agents", AGENTS, *options)


@pytest.mark.slow
def test_a_task_is_delegated_in_words(capsys):
    _, out, _ = delegate(capsys, "Our card was charged twice in May, who checks that?")
    assert out.startswith("assign: Billing Dispute Resolver\nconfidence 0.")
    assert "\nif one of the agents is right, it is\n   9" in out


@pytest.mark.slow
def test_a_task_is_delegated_as_json(capsys):
    code, out, _ = delegate(capsys, "Invite people to the October webinar", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["top3"][0]["name"] == "Webinar & Event Inviter"
    assert found["usage"]["lm_calls"] == 0


@pytest.mark.slow
def test_permissions_hide_agents(capsys):
    _, out, _ = delegate(capsys, "send the refund to the customer", "--permissions", "", "--json")
    assert "Refund Desk" not in out
    _, out, _ = delegate(
        capsys, "send the refund to the customer", "--permissions", "payments.refund", "--json"
    )
    assert "Refund Desk" in out


@pytest.mark.slow
def test_a_batch_is_one_line_per_task(capsys, tmp_path):
    tasks, out = tmp_path / "tasks.jsonl", tmp_path / "out.jsonl"
    tasks.write_text('{"task": "reset my password"}\n\n"translate the guide into French"\n')
    code, printed, _ = run(capsys, "batch", str(tasks), str(out), "--agents", AGENTS)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert (code, printed) == (0, "")
    assert [row["task"] for row in rows] == ["reset my password", "translate the guide into French"]


class NobodyFits:
    """A program that answers every task at once."""

    registry = Registry()
    retrieve = SimpleNamespace(
        library=SimpleNamespace(embed=HashedWords()), rerank=SimpleNamespace(id=None)
    )

    def dump_state(self):
        return {}

    def __call__(self, task, permissions=None, **wishes):
        usage = Usage()
        return Delegation(
            task=task, decision="none", agent=None, top3=(), confidence=0.0, reason="", rubric=None,
            usage=usage,
        )  # fmt: skip

    def delegate_each(self, tasks, permissions=None, **_):
        for task in tasks:
            try:
                yield self(task, permissions)
            except LMError as error:
                yield error


class Loads:
    """Record what the command loads."""

    def __init__(self, monkeypatch):
        self.settings = {}
        monkeypatch.setattr("task_delegator.artifact.load", self)

    def __call__(self, program, registry, **settings):
        self.settings = settings
        return NobodyFits()


@pytest.mark.parametrize(
    ("environment", "options", "lm"),
    [
        ("", (), None),
        ("openai/a", (), "openai/a"),
        ("", ("--lm", "embedded"), "embedded"),
        ("openai/a", ("--lm", "embedded"), "embedded"),
        ("openai/a", ("--no-lm",), None),
    ],
)
def test_no_lm_is_asked_unless_one_is_named(capsys, monkeypatch, environment, options, lm):
    monkeypatch.setenv("TASK_DELEGATOR_LM", environment)
    loads = Loads(monkeypatch)
    assert delegate(capsys, "reset my password", *options)[0] == 0
    assert loads.settings["lm"] == lm


@pytest.mark.parametrize(
    ("options", "policy", "seconds"),
    [
        ((), "degrade", TIMEOUT),
        (("--on-lm-failure", "raise", "--timeout", "2.5"), "raise", 2.5),
        (("--timeout", "none"), "degrade", None),
    ],
)
def test_policy_and_deadline_are_passed_on(capsys, monkeypatch, options, policy, seconds):
    loads = Loads(monkeypatch)
    assert delegate(capsys, "reset my password", *options)[0] == 0
    assert (loads.settings["on_lm_failure"], loads.settings["timeout"]) == (policy, seconds)


@pytest.mark.parametrize(("options", "share"), [((), None), (("--max-lm-share", "0.4"), 0.4)])
@pytest.mark.parametrize("command", [["batch", "tasks", "out"], ["serve"], ["mcp"]])
def test_the_lm_s_share_is_passed_on(monkeypatch, command, options, share):
    loads = Loads(monkeypatch)
    load_program(cli.parser().parse_args([*command, "--agents", AGENTS, *options]))
    assert loads.settings["max_lm_share"] == share


@pytest.mark.parametrize("text", ["-0.1", "1.01", "nan", "half"])
def test_a_share_that_is_none_is_refused(capsys, text):
    with pytest.raises(SystemExit):
        cli.main(["batch", "tasks", "out", "--max-lm-share", text])
    assert f"'{text}' is not a number in [0, 1]" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["0", "-1", "inf", "nan", "soon"])
def test_a_deadline_that_is_none_is_refused(capsys, text):
    with pytest.raises(SystemExit):
        cli.main(["delegate", "x", "--timeout", text])
    assert "is not a positive number of seconds, or none" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [["delegate", "x"], ["batch", "t.jsonl", "o.jsonl"], ["feedback", "x", "--nobody"]],
    ids=lambda arguments: arguments[0],
)
def test_the_agents_are_those_of_the_checkout_or_have_to_be_named(
    capsys, tmp_path, monkeypatch, arguments
):
    Loads(monkeypatch)
    (tmp_path / "t.jsonl").write_text('"x"')
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert "--agents is missing: name a JSON file of agents" in err
    assert len(err.splitlines()) == 1
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "agents.json").write_text('[{"name": "A"}]')
    assert run(capsys, *arguments)[0] == 0


def test_an_applied_enrichment_is_told_before_the_results(capsys, monkeypatch):
    events = []
    Loads(monkeypatch)
    monkeypatch.setattr("sys.stderr.write", lambda text: events.append(("err", text)))
    monkeypatch.setattr("sys.stdout.write", lambda text: events.append(("out", text)))
    assert cli.main(["delegate", "reset my password", "--agents", AGENTS]) == 0
    told = [stream for stream, text in events if text.strip()]
    assert told[0] == "err"
    assert "enrichment.json is applied" in events[0][1]
    assert told[1] == "out"


def test_help_is_plain_text(capsys):
    for arguments in ([], ["delegate"], ["batch"], ["feedback"], ["cache"], ["lint"]):
        with pytest.raises(SystemExit):
            cli.main([*arguments, "--help"])
        assert "`" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (LMError("no answer"), 3, '3 delegations to out.jsonl; 1 failed: see their "error"'),
        (LMSpecError("no key"), 2, "line 2: no key (1 finished lines are kept: the same command"),
    ],
)
def test_a_batch_says_what_failed(capsys, tmp_path, monkeypatch, error, code, said):
    monkeypatch.chdir(tmp_path)
    Loads(monkeypatch)
    (tmp_path / "tasks.jsonl").write_text('"a"\n"b"\n"c"\n')
    answer = NobodyFits.__call__

    def fail(self, task, permissions=None):
        if task == "b":
            raise error
        return answer(self, task, permissions)

    monkeypatch.setattr(NobodyFits, "__call__", fail)
    command = ("batch", "tasks.jsonl", "out.jsonl", "--agents", AGENTS)
    found, out, err = run(capsys, *command)
    assert (found, out) == (code, "")
    assert said in err
    monkeypatch.setattr(NobodyFits, "__call__", answer)
    assert run(capsys, *command)[0] == 0
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 3


@pytest.mark.parametrize("place", ["tasks.jsonl", "-"])
def test_a_batch_is_read_as_windows_writes_text(capsys, tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    Loads(monkeypatch)
    content = '\ufeff{"task": "a"}\r\n"b\u2028c"\r\n'.encode()
    (tmp_path / "tasks.jsonl").write_bytes(content)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    code, _, _ = run(capsys, "batch", place, "out.jsonl", "--agents", AGENTS)
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert code == 0
    assert [row["task"] for row in rows] == ["a", "b\u2028c"]


@pytest.mark.slow
def test_a_task_for_several_agents_is_planned(capsys):
    task = (
        "A customer was billed twice for May, please check who is right. "
        "Then write the invitation for our October webinar on route planning."
    )
    code, out, err = delegate(capsys, task, "--plan", "--json")
    plan = json.loads(out)
    assert code == 0
    assert [step["delegation"]["top3"][0]["name"] for step in plan["steps"]] == [
        "Billing Dispute Resolver",
        "Webinar & Event Inviter",
    ]
    assert plan["steps"][1]["after"] == [1]
    assert "enrichment.json is applied" in err
    _, out, _ = delegate(capsys, task, "--plan")
    assert "2. after 1" in out


@pytest.mark.slow
def test_an_enrichment_can_be_left_aside_or_named(capsys, tmp_path):
    _, _, err = delegate(capsys, "reset my password", "--enrichment", "none")
    assert "is applied" not in err
    path = tmp_path / "e.json"
    path.write_text('{"agents": {"Nobody": {}}}')
    code, _, err = delegate(capsys, "reset my password", "--enrichment", str(path))
    assert code == 2
    assert "no agent is named 'Nobody'" in err


@pytest.mark.slow
def test_feedback_is_recorded(capsys, tmp_path):
    log = tmp_path / "f.jsonl"
    options = ("--agents", AGENTS, "--log", str(log), "--no-lm")
    task = "Our card was charged twice in May, who checks that?"
    name = "Billing Dispute Resolver"
    assert run(capsys, "feedback", task, "--correct", name.lower(), "--delegate", *options)[0] == 0
    assert run(capsys, "feedback", "bake a cake", "--nobody", *options)[0] == 0
    first, second = (json.loads(line) for line in log.read_text().splitlines())
    assert first["agent"] == first["correct_agent"] == name
    assert first["confidence"] > 0.5
    assert (second["agent"], second["correct_agent"]) == (None, None)
    for wrong, message in (
        (["--correct", "Nobody"], "no agent is named"),
        ([], "give either --correct NAME or --nobody"),
        (["--correct", name, "--nobody"], "give either --correct NAME or --nobody"),
    ):
        code, _, err = run(capsys, "feedback", task, *wrong, *options)
        assert code == 2
        assert message in err


def test_who_reads_one_line_of_the_output_gets_no_traceback():
    code = """
from argparse import Namespace
from task_delegator.cli import command_line
told = lambda options: [print("x", flush=True) for _ in range(10**6)]
command_line.parser = lambda: Namespace(parse_args=lambda _: Namespace(run=told))
raise SystemExit(command_line.main([]))
"""
    piped = ["bash", "-c", f"{sys.executable} -c '{code}' | head -1; echo ${{PIPESTATUS[0]}}"]
    done = subprocess.run(piped, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("x\n1\n", "")


def test_the_cache_says_what_it_holds_and_is_cleared(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = tmp_path / "task-delegator"
    assert run(capsys, "cache") == (0, f"{folder}: 0 bytes\n", "")
    VectorCache("vectors.sqlite").write({b"a": b"1", b"b": b"2"})
    (folder / "damaged.sqlite").write_bytes(b"no database" * 99)
    code, out, _ = run(capsys, "cache")
    assert code == 0
    assert str(folder) in out
    assert "vectors.sqlite: 12,288 bytes, 2 entries" in out.splitlines()[2]
    assert out.splitlines()[1] == "  damaged.sqlite: 1,089 bytes"
    assert run(capsys, "cache", "--clear")[2] == "task-delegator: deleted 2 files\n"
    assert list(folder.iterdir()) == []


def test_lint_prints_findings(capsys, tmp_path):
    path = tmp_path / "agents.json"
    path.write_text(json.dumps([{"name": "A"}, {"name": "B", "user_request_samples": ["x y"]}]))
    code, out, _ = run(capsys, "lint", "--agents", str(path))
    assert code == 0
    assert "no-samples: A" in out


def test_the_version_is_that_of_the_installed_package(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"task-delegator {version('task-delegator')}\n"


@pytest.mark.parametrize(
    ("files", "arguments", "message"),
    [
        ({}, ["delegate", "x", "--agents", "missing.json"], "missing.json: no such file"),
        ({"a.json": "[]"}, ["lint", "--agents", "a.json"], "a.json: the registry is empty"),
        (
            {"t.jsonl": "refund Ann"},
            ["batch", "t.jsonl", "out.jsonl", "--agents", AGENTS],
            't.jsonl: line 1: expected {"task": "..."} or a string in quotes, a line of JSON each',
        ),
        (
            {"a.json": "[{"},
            ["delegate", "x", "--agents", "a.json"],
            "a.json: broken JSON at line 1",
        ),
        ({"a.json": "[]"}, ["delegate", "x", "--agents", "a.json"], "registry is empty"),
        (
            {"a.json": '[{"name": "A"}, {"name": "A"}]'},
            ["delegate", "x", "--agents", "a.json"],
            "two agents are named 'A'",
        ),
        ({}, ["delegate", "", "--agents", AGENTS], "the task is empty"),
        ({}, ["feedback", " ", "--nobody", "--agents", AGENTS], "the task is empty"),
        ({}, ["delegate", "x" * 100_000, "--agents", AGENTS], "100,000 characters"),
        ({}, ["delegate", "x", "--agents", AGENTS, "--lm", "gpt"], "unknown LM 'gpt'"),
        ({}, ["delegate", "x", "--agents", AGENTS, "--lm", "openai/gpt-5-mini"], "OPENAI_API_KEY"),
        ({}, ["delegate", "x", "--agents", AGENTS, "--program", "nowhere"], "no compiled program"),
        (
            {},
            ["delegate", "x", "--agents", AGENTS, "--lm", "embedded:x.gguf"],
            "x.gguf: no such file",
        ),
        (
            {"t.jsonl": '"x"'},
            ["batch", "t.jsonl", "no/out.jsonl", "--agents", AGENTS],
            "cannot be written",
        ),
        (
            {},
            ["delegate", "x", "--agents", AGENTS, "--embedder", "what"],
            "unknown embedder 'what'",
        ),
        ({}, ["batch", "no.jsonl", "out.jsonl", "--agents", AGENTS], "no.jsonl: cannot be read"),
        (
            {"t.jsonl": '{"task": 3}\n'},
            ["batch", "t.jsonl", "out.jsonl", "--agents", AGENTS],
            "t.jsonl: line 1: expected",
        ),
        (
            {"t.jsonl": '""\n'},
            ["batch", "t.jsonl", "out.jsonl", "--agents", AGENTS],
            "t.jsonl: line 1: the task is empty",
        ),
    ],
)
def test_bad_input_is_one_line_and_exit_code_two(
    capsys, tmp_path, monkeypatch, files, arguments, message
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert len([line for line in err.splitlines() if "is applied" not in line]) == 1
    assert not (tmp_path / "out.jsonl").exists()
