"""Conversation without calls, and drills of what a small model finds hardest: copying exactly."""
# ruff: noqa: SIM905  (word lists read better as text)

import random
from collections.abc import Callable

from .conversation import Conversation, Tool, Words, opening

ABOUT = "I am caesura-demo, a tiny model that calls tools."
LIMITS = "I am a tiny model and don't know that. I can call tools."

_FIXED = {
    "Hello! How can I help?": "Hello|Hi|Hey|Good morning|Good evening|Hello there|Hi there|Hallo|Good day|Greetings",
    ABOUT: "Who are you?|What are you?|What is your name?|Introduce yourself.|Which model are you?|Are you a human?|"
    "Are you an AI?|Tell me about yourself.",
    "You're welcome!": "Thanks|Thank you|Thanks a lot|Thank you very much|Great, thanks|Thanks for your help|Cheers",
    "Goodbye!": "Bye|Goodbye|See you|See you later|Good night|Bye bye",
    "I am fine, thank you. How can I help?": "How are you?|How do you do?|How is it going?|Are you well?",
    "Good.": "Great.|Nice.|Ok.|Okay|Perfect.|Well done.|Good job.|Fine.",
}
_CAPITALS = (
    "France Paris|Italy Rome|Germany Berlin|Spain Madrid|Austria Vienna|Norway Oslo|Portugal Lisbon|Greece Athens|"
    "Ireland Dublin|"
    "Poland Warsaw|Japan Tokyo|Egypt Cairo|Peru Lima|Sweden Stockholm|Finland Helsinki|Denmark Copenhagen|"
    "Hungary Budapest|Canada Ottawa"
)
_OPPOSITES = (
    "hot cold|big small|old new|good bad|fast slow|high low|long short|open closed|early late|full empty|left right|"
    "day night"
)
_DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
_UNKNOWN = (
    "Why is {} important?",
    "Tell me a story about {}.",
    "What do you think about {}?",
    "Explain {}.",
    "Who invented {}?",
    "Write a poem about {}.",
    "How does {} work?",
    "Where does {} come from?",
    "When was {} founded?",
)


def _exchange(rng: random.Random, words: Words, tools: list[Tool]) -> tuple[str, str]:
    """A user's sentence and its one right answer."""
    kind = rng.random()
    if kind < 0.3:
        answer = rng.choice(sorted(_FIXED))
        said = rng.choice(_FIXED[answer].split("|"))
        return said + (rng.choice(["", "!", "."]) if said[-1].isalpha() else ""), answer
    if kind < 0.42:
        country, city = rng.choice(_CAPITALS.split("|")).split()
        return rng.choice(["What is the capital of {}?", "Capital of {}?", "Name the capital of {}."]).format(
            country
        ), f"The capital of {country} is {city}."
    if kind < 0.5:
        pair = rng.choice(_OPPOSITES.split("|")).split()
        rng.shuffle(pair)
        return rng.choice(["What is the opposite of {}?", "Opposite of {}?"]).format(
            pair[0]
        ), f"The opposite of {pair[0]} is {pair[1]}."
    if kind < 0.58:
        day = rng.randrange(7)
        return rng.choice(["Which day comes after {}?", "What day follows {}?"]).format(
            _DAYS[day]
        ), f"After {_DAYS[day]} comes {_DAYS[(day + 1) % 7]}."
    if kind < 0.68 and tools:
        names = ", ".join(tool["function"]["name"] for tool in tools)
        return rng.choice(
            ["What tools do you have?", "Which tools can you call?", "List your tools.", "What can you do?"]
        ), f"I can call {names}."
    if kind < 0.68:
        return rng.choice(
            ["What tools do you have?", "Which tools can you call?", "What can you do?"]
        ), "I have no tools here. I can only chat a little."
    if kind < 0.8:
        return rng.choice(_UNKNOWN).format(words.phrase(1, 3)), LIMITS
    name = words.word().title()
    if kind < 0.9:
        return rng.choice(["My name is {}.", "I am {}.", "Call me {}."]).format(name), f"Hello {name}! How can I help?"
    text = words.phrase(1, 3)
    return rng.choice(["Say {}.", "Please say {}.", "Say the words {}."]).format(text), text


def make_chat(rng: random.Random, words: Words, tools: list[Tool], turns: int) -> Conversation:
    conversation = Conversation("chat", tools)
    opening(rng, conversation)
    for _ in range(turns):
        said, answer = _exchange(rng, words, tools)
        conversation.user(said)
        conversation.answer(answer)
    return conversation


def _line_of_code(words: Words) -> str:
    rng = words.rng
    a, b, c = words.word(), words.word(), words.word()
    n = rng.randint(0, 99)
    return rng.choice(
        [f"return {a} + {b}", f"return {a}({b})", f"return [{a} for {a} in {b} if {a} > {n}]", f"{a} = {n}",
         f"if {a} >= {n}:", f"for {a} in {b}:", f"{a} += {b}", f"return {a}.{b}({c})",
         f"return {a}[:{n}]", f"return {a}[-1]", f"def {a}_{b}({c}):", f"{a}_{b} = {c} * {n}", f"return '{a}'",
         f"from {a} import {b}_{c}", f"{a}_{b}({n}, {n + 1})"]
    )  # fmt: skip


def make_copy(rng: random.Random, words: Words, turns: int) -> Conversation:
    """Drill: repeat texts of all kinds, exactly."""
    conversation = Conversation("copy")
    opening(rng, conversation)
    for _ in range(turns):
        makers: list[Callable[[], str]] = [
            words.text, words.phrase, words.identifier, words.path, lambda: words.phrase(4, 8),
            lambda: _line_of_code(words), lambda: _line_of_code(words),
            lambda: " ".join(str(words.integer()) for _ in range(rng.randint(1, 4))),
            lambda: f'"{words.phrase(1, 3)}"', lambda: str(words.number()),
        ]  # fmt: skip
        text = rng.choice(makers)()
        conversation.user(rng.choice(["Repeat: {}", "Copy: {}", "Repeat exactly: {}", "Echo {}"]).format(text))
        conversation.answer(text)
    return conversation
