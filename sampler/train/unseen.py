"""Tools that nobody has seen: names, parameters and descriptions made up anew for each conversation."""
# ruff: noqa: SIM905  (word lists read better as text)

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .conversation import Call, Conversation, Tool, Words, make_tool, opening

_VERBS = (
    "add archive assign book build cancel change check clean close convert copy count create delete draw enable export "
    "fetch fill find get import inspect label lift list load lock log make mark measure mix move name open order pack "
    "paint park pay pick place plan play post print publish push query rank record register remove rename repair reset "
    "restart rotate save scan schedule search select send set ship show sort split start stop store submit switch sync "
    "tag test tune turn update upload verify watch weigh write"
).split()


@dataclass(frozen=True)
class Parameter:
    """`label` is what a request in natural language calls it."""

    name: str
    label: str
    schema: dict[str, Any]
    required: bool


@dataclass(frozen=True)
class NewTool:
    name: str
    task: str
    parameters: tuple[Parameter, ...]

    @property
    def definition(self) -> Tool:
        required = [parameter.name for parameter in self.parameters if parameter.required]
        properties = {parameter.name: parameter.schema for parameter in self.parameters}
        return make_tool(self.name, self.task[0].upper() + self.task[1:] + ".", properties, required)


def new_tool(words: Words) -> NewTool:
    rng = words.rng
    verb, thing = rng.choice(_VERBS), words.word()
    article = rng.choice(["a", "the"])
    task = rng.choice(
        [
            f"{verb} {article} {thing}",
            f"{verb} {article} {words.word()} {thing}",
            f"{verb} {article} {thing} of {article} {words.word()}",
        ]
    )
    named = rng.random()
    name = f"{verb}_{thing}" if named < 0.45 else words.identifier() if named < 0.9 else f"{thing}_{verb}"
    count = rng.choice([0, 1, 1, 2, 2, 2, 3, 3, 4])
    parameters: dict[str, Parameter] = {}
    while len(parameters) < count:
        parameter = _parameter(words)
        parameters[parameter.name] = parameter
    return NewTool(name, task, tuple(parameters.values()))


def _parameter(words: Words) -> Parameter:
    rng = words.rng
    name = words.word() if rng.random() < 0.75 else f"{words.word()}_{words.word()}"
    kind = rng.choice(["string"] * 5 + ["integer"] * 3 + ["number"] * 2 + ["boolean"] * 2 + ["enum"] * 2)
    schema: dict[str, Any] = {"type": "string" if kind == "enum" else kind}
    label = name.replace("_", " ")
    if rng.random() < 0.6:
        described = label if rng.random() < 0.5 else words.phrase(1, 2)
        schema["description"] = rng.choice(["The {}.", "{}", "Its {}."]).format(described)
        label = described
    if kind == "enum":
        schema["enum"] = sorted({words.word() for _ in range(rng.randint(2, 4))})
    return Parameter(name, label, schema, rng.random() < 0.85)


def value_for(words: Words, parameter: Parameter) -> Any:
    schema = parameter.schema
    if "enum" in schema:
        return words.rng.choice(schema["enum"])
    match schema["type"]:
        case "integer":
            return words.integer()
        case "number":
            return words.number()
        case "boolean":
            return words.rng.random() < 0.5
        case _:
            return words.text()


def arguments_for(words: Words, tool: NewTool) -> dict[str, Any]:
    """Values for the required parameters and for some of the others, in the schema's order."""
    return {p.name: value_for(words, p) for p in tool.parameters if p.required or words.rng.random() < 0.5}


def request(words: Words, tool: NewTool, arguments: dict[str, Any], lower: bool = False, by_name: bool = False) -> str:
    """A request for that call, without a full stop: by the tool's name, or by what it does."""
    rng = words.rng
    style = rng.random()
    if by_name or style < 0.55:
        quote = rng.random() < 0.5
        link = rng.choice([" = ", " = ", " set to ", " ", ": ", "="])
        pairs = [f"{name}{link}{_literal(value, quote)}" for name, value in arguments.items()]
        start = rng.choice(["Call", "Use", "Run", "Please call", "Invoke", "Call the tool"]) + f" {tool.name}"
    else:
        link = rng.choice([" ", " ", ": ", " is ", " = "])
        labels = {parameter.name: parameter.label for parameter in tool.parameters}
        pairs = [f"{labels[name]}{link}{_spoken(rng, value)}" for name, value in arguments.items()]
        start = rng.choice(["", "", "Please ", "I want to ", "Can you "]) + tool.task
        start = start[0].upper() + start[1:]
    if lower:
        start = start[0].lower() + start[1:]
    if not pairs:
        return start
    joined = ", ".join(pairs) if len(pairs) == 1 or rng.random() < 0.4 else ", ".join(pairs[:-1]) + " and " + pairs[-1]
    return f"{start}{rng.choice([' with ', ' with ', ', ', ': ', ' using '])}{joined}"


def _literal(value: Any, quote: bool) -> str:
    if isinstance(value, str) and not quote:
        return value
    return json.dumps(value, ensure_ascii=False)


def _spoken(rng: random.Random, value: Any) -> str:
    if isinstance(value, bool):
        return rng.choice(["true", "yes", "on"] if value else ["false", "no", "off"])
    if isinstance(value, str) and rng.random() < 0.25:
        return rng.choice(['"{}"', "'{}'"]).format(value)
    return str(value)


