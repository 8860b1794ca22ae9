"""Fuzz the decoder and the connection for ``--seconds``: ``python tests/fuzz/run.py --seconds 20``.

With atheris (``pip install atheris``) it is guided by coverage, and what it finds new is kept in ``--found`` if that is
given. Without it hypothesis makes the inputs. Exit status 0 if nothing broke; otherwise the input that broke it is
written to ``--crashes``, and ``--repeat FILE`` plays it again.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "protocol")]
WORDS = ["response.", "create", "append", "cancel", "resume", "function_call_output", "call_id", "resp_1", "stream_id"]


def with_atheris(seconds: int, scratch: Path, found: Path, crashes: Path) -> int:
    """Run this file again as a fuzzer: libFuzzer ends its process itself."""
    dictionary = scratch / "words"
    dictionary.write_text("".join(f'"{word}"\n' for word in [*WORDS, *(f"\\x0a!{act}" for act in "abcdelprsw")]))
    options = [
        f"-max_total_time={seconds}",
        "-max_len=4096",
        "-timeout=20",
        "-rss_limit_mb=2048",
        "-print_final_stats=1",
    ]
    files = [f"-dict={dictionary}", f"-artifact_prefix={crashes}/", str(found), str(HERE / "corpus")]
    return subprocess.run([sys.executable, __file__, "--as-fuzzer", *options, *files]).returncode


def as_fuzzer(arguments: list[str]) -> None:
    import atheris

    with atheris.instrument_imports(include=["caesura.protocol"]):
        import scene

    def target(data: bytes) -> None:
        scene.decode(data)
        scene.play(data)

    atheris.Setup([sys.argv[0], *arguments], target)
    atheris.Fuzz()


def with_hypothesis(seconds: int, crashes: Path) -> int:
    from hypothesis import given, seed, settings
    from scene import decode, play
    from strategies import SCRIPTS

    last = b""

    def target(data: bytes) -> None:
        nonlocal last
        last = data
        play(data)
        decode(data)

    end, rounds = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        rounds += 1
        try:
            seed(rounds)(settings(max_examples=100, deadline=None, database=None)(given(SCRIPTS)(target)))()
        except Exception as error:  # what it found, made small: the last input was the one
            (crashes / "crash").write_bytes(last)
            print(f"{type(error).__name__}: {error}\nrepeat: python tests/fuzz/run.py --repeat {crashes / 'crash'}")
            return 1
    print(f"{rounds * 100} scripts in {seconds} s: nothing broke")
    return 0


def repeat(file: Path) -> None:
    from scene import decode, play

    decode(file.read_bytes())
    play(file.read_bytes())


def main() -> int:
    if sys.argv[1:2] == ["--as-fuzzer"]:
        as_fuzzer(sys.argv[2:])
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--found", type=Path, metavar="FOLDER", help="keep new inputs here")
    parser.add_argument("--crashes", type=Path, metavar="FOLDER", default=Path(tempfile.gettempdir()))
    parser.add_argument("--repeat", type=Path, metavar="FILE")
    parser.add_argument("--plain", action="store_true", help="without atheris")
    arguments = parser.parse_args()
    if arguments.repeat is not None:
        repeat(arguments.repeat)
        return 0
    if arguments.plain or importlib.util.find_spec("atheris") is None:
        return with_hypothesis(arguments.seconds, arguments.crashes)
    with tempfile.TemporaryDirectory() as temporary:
        found = arguments.found or Path(temporary) / "found"
        found.mkdir(parents=True, exist_ok=True)
        return with_atheris(arguments.seconds, Path(temporary), found, arguments.crashes)


if __name__ == "__main__":
    sys.exit(main())
