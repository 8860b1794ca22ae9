"""Stop strings in a stream of bytes.

A stop string may begin and end anywhere in a token. The automaton of Aho and Corasick ("Efficient string matching",
CACM 1975) reads each byte once, whatever the strings are; its state is the longest end of the text that begins a stop
string, which is also what a display has to hold back. Searching a sliding window with `bytes.find` was rejected: it
reads a byte once for each string and piece, and says nothing about what to hold back.

Bytes, not characters: UTF-8 makes a match of the bytes a match of the text, and a token may end inside a character.
"""

from __future__ import annotations

import re
from collections.abc import Sequence


class StopStrings:
    """The automaton of some stop strings. Immutable, so that any number of readers can share it.

    A state is a number; 0 is the start. `depth[state]` is how many bytes of the text's end begin a stop string.
    `matched[state]` is the length of the longest stop string that the text ends with, 0 if it ends with none.
    """

    def __init__(self, strings: Sequence[str]) -> None:
        """The strings aren't empty and have a UTF-8 form, as `SamplingParams` guarantees."""
        self.depth = [0]
        self.matched = [0]
        self._next: list[dict[int, int]] = [{}]
        for string in strings:
            self._add(string.encode())
        self._link()
        # The regular expression finds in C where the first string may begin.
        self._begins = re.compile(b"[" + b"".join(re.escape(bytes([byte])) for byte in self._next[0]) + b"]")

    def _add(self, string: bytes) -> None:
        state = 0
        for byte in string:
            if byte not in self._next[state]:
                self._next[state][byte] = len(self.depth)
                self.depth.append(self.depth[state] + 1)
                self.matched.append(0)
                self._next.append({})
            state = self._next[state][byte]
        self.matched[state] = len(string)

    def _link(self) -> None:
        """Breadth first, so that the shorter ends a state falls back to are done before it."""
        self._fallback = [0] * len(self.depth)
        order = list(self._next[0].values())
        for state in order:
            for byte, after in self._next[state].items():
                order.append(after)
                self._fallback[after] = self._step(self._fallback[state], byte)
            self.matched[state] = self.matched[state] or self.matched[self._fallback[state]]

    def _step(self, state: int, byte: int) -> int:
        while True:
            after = self._next[state].get(byte)
            if after is not None:
                return after
            if not state:
                return 0
            state = self._fallback[state]

    def read(self, state: int, data: bytes) -> tuple[int, int]:
        """The state after `data`, and where in it the first stop string ends; -1 if none does.

        What follows the first stop string isn't read.
        """
        position, end = 0, len(data)
        step, matched = self._step, self.matched
        while position < end:
            if not state:
                begin = self._begins.search(data, position)
                if begin is None:
                    return 0, -1
                position = begin.start()
            state = step(state, data[position])
            position += 1
            if matched[state]:
                return state, position
        return state, -1


class StopStringReader:
    """Follows the sampled text of one turn: does a token complete a stop string?"""

    def __init__(self, strings: StopStrings) -> None:
        self._strings = strings
        self._state = 0

    def completes(self, piece: bytes) -> bool:
        """Read one token's bytes; True if a stop string ends in them. Then the reader begins anew."""
        self._state, end = self._strings.read(self._state, piece)
        if end < 0:
            return False
        self._state = 0
        return True


class StopStringFilter:
    """Takes the visible bytes of a turn and gives back what may be shown: up to the first stop string, without it.

    stopped: a stop string was complete. Of several that end at the same byte, the one that begins first counts.
    """

    def __init__(self, strings: StopStrings) -> None:
        self._strings = strings
        self._state = 0
        self._held = b""  # the longest end of what came so far that begins a stop string
        self.stopped = False

    def feed(self, data: bytes) -> bytes:
        """What may be shown now. May end inside a character, as `data` may."""
        if self.stopped:
            return b""
        self._state, end = self._strings.read(self._state, data)
        text = self._held + data
        if end >= 0:
            self.stopped = True
            shown = len(self._held) + end - self._strings.matched[self._state]
            self._held = b""
            return text[:shown]
        shown = len(text) - self._strings.depth[self._state]
        self._held = text[shown:]
        return text[:shown]

    def finish(self) -> bytes:
        """What was held back and turned out to be no stop string."""
        held, self._held = self._held, b""
        return held
