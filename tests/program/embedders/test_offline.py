"""A service that loads a program talks to its LM and to nobody else."""

import os
import subprocess
import sys

import pytest
from small import ROOT
from wire import EmbeddingProvider, Provider

_SERVICE = """
import socket, sys

asked, connect, resolve = [], socket.socket.connect, socket.getaddrinfo

def only_loopback(self, address):
    if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1"):
        asked.append(address)
        raise OSError("blocked")
    return connect(self, address)

def only_local(host, *rest, **more):
    if host not in ("127.0.0.1", "localhost"):
        asked.append(host)
        raise socket.gaierror("blocked")
    return resolve(host, *rest, **more)

socket.socket.connect, socket.getaddrinfo = only_loopback, only_local
"""

_DELEGATE = """
from task_delegator import Agent, Registry, load

registry = Registry([Agent(name="Refunds"), Agent(name="Invoices"), Agent(name="Travel")])
program = load("default", registry, lm="openai/gpt-4o-mini")
program.knobs.set({"lm.ask_settled": True, "lm.weight": 0.7})
print(program("send the invoice again").usage.lm_calls, asked)
"""

_EMBED = """
from task_delegator.embedders import embedder

print(len(embedder("openai/text-embedding-3-small").encode(["a"])), asked)
"""


def run(script: str, url: str) -> str:
    environment = {name: v for name, v in os.environ.items() if not name.startswith("LITELLM")}
    environment |= {"OPENAI_API_KEY": "sk-x", "OPENAI_BASE_URL": url, "PYTHONPATH": "program"}
    done = subprocess.run(
        [sys.executable, "-c", _SERVICE + script],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=ROOT,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.slow
def test_a_service_that_loads_a_program_fetches_no_price_list():
    with Provider() as provider:
        assert run(_DELEGATE, provider.url) == f"{len(provider.requests)} []"
        assert provider.requests


@pytest.mark.slow
def test_a_hosted_embedder_fetches_no_price_list():
    with EmbeddingProvider() as provider:
        assert run(_EMBED, provider.url) == "1 []"


def test_the_embedder_keeps_no_id_of_the_device_and_counts_no_user(tmp_path):
    code = "from task_delegator.embedders import embedder; embedder().encode(['pay'])"
    kept = {"XDG_CACHE_HOME": str(tmp_path), "TMPDIR": str(tmp_path), "PYTHONPATH": "program"}
    environment = {name: v for name, v in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment | kept, check=True)
    assert [path.name for path in tmp_path.iterdir() if path.name != "task-delegator"] == []
