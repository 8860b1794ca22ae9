"""Well-known kinds of tools, asked for in everyday language."""
# ruff: noqa: SIM905  (word lists read better as text)

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .conversation import Conversation, Tool, Words, make_tool, opening
from .unseen import failure, report, report_all

_CITIES = (
    "Paris Rome London Berlin Madrid Vienna Oslo Lisbon Athens Dublin Prague Warsaw Tokyo Kyoto Delhi Cairo Lima "
    "Quito Boston Chicago Denver Toronto Sydney Hamburg Munich Zurich Geneva Milan Naples Seville Porto Lyon Nice "
    "Riga Tallinn Sofia"
).split()
_PEOPLE = (
    "Anna Ben Clara David Emma Felix Grace Henry Ida Jonas Karen Leo Maria Nina Oscar Paul Rosa Sam Tina Victor".split()
)
_LANGUAGES = "French German Spanish Italian Dutch Polish Swedish Greek Turkish Japanese Finnish Danish".split()
_CURRENCIES = "EUR USD GBP JPY CHF SEK NOK CAD AUD PLN".split()
_DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday today tomorrow".split()

Values = dict[str, Any]


@dataclass(frozen=True)
class CommonTool:
    """`requests` are formatted with the arguments; `draw` makes arguments, `result` an output."""

    name: str
    description: str
    properties: dict[str, dict[str, Any]]
    requests: tuple[str, ...]
    draw: Callable[[random.Random, Words], Values]
    result: Callable[[random.Random, Words], str]

    @property
    def definition(self) -> Tool:
        return make_tool(self.name, self.description, self.properties)


def _string(description: str) -> dict[str, str]:
    return {"type": "string", "description": description}


def _integer(description: str) -> dict[str, str]:
    return {"type": "integer", "description": description}


def _weather(rng: random.Random, words: Words) -> str:
    sky = rng.choice("sunny cloudy rainy windy snowy foggy clear stormy".split())
    degrees = rng.randint(-9, 38)
    return rng.choice(
        [
            f"{degrees} degrees and {sky}",
            f"{sky}, {degrees} C",
            f"{degrees}",
            f'{{"temperature": {degrees}, "sky": "{sky}"}}',
        ]
    )


def _done(rng: random.Random, words: Words) -> str:
    return rng.choice(["ok", "done", "saved", "sent", f"id {rng.randint(1, 9999)}", words.code(), "success"])


def _clock(rng: random.Random) -> str:
    return f"{rng.randint(0, 23):02}:{rng.randint(0, 59):02}"


def _money(rng: random.Random, words: Words) -> Values:
    amount = rng.randint(1, 5000)
    source, target = rng.sample(_CURRENCIES, 2)
    return {"amount": amount, "source": source, "target": target}


