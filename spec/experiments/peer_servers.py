"""How each outside server is started: as fast as it can be for one agent, on one thread, with its KV cache kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .peer_builds import llama_cpp_build, llama_cpp_source, python_servers_environment, vllm_environment
from .peer_model import hf_folder, plain_word, without_end


@dataclass(frozen=True, slots=True)
class Server:
    """How a server is started.

    health: a path that answers once it is ready.
    urls:   by the peers' names, what ``--peer NAME=URL`` is given; ``{port}`` stands for the port.
    """

    command: list[str]
    environment: dict[str, str]
    health: str
    urls: dict[str, str]


@dataclass(frozen=True, slots=True)
class Request:
    """What to serve: ``port`` on 127.0.0.1, ``context`` tokens, files below ``into``."""

    model: Path
    context: int
    port: int
    into: Path

    def command(self, words: str, **paths: Path) -> list[str]:
        """The words, with values filled in after they were split: a path may hold a space."""
        values = {"model": self.model, "port": self.port, "context": self.context, **paths}
        return [word.format(**values) for word in words.split()]

    def fields(self) -> str:
        """What requests carry beside: a word that is forced, so that all servers sample as many tokens as they are
        asked for, and text that tokenises to what was sampled. What a model says by itself may end early, may be no
        text at all (random weights), or may become other tokens when it comes back with the history."""
        return json.dumps({"logit_bias": {str(plain_word(self.model)): 100}}, separators=(",", ":"))


def llama_server(ask: Request) -> Server:
    binary = llama_cpp_build(ask.into) / "llama-server"
    # One slot: its KV cache is what the next request of the session goes on from. No second cache in RAM: it would copy
    # the state of a session that never comes back. All else as it is by default, flash attention included.
    return Server(
        ask.command(
            "{binary} --model {model} --port {port} --ctx-size {context} --threads 1 --threads-batch 1 --parallel 1 "
            "--cache-ram 0 --no-ui --no-slots --log-disable --offline",
            binary=binary,
        ),
        {},
        "/health",
        {"llama-server": f"chat+http://127.0.0.1:{{port}}#{ask.fields()}"},
    )


def _bindings(ask: Request) -> dict[str, str]:
    """llama-cpp-python from its source tree, on the same libraries as llama-server."""
    libraries = str(llama_cpp_build(ask.into))
    return {
        "PYTHONPATH": str(llama_cpp_source(ask.into)),
        "LLAMA_CPP_LIB_PATH": libraries,
        "MTMD_CPP_LIB": libraries,
    }


def classic_server(ask: Request) -> Server:
    python = python_servers_environment(ask.into) / "bin" / "python"
    # Its Llama object keeps the KV cache of the last request and goes on from the longest common prefix. Logits of the
    # last token alone: with all of them it would copy the prompt's, too.
    return Server(
        ask.command(
            "{python} -m llama_cpp.server --host 127.0.0.1 --port {port} --model {model} --n_ctx {context} "
            "--n_threads 1 --n_threads_batch 1 --logits_all false --verbose false --disable_ping_events true",
            python=python,
        ),
        _bindings(ask),
        "/v1/models",
        {"llama-cpp-python": f"chat+http://127.0.0.1:{{port}}#{ask.fields()}"},
    )


def example_server(ask: Request) -> Server:
    python = python_servers_environment(ask.into) / "bin" / "python"
    script = llama_cpp_source(ask.into) / "examples" / "server" / "server.py"
    endless = without_end(ask.model, ask.into / "models" / f"{ask.model.stem}-without-end.gguf")
    model = {"path": str(endless), "n_ctx": ask.context, "n_seq_max": 1, "threads": 1, "threads_batch": 1}
    config = ask.into / "example-server.json"
    config.write_text(
        json.dumps({"server": {"host": "127.0.0.1", "port": ask.port}, "model": {**model, "store_logits": False}})
    )
    return Server(
        [str(python), str(script), "-C", str(config)],
        _bindings(ask),
        "/healthz",
        {
            "example-server-http": "responses+http://127.0.0.1:{port}",
            "example-server-ws": "ws://127.0.0.1:{port}/v1/responses",
        },
    )


def vllm_server(ask: Request) -> Server:
    binary = vllm_environment(ask.into) / "bin" / "vllm"
    folder = hf_folder(ask.model, ask.into / "models" / ask.model.stem)
    # Its prefix cache is on by default; in blocks of 32 tokens, not of 128, it finds more of a history. The thread that
    # computes is bound to no core: it would share that one with the rest of the server.
    return Server(
        ask.command(
            "{binary} serve {folder} --host 127.0.0.1 --port {port} --max-model-len {context} --max-num-seqs 1 "
            "--dtype bfloat16 --block-size 32 --enable-prompt-tokens-details",
            binary=binary,
            folder=folder,
        ),
        {
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "OMP_NUM_THREADS": "1",
            "VLLM_CPU_KVCACHE_SPACE": "1",
            "HF_HUB_OFFLINE": "1",
            "VLLM_NO_USAGE_STATS": "1",
            "VLLM_LOGGING_LEVEL": "WARNING",
        },
        "/health",
        {"vllm": f"chat+http://127.0.0.1:{{port}}#{ask.fields()}"},
    )


SERVERS: dict[str, Callable[[Request], Server]] = {
    "llama-server": llama_server,
    "llama-cpp-python": classic_server,
    "example-server": example_server,
    "vllm": vllm_server,
}