def output(words: Words) -> str:
    """A tool's result: words, numbers, JSON."""
    rng, kind = words.rng, words.rng.random()
    if kind < 0.2:
        return rng.choice(["ok", "done", "true", "false", "saved", "sent", "none", "null", "success"])
    if kind < 0.4:
        return str(words.number())
    if kind < 0.55:
        return words.code()
    if kind < 0.75:
        return words.phrase(1, 5)
    if kind < 0.8:
        return words.text()
    keys = sorted({words.word() for _ in range(rng.randint(1, 3))})
    return json.dumps({key: rng.choice([words.word(), words.integer(), words.code()]) for key in keys})


def failure(words: Words) -> str:
    rng = words.rng
    reason = rng.choice(
        [
            "no such {}",
            "{} not found",
            "permission denied: {}",
            "{} is locked",
            "timed out after {n} s",
            "{} is missing",
            "invalid {}",
            "no {} left",
            "connection refused",
            "timeout",
        ]
    )
    return "Error: " + reason.format(words.word(), n=words.rng.randint(1, 90))


def report(name: str, result: str) -> str:
    """The answer's wording for one result."""
    if result.startswith("Error: "):
        return f"{name} failed: {result.removeprefix('Error: ')}"
    return f"{name} returned {result}"


def report_all(calls: Sequence[Call], results: Sequence[str]) -> str:
    return ", ".join(report(name, result) for (name, _), result in zip(calls, results, strict=True))


def new_tools(words: Words, count: int) -> list[NewTool]:
    tools: dict[str, NewTool] = {}
    while len(tools) < count:
        tool = new_tool(words)
        tools[tool.name] = tool
    return list(tools.values())


def _stop(words: Words) -> str:
    return words.rng.choice([".", ".", "", ""])


def make_unseen(rng: random.Random, words: Words, turns: int, by_name: bool = False) -> Conversation:
    """With `by_name` every request names the tool and its parameters, otherwise about half of them do."""
    tools = new_tools(words, rng.choice([1, 2, 2, 3, 3, 4, 5]))
    conversation = Conversation("unseen", [tool.definition for tool in tools])
    opening(rng, conversation)
    for _ in range(turns):
        tool = rng.choice(tools)
        arguments = arguments_for(words, tool)
        conversation.user(request(words, tool, arguments, by_name=by_name) + _stop(words))
        result = failure(words) if rng.random() < 0.12 else output(words)
        if result.startswith("{") and rng.random() < 0.5:  # ask for one key of a JSON result
            data = json.loads(result)
            key = rng.choice(sorted(data))
            conversation.messages[-1]["content"] += rng.choice(
                [" Tell me the {}.", " What is the {}?", " I need the {}."]
            ).format(key)
            conversation.calls([(tool.name, arguments)], [result])
            conversation.answer(f"The {key} is {data[key]}")
            continue
        conversation.calls([(tool.name, arguments)], [result])
        conversation.answer(report(tool.name, result))
    return conversation


def make_parallel(rng: random.Random, words: Words, turns: int) -> Conversation:
    """Two or three calls in one turn: of different tools, or of one tool with several values."""
    tools = new_tools(words, rng.choice([2, 2, 3, 4]))
    conversation = Conversation("parallel", [tool.definition for tool in tools])
    opening(rng, conversation)
    for _ in range(turns):
        count = rng.choice([2, 2, 2, 3])
        chosen = [rng.choice(tools) for _ in range(count)]
        calls: list[Call] = [(tool.name, arguments_for(words, tool)) for tool in chosen]
        pairs = zip(chosen, calls, strict=True)
        parts = [request(words, tool, given, lower=i > 0) for i, (tool, (_, given)) in enumerate(pairs)]
        conversation.user(rng.choice([" and ", ", and ", "; ", " and also "]).join(parts) + _stop(words))
        results = [failure(words) if rng.random() < 0.08 else output(words) for _ in calls]
        conversation.calls(calls, results)
        conversation.answer(report_all(calls, results))
    return conversation


def make_chain(rng: random.Random, words: Words, turns: int) -> Conversation:
    """The first call's output is an argument of the second."""
    conversation = Conversation("chain")
    tools = new_tools(words, rng.choice([1, 2, 3]))
    takers: list[NewTool] = []
    while len(takers) < 2:
        tool = new_tool(words)
        if tool.parameters and tool.parameters[0].schema == {"type": "string"} and tool.parameters[0].required:
            takers.append(tool)
    everything = {tool.name: tool for tool in tools + takers}
    shuffled = list(everything.values())
    rng.shuffle(shuffled)
    conversation.tools = [tool.definition for tool in shuffled]
    opening(rng, conversation)
    for _ in range(turns):
        first, second = rng.choice(tools), rng.choice(takers)
        link, *_ = second.parameters
        arguments = arguments_for(words, first)
        result = rng.choice([words.code(), words.word(), words.phrase(1, 2)])
        onward: dict[str, Any] = {link.name: result}
        phrase = rng.choice(
            [
                "then call {} with its result as {}",
                "then pass the result to {} as {}",
                "then give its output to {} as {}",
            ]
        )
        conversation.user(
            request(words, first, arguments) + ", " + phrase.format(second.name, link.name) + _stop(words)
        )
        onward |= {p.name: value_for(words, p) for p in second.parameters[1:] if p.required}
        rest = {name: value for name, value in onward.items() if name != link.name}
        if rest:
            pairs = " and ".join(f"{name} = {_literal(value, True)}" for name, value in rest.items())
            conversation.messages[-1]["content"] = (
                conversation.messages[-1]["content"].rstrip(".") + f" and {pairs}" + _stop(words)
            )
        if rng.random() < 0.1:
            error = failure(words)
            conversation.calls([(first.name, arguments)], [error])
            conversation.answer(report(first.name, error))
            continue
        conversation.calls([(first.name, arguments)], [result])
        final = output(words)
        conversation.calls([(second.name, onward)], [final])
        conversation.answer(report(second.name, final))
    return conversation
