"""Child process of the embedded LM: serves one GGUF file with llama.cpp on loopback.

Started by ``server.py`` as a script (``python -P``), so that it imports nothing but the
server. It reads one JSON line of settings from standard input, answers one JSON
line with its address, and ends when standard input closes: the pipe closes with
the parent, however the parent ends. In the parent's own process the server
crashes or hangs at exit while a request is in flight.
"""

import json
import os
import sys
from importlib import import_module
from typing import Any


def main() -> None:
    """Serve until standard input closes."""
    settings = json.loads(sys.stdin.readline())
    xllamacpp: Any = import_module("xllamacpp")  # it carries no types
    parameters = xllamacpp.CommonParams()
    parameters.model.path = settings["path"]
    if settings["adapter"] is not None:
        parameters.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(settings["adapter"], 1.0)]
    parameters.port = 0
    parameters.verbosity = -1
    parameters.api_keys = [settings["api_key"]]
    parameters.n_ctx = settings["context"]
    parameters.n_parallel = 1
    parameters.cache_prompt = settings["prompt_cache"]
    parameters.cache_ram_mib = 0  # the prefix in the slot is enough; the default keeps gigabytes
    parameters.cpuparams.n_threads = settings["threads"]
    parameters.cpuparams_batch.n_threads = settings["threads"]
    try:
        server = xllamacpp.Server(parameters)
    except RuntimeError as error:
        print(json.dumps({"error": str(error) or "the model could not be loaded"}), flush=True)
        os._exit(1)
    print(json.dumps({"url": server.listening_address}), flush=True)
    while sys.stdin.read(1):
        pass
    os._exit(0)  # unwinding the server can hang


if __name__ == "__main__":
    main()