C = CommonTool
TOOLS = (
    C("get_weather", "Get the current weather of a city.", {"city": _string("The city.")},
      ("What is the weather in {city}?", "How is the weather in {city}?", "Is it cold in {city}?",
       "Weather in {city}, please.", "Tell me the weather in {city}."),
      lambda rng, words: {"city": rng.choice(_CITIES)}, _weather),
    C("get_time", "Get the current time in a city.", {"city": _string("The city.")},
      ("What time is it in {city}?", "How late is it in {city}?", "Tell me the time in {city}."),
      lambda rng, words: {"city": rng.choice(_CITIES)}, lambda rng, words: _clock(rng)),
    C("send_message", "Send a message to a person.", {"to": _string("The person."), "text": _string("The message.")},
      ("Send {to} the message: {text}", 'Tell {to} "{text}".', "Message {to}: {text}", 'Write "{text}" to {to}.'),
      lambda rng, words: {"to": rng.choice(_PEOPLE), "text": words.phrase(2, 6)}, _done),
    C("set_timer", "Start a timer.", {"minutes": _integer("Minutes until it rings.")},
      ("Set a timer for {minutes} minutes.", "Start a timer of {minutes} minutes.", "Wake me in {minutes} minutes.",
       "Timer, {minutes} minutes."),
      lambda rng, words: {"minutes": rng.randint(1, 120)}, _done),
    C("add_event", "Add an event to the calendar.", {"title": _string("What."), "day": _string("The day."),
     "time": _string("The time.")},
      ("Add {title} on {day} at {time} to my calendar.", "Put {title} in my calendar for {day} at {time}.",
       "New event: {title}, {day}, {time}."),
      lambda rng, words: {"title": words.phrase(1, 2), "day": rng.choice(_DAYS), "time": _clock(rng)}, _done),
    C("convert_currency", "Convert an amount of money.",
      {"amount": {"type": "number", "description": "The amount."}, "source": _string("From this currency."),
       "target": _string("To this currency.")},
      ("Convert {amount} {source} to {target}.", "How much is {amount} {source} in {target}?",
       "What are {amount} {source} in {target}?"),
      _money,
      lambda rng, words: f"{rng.uniform(1, 9999):.2f}"),
    C("translate", "Translate a text.", {"text": _string("The text."),
     "language": _string("The language to translate to.")},
      ('Translate "{text}" to {language}.', "Translate {text} into {language}.", 'What is "{text}" in {language}?',
       'Say "{text}" in {language}.'),
      lambda rng, words: {"text": words.phrase(1, 4), "language": rng.choice(_LANGUAGES)}, lambda rng,
      words: words.phrase(1, 4)),
    C("search_web", "Search the web.", {"query": _string("What to search for.")},
      ("Search the web for {query}.", "Look up {query}.", "Find {query} on the web.", "Google {query}"),
      lambda rng, words: {"query": words.phrase(1, 4)}, lambda rng, words: rng.choice([words.phrase(3, 7),
      f"{rng.randint(2, 99)} results", "no results"])),
    C("create_note", "Save a note.", {"text": _string("The text of the note.")},
      ("Note: {text}", "Make a note: {text}", 'Save the note "{text}".', "Remember this: {text}"),
      lambda rng, words: {"text": words.phrase(2, 6)}, _done),
    C("play_song", "Play a song.", {"title": _string("The title."), "artist": _string("The artist.")},
      ("Play {title} by {artist}.", 'Play the song "{title}" by {artist}.', "I want to hear {title} by {artist}."),
      lambda rng, words: {"title": words.phrase(1, 3), "artist": rng.choice(_PEOPLE)}, _done),
    C("get_stock_price", "Get the price of a stock.", {"symbol": _string("The ticker symbol.")},
      ("What is the price of {symbol}?", "How is {symbol} trading?", "Stock price of {symbol}, please."),
      lambda rng, words: {"symbol": "".join(rng.choice("ABCDEFGHKLMNPRSTVWX") for _ in range(rng.randint(3, 4)))},
      lambda rng, words: f"{rng.uniform(1, 999):.2f}"),
    C("book_table", "Book a table in a restaurant.", {"restaurant": _string("The restaurant."),
     "guests": _integer("Number of guests."), "time": _string("The time.")},
      ("Book a table for {guests} at {restaurant} at {time}.", "A table for {guests} at {restaurant}, {time}.",
       "Reserve {restaurant} for {guests} people at {time}."),
      lambda rng, words: {"restaurant": words.word().title(), "guests": rng.randint(2, 12), "time": _clock(rng)},
      _done),
    C("read_file", "Read a text file.", {"path": _string("Path of the file.")},
      ("Read {path}.", "Show me {path}.", "What is in {path}?", "Open the file {path}.", "cat {path}"),
      lambda rng, words: {"path": words.path()}, lambda rng, words: words.phrase(2, 8)),
    C("write_file", "Write a text file.", {"path": _string("Path of the file."), "text": _string("The text.")},
      ('Write "{text}" to {path}.', "Create {path} with the text {text}.", "Save {text} as {path}."),
      lambda rng, words: {"path": words.path(), "text": words.phrase(1, 5)}, _done),
    C("delete_file", "Delete a file.", {"path": _string("Path of the file.")},
      ("Delete {path}.", "Remove the file {path}.", "Please delete {path}."), lambda rng,
       words: {"path": words.path()}, _done),
    C("list_files", "List all files.", {}, ("List the files.", "Which files are there?", "Show all files.", "ls"),
      lambda rng, words: {}, lambda rng, words: ", ".join(words.path() for _ in range(rng.randint(1, 4)))),
    C("get_order", "Get the status of an order.", {"order_id": _string("The order's number.")},
      ("Where is my order {order_id}?", "What is the status of order {order_id}?", "Check order {order_id}."),
      lambda rng, words: {"order_id": words.code()}, lambda rng, words: rng.choice(["shipped", "in transit",
      "delivered", "cancelled", "paid", f"arrives on {rng.choice(_DAYS)}"])),
    C("set_light", "Switch a light on or off.", {"room": _string("The room."), "on": {"type": "boolean",
     "description": "On or off."}},
      ("Light in the {room}: {on}", "Set the {room} light: {on}."),
      lambda rng, words: {"room": words.word(), "on": rng.random() < 0.5}, _done),
    C("add", "Add two numbers.", {"a": _integer("First number."), "b": _integer("Second number.")},
      ("Add {a} and {b}.", "What is {a} plus {b}?", "Sum of {a} and {b}?", "{a} + {b}"),
      lambda rng, words: {"a": rng.randint(0, 999), "b": rng.randint(0, 999)}, lambda rng, words: str(rng.randint(0,
      1999))),
    C("run_command", "Run a shell command.", {"command": _string("The command.")},
      ("Run `{command}`.", "Execute {command}", "Run the command {command}"),
      lambda rng, words: {"command": rng.choice(["ls {}", "cat {}", "rm {}", "touch {}", "git add {}",
      "wc -l {}"]).format(words.path())}, _done),
)  # fmt: skip


