"""Arithmetic by the hosted tool `calculate`: requests in words or symbols, and answers that quote the result."""
# ruff: noqa: SIM905  (word lists read better as text)

import random

from .conversation import Conversation, Tool, Words, make_tool, opening

_NAMES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
).split()
_WORDINGS = {
    "+": ["{a} plus {b}", "the sum of {a} and {b}", "{a} added to {b}"],
    "-": ["{a} minus {b}", "the difference of {a} and {b}"],
    "*": ["{a} times {b}", "the product of {a} and {b}", "{a} multiplied by {b}"],
    "/": ["{a} divided by {b}", "{a} over {b}"],
    "**": ["{a} to the power of {b}"],
    "%": ["{a} modulo {b}", "the remainder of {a} divided by {b}"],
}
_STORIES = (
    ("A box holds {a} {x}. How many {x} are in {b} boxes?", "*"),
    ("I have {a} {x} and buy {b} more. How many {x} do I have?", "+"),
    ("There were {a} {x}; {b} are gone. How many are left?", "-"),
    ("I share {a} {x} among {b} people. How many does each get?", "/"),
    ("One ticket costs {a}. What do {b} tickets cost?", "*"),
    ("A train covers {a} kilometres in {b} hours. How fast is it?", "/"),
    ("A field is {a} by {b} metres. What is its area?", "*"),
)
_QUESTIONS = (
    "What is {}?",
    "Calculate {}.",
    "How much is {}?",
    "Compute {}.",
    "{}",
    "{} = ?",
    "Please work out {}.",
    "Tell me {}.",
    "What's {}?",
    "Use the calculator: {}",
)


def calculator(rng: random.Random) -> Tool:
    """The hosted tool's definition; most often the demo server's own wording."""
    description, argument = (
        "Evaluate an arithmetic expression exactly.",
        "The expression, such as (3 + 4) * 5 or sqrt(2).",
    )
    if rng.random() < 0.3:
        description = rng.choice(
            [
                "Calculate the value of an arithmetic expression.",
                "A calculator.",
                "Do arithmetic exactly.",
                "Evaluates arithmetic.",
            ]
        )
        argument = rng.choice(["The expression.", "Arithmetic expression to evaluate.", "For example 1 + 2."])
    return make_tool("calculate", description, {"expression": {"type": "string", "description": argument}})


def evaluate(expression: str) -> str:
    """What the tool returns: integers exactly, other numbers to 12 digits."""
    try:
        value = eval(expression, {"__builtins__": {}})
    except ZeroDivisionError:
        return "Error: division by zero."
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value) if isinstance(value, int) else f"{value:.12g}"


def problem(rng: random.Random, words: Words) -> tuple[str, str]:
    """A phrase such as 'the sum of 3 and 4' or a question, and the expression for it."""
    kind = rng.random()
    big = rng.choice([9, 20, 99, 99, 999, 9999])
    a, b = rng.randint(2, big), rng.randint(2, rng.choice([9, 20, 99, 999]))
    operator = rng.choice(["+", "-", "*", "*", "/", "%", "**"])
    if operator == "**":
        b = rng.randint(2, 4)
        a = min(a, 99)
    if operator == "/" and rng.random() < 0.75:
        a = a * b
    if kind < 0.4:
        return f"{a} {operator} {b}", f"{a} {operator} {b}"
    if kind < 0.48:
        x, y = (str(rng.randint(1, 99)) for _ in range(2))
        inner = f"{a} {rng.choice('+-')} {b}"
        text = rng.choice(
            [
                f"({inner}) * {x}",
                f"{x} * ({inner})",
                f"{a} + {b} * {x}",
                f"{a} + {b} + {x}",
                f"({inner}) / {x}",
                f"{a} * {b} - {x}",
                f"({inner}) * ({x} + {y})",
            ]
        )
        return text, text
    if kind < 0.54:
        x = f"{rng.uniform(0.1, 99):.{rng.randint(1, 2)}f}"
        text = f"{x} {rng.choice('+-*')} {rng.choice([str(b), f'{rng.uniform(0.1, 99):.1f}'])}"
        return text, text
    if kind < 0.57:
        return f"{a}{operator}{b}", f"{a} {operator} {b}"
    if kind < 0.87:
        if rng.random() < 0.25:
            a, b = rng.randint(2, 20), rng.randint(2, 20)
            if operator == "**":
                b = rng.randint(2, 4)
            wording = rng.choice(_WORDINGS[operator])
            first, second = (_NAMES[a], _NAMES[b]) if rng.random() < 0.7 else (_NAMES[a], str(b))
            return wording.format(a=first, b=second), f"{a} {operator} {b}"
        return rng.choice(_WORDINGS[operator]).format(a=a, b=b), f"{a} {operator} {b}"
    if kind < 0.9:
        percent = rng.randint(1, 95)
        return f"{percent} percent of {a}", f"{a} * {percent} / 100"
    if kind < 0.92:
        return f"{a} squared", f"{a} ** 2"
    if kind < 0.94:
        return f"{a} / 0", f"{a} / 0"
    story, operator = rng.choice(_STORIES)
    if operator == "/" and rng.random() < 0.75:
        a = a * b
    return story.format(a=a, b=b, x=words.word()), f"{a} {operator} {b}"


def ask(rng: random.Random, text: str) -> str:
    if text.endswith("?"):
        return text
    asked = rng.choice(_QUESTIONS).format(text)
    return asked[0].upper() + asked[1:]


def report(expression: str, result: str) -> str:
    """The answer's wording for one result."""
    if result.startswith("Error: "):
        return f"{expression} can't be computed: {result.removeprefix('Error: ')}"
    return f"{expression} = {result}"


def make_calculator(rng: random.Random, words: Words, extra_tools: list[Tool], turns: int) -> Conversation:
    conversation = Conversation("calculator", [calculator(rng), *extra_tools])
    rng.shuffle(conversation.tools)
    opening(rng, conversation)
    for _ in range(turns):
        text, expression = problem(rng, words)
        result = evaluate(expression)
        conversation.user(ask(rng, text))
        conversation.calls([("calculate", {"expression": expression})], [result])
        conversation.answer(report(expression, result))
    return conversation


def make_parallel_calculator(rng: random.Random, words: Words, extra_tools: list[Tool], turns: int) -> Conversation:
    """Two or three results asked for at once."""
    conversation = Conversation("parallel", [calculator(rng), *extra_tools])
    rng.shuffle(conversation.tools)
    opening(rng, conversation)
    for _ in range(turns):
        problems: list[tuple[str, str]] = []
        while len(problems) < rng.choice([2, 2, 3]):
            text, expression = problem(rng, words)
            if not text.endswith("?"):
                problems.append((text, expression))
        asked = ", ".join(text for text, _ in problems[:-1]) + " and " + problems[-1][0]
        results = [evaluate(expression) for _, expression in problems]
        conversation.user(ask(rng, asked))
        conversation.calls([("calculate", {"expression": expression}) for _, expression in problems], results)
        reports = [report(expression, result) for (_, expression), result in zip(problems, results, strict=True)]
        conversation.answer(", ".join(reports))
    return conversation
