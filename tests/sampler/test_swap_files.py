"""Files of swapped states: what is written comes back, or is known to be lost."""

from __future__ import annotations

import errno
import logging
import os
import queue
from collections.abc import Iterator
from pathlib import Path

import caesura.sampler.swap_files as swap_files
import numpy as np
import pytest
from caesura.sampler.errors import EngineStartFailed
from caesura.sampler.swap_files import PREFIX, SwapFileInvalid, SwapFiles, read_state, write_state
from hypothesis import given
from hypothesis import strategies as st

SECONDS = 20
Events = queue.SimpleQueue[tuple[str, int, object]]


def state_of(data: bytes) -> swap_files.State:
    return np.frombuffer(data, np.uint8).copy()


@pytest.fixture
def events() -> Events:
    return queue.SimpleQueue()


@pytest.fixture
def files(tmp_path: Path, events: Events) -> Iterator[SwapFiles]:
    files = SwapFiles(
        tmp_path / "swap",
        on_written=lambda file, ok: events.put(("written", file, ok)),
        on_read=lambda file, state: events.put(("read", file, None if state is None else state.tobytes())),
    )
    yield files
    files.close()
    assert list((tmp_path / "swap").iterdir()) == []


def test_requests_are_carried_out_in_their_order(files: SwapFiles, events: Events) -> None:
    files.write(0, lambda: state_of(b"zero"))
    files.write(1, lambda: state_of(b"one"))
    files.read(1)
    files.read(0)
    files.delete(0)
    files.delete(7)
    files.read(0)
    got = [events.get(timeout=SECONDS) for _ in range(5)]
    assert got == [
        ("written", 0, True),
        ("written", 1, True),
        ("read", 1, b"one"),
        ("read", 0, b"zero"),
        ("read", 0, None),
    ]


def test_nobody_else_can_read_them(files: SwapFiles) -> None:
    assert files.folder.stat().st_mode & 0o077 == 0


@given(data=st.binary(max_size=300), cut=st.integers(0, 400), flip=st.integers(0, 8 * 400))
def test_any_damage_is_detected(tmp_path_factory: pytest.TempPathFactory, data: bytes, cut: int, flip: int) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.state"
    write_state(path, state_of(data))
    assert read_state(path).tobytes() == data
    whole = path.read_bytes()
    if cut < len(whole):
        path.write_bytes(whole[:cut])
        with pytest.raises(SwapFileInvalid):
            read_state(path)
    flipped = bytearray(whole)
    flipped[flip // 8 % len(whole)] ^= 1 << flip % 8
    path.write_bytes(flipped)
    with pytest.raises(SwapFileInvalid):
        read_state(path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(SwapFileInvalid):
        read_state(path)


def test_a_full_disk_loses_states_and_warns_once(
    files: SwapFiles, events: Events, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    full = True

    def write(path: Path, state: swap_files.State) -> None:
        if full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write_state(path, state)

    monkeypatch.setattr(swap_files, "write_state", write)
    with caplog.at_level(logging.WARNING, "caesura"):
        for file in range(3):
            files.write(file, lambda: state_of(b"x"))
            assert events.get(timeout=SECONDS) == ("written", file, False)
        assert len(caplog.records) == 1
        assert "No space left" in caplog.text
        full = False
        files.write(3, lambda: state_of(b"x"))
        assert events.get(timeout=SECONDS) == ("written", 3, True)
        full = True
        files.write(4, lambda: state_of(b"x"))
        assert events.get(timeout=SECONDS) == ("written", 4, False)
        assert len(caplog.records) == 2, "after a success the next failure is news"


def test_a_failed_write_leaves_no_file(tmp_path: Path) -> None:
    """/dev/full is a disk that is full."""
    path = tmp_path / "state"
    path.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        write_state(path, state_of(b"x" * 100))
    assert not path.is_symlink()


def test_folders_of_killed_processes_are_removed(tmp_path: Path, files: SwapFiles) -> None:
    abandoned = tmp_path / "swap" / f"{PREFIX}dead"
    abandoned.mkdir()
    (abandoned / "lock").touch()
    (abandoned / "3.state").write_bytes(b"secret")
    other = SwapFiles(tmp_path / "swap", on_written=lambda *_: None, on_read=lambda *_: None)
    assert not abandoned.exists()
    assert files.folder.exists(), "that one is in use"
    other.close()


def test_a_folder_that_cant_be_used_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EngineStartFailed, match="can't swap to"):
        SwapFiles(tmp_path / "file" / "swap", on_written=lambda *_: None, on_read=lambda *_: None)
