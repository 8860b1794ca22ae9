"""The Jinja environment that chat templates are written for: Hugging Face's conventions, sandboxed.

Source of the conventions: the `apply_chat_template` documentation of transformers (trim_blocks, lstrip_blocks, loop
controls, `tojson` that escapes nothing, `raise_exception`, `strftime_now`, `{% generation %}`).
"""

from __future__ import annotations

import datetime
import json

import jinja2
import jinja2.compiler
import jinja2.ext
import jinja2.nodes
import jinja2.parser
import jinja2.sandbox

from .errors import InvalidTemplate, TemplateRejected
from .opaque_text import joined


class _Generation(jinja2.ext.Extension):
    """`{% generation %}...{% endgeneration %}` marks the assistant's text for trainers; here it is transparent."""

    tags = {"generation"}  # noqa: RUF012  (jinja2 declares it as an instance's)

    def parse(self, parser: jinja2.parser.Parser) -> list[jinja2.nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _Code(jinja2.compiler.CodeGenerator):
    """`~` joins by the environment's `concat` too."""

    def visit_Concat(self, node: jinja2.nodes.Concat, frame: jinja2.compiler.Frame) -> None:
        self.write("environment.concat(map(str, (")
        for operand in node.nodes:
            self.visit(operand, frame)
            self.write(", ")
        self.write(")))")


class _Environment(jinja2.sandbox.ImmutableSandboxedEnvironment):
    code_generator_class = _Code
    concat = staticmethod(joined)


def compile_template(source: str) -> jinja2.Template:
    """Raises InvalidTemplate, with the line."""
    environment = _Environment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", _Generation]
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    try:
        return environment.from_string(source)
    except jinja2.TemplateSyntaxError as error:
        raise InvalidTemplate(f"the chat template is no valid Jinja: line {error.lineno}: {error.message}") from error
    except (jinja2.TemplateError, RecursionError) as error:
        raise InvalidTemplate(f"the chat template is no valid Jinja: {error}") from error


def _tojson(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise_exception(message: str) -> None:
    raise TemplateRejected(f"the model's chat template refuses this conversation: {message}")


def _strftime_now(format: str) -> str:
    return datetime.datetime.now().strftime(format)
