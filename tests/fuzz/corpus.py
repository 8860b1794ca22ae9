"""The seeds of the fuzzers: ``python tests/fuzz/corpus.py`` writes them to ``corpus/``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "corpus"


def frame(kind: str, **fields: Any) -> str:
    return json.dumps({"type": f"response.{kind}", **fields}, separators=(",", ":"), ensure_ascii=False)


def output(call_id: str, text: Any = "ok", **fields: Any) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": text, **fields}


CREATE = frame("create", model="m", input="hi")
KEYED = frame("create", model="m", input=[{"role": "user", "content": "hi"}], idempotency_key="k", stream_id="one")
STEER = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hurry"}]}
PAUSED = [CREATE, "!b", "!c", "!c", "!p"]
LAST = frame("append", input=[output("c1"), output("c2"), STEER])

SEEDS: dict[str, list[str]] = {
    "answered-at-once": [*PAUSED, LAST, "!d", LAST],
    "answered-in-parts": [*PAUSED, frame("append", input=[output("c2")]), frame("append", input=[output("c1")]), "!d"],
    "answered-early": [CREATE, "!b", "!c", frame("append", input=[output("c1")]), "!c", LAST, "!p"],
    "answered-twice": [*PAUSED, LAST, LAST, frame("append", input=[output("c1", "no")]), "!c", "!p"],
    "failed-output-in-parts": [*PAUSED, frame("append", input=[output("c1", [{"type": "input_text", "text": "x"}])])],
    "refused-append": [*PAUSED, "!a", LAST, frame("append", input=[output("c1", status="failed")]), LAST],
    "bad-appends": [
        *PAUSED,
        frame("append", input=[output("c1"), output("nobody")]),
        frame("append", input=[STEER, output("c1")]),
        frame("append", input=[{"type": "message", "role": "assistant", "content": "x"}]),
        frame("append", input=[output("c1")] * 9),
        frame("append"),
        frame("append", response_id="resp_1", input="hurry"),
    ],
    "items-of-other-servers": [
        frame("create", model="m", input=[{"id": "msg_1"}, {"type": "compaction", "encrypted_content": "x"}, STEER]),
        frame("create", model="m", input=[{"type": "configuration_update"}, STEER]),
        *PAUSED,
        frame("append", input=[{"type": "web_search_call", "id": "ws_1"}]),
        frame("append", input=[output("c1", [{"type": "input_image"}])]),
        frame(
            "append",
            input=[{"type": "shell_call_output", "call_id": "c1", "output": [{"stdout": "a"}]}, output("c2"), STEER],
        ),
    ],
    "superseded": [*PAUSED, CREATE, "!b", LAST],
    "cancelled": [*PAUSED, frame("cancel"), "!e", frame("cancel", response_id="resp_1"), LAST],
    "cancelled-unborn": [KEYED, frame("cancel", idempotency_key="k"), "!e", KEYED],
    "refused-create": [CREATE, "!r", frame("create", model="m"), frame("create", model="m", input=3)],
    "resumed": [*PAUSED, "!l", frame("resume", response_id="resp_1"), LAST, "!d"],
    "resumed-after-a-gap": [*PAUSED, *["!c"] * 5, "!l", frame("resume", response_id="resp_1", starting_after=0)],
    "taken-over": [*PAUSED, "!s", frame("resume", response_id="resp_1"), "!s", "!s", LAST],
    "repeated-create": [KEYED, "!b", "!c", "!p", "!l", KEYED, frame("append", stream_id="one", input=[output("c1")])],
    "abandoned": [*PAUSED, "!l", "!w", "!e", frame("resume", response_id="resp_1"), "!w"],
    "timed-out": [*PAUSED, "!w", LAST.replace("c2", "c1"), "!w", "!w", "!e", LAST],
    "old-connection": [CREATE, "!b", *["!w"] * 5, CREATE, LAST, "!c", "!p", CREATE],
    "slow-reader": [CREATE, "!b", *["!c"] * 20, CREATE],
    "lanes": [frame("create", model="m", input="x", stream_id=str(lane)) for lane in (*range(5), "a b")] + ["!b"] * 3,
    "no-json": ["not json", "[]", "null", "{}", '{"type":3}', '{"type":"response.done"}', "#\x00\x01", "\ud800"],
    "nested": ['{"type":"response.create","input":' + "[" * 70 + "]" * 70 + "}"],
    "escapes": [
        '{"type":"response.append","input":"\\ud83d\\ude00 \\" [{ \\ud800"}',
        '{"type":"\\u0072esponse.cancel"}',
    ],
    "numbers": ['{"type":"response.create","input":"x","seed":1e400,"top_p":-0.0}', frame("create", seed=2**70)],
    "too-large": [frame("append", input="x" * 2_100)],
    "server-events": [
        '{"type":"response.created","sequence_number":0,"response":{"id":"r","created_at":0,"status":"","model":""}}',
        '{"type":"error","status":400,"sequence_number":0,"error":{"type":"t","code":"c","message":"m","param":null}}',
        '{"type":"response.from_the_future","sequence_number":1}',
    ],
}
LINES = sorted({line for lines in SEEDS.values() for line in lines})


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, lines in SEEDS.items():
        (FOLDER / f"{name}.txt").write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))


if __name__ == "__main__":
    main()