def _spoken(values: Values) -> Values:
    return {name: ("on" if value else "off") if isinstance(value, bool) else value for name, value in values.items()}


def make_common(rng: random.Random, words: Words, turns: int, extra_tools: list[Tool]) -> Conversation:
    tools = rng.sample(TOOLS, rng.choice([1, 2, 3, 4, 5]))
    conversation = Conversation("common", [tool.definition for tool in tools] + extra_tools)
    rng.shuffle(conversation.tools)
    opening(rng, conversation)
    for _ in range(turns):
        tool = rng.choice(tools)
        values = tool.draw(rng, words)
        conversation.user(rng.choice(tool.requests).format(**_spoken(values)))
        result = failure(words) if rng.random() < 0.1 else tool.result(rng, words)
        conversation.calls([(tool.name, values)], [result])
        conversation.answer(report(tool.name, result))
    return conversation


def make_parallel_common(rng: random.Random, words: Words, turns: int) -> Conversation:
    """The same question about several things, or different tools in one sentence."""
    tools = rng.sample(TOOLS[:2] + TOOLS[2:], rng.choice([2, 3, 4]))
    conversation = Conversation("parallel", [tool.definition for tool in tools])
    opening(rng, conversation)
    for _ in range(turns):
        tool = rng.choice(tools)
        count = rng.choice([2, 2, 2, 3])
        if len(tool.properties) == 1 and rng.random() < 0.6:
            (name,) = tool.properties
            values = [tool.draw(rng, words) for _ in range(count)]
            listed = [str(value[name]) for value in values]
            template = rng.choice([request for request in tool.requests if "{" in request])
            conversation.user(template.format(**{name: ", ".join(listed[:-1]) + " and " + listed[-1]}))
            calls = [(tool.name, value) for value in values]
        else:
            chosen = [rng.choice(tools) for _ in range(count)]
            calls = [(tool.name, tool.draw(rng, words)) for tool in chosen]
            pairs = zip(chosen, calls, strict=True)
            texts = [rng.choice(tool.requests).format(**_spoken(values)) for tool, (_, values) in pairs]
            conversation.user(" ".join(text if text[-1] in ".?" else text + "." for text in texts))
        by_name = {tool.name: tool for tool in tools}
        results = [failure(words) if rng.random() < 0.06 else by_name[name].result(rng, words) for name, _ in calls]
        conversation.calls(calls, results)
        conversation.answer(report_all(calls, results))
    return conversation
