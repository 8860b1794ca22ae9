"""Load a model file: its name, vocabulary, chat template and defaults."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from .chat_template import ChatTemplate
from .errors import ModelNotFound, ModelWithoutChatTemplate
from .formats import detect_format, named_format
from .gguf_header import check_header
from .hub import is_reference, model_file
from .llama import LlamaModel, check_gguf
from .random_models import is_random, random_model_file
from .tool_call_deltas import ToolCallParser
from .tool_format import ToolFormat
from .vocabulary import Vocabulary

DEMO = "demo"
_DEMO_FILE = Path(__file__).parent / "models" / "demo.gguf"


@dataclass(frozen=True)
class Model:
    """A model ready to be given to an engine.

    name:                `general.name` of the GGUF, else the file's stem.
    context_train:       tokens of context that it was trained for; 0 if the file doesn't say.
    context_length:      tokens per sequence to serve: what was asked for, else `context_train`, else 4096.
    tool_format:         what it writes calls and reasoning in.
    default_temperature: `general.sampling.temp` of the GGUF, else 1.0.
    stop_tokens:         its end-of-generation tokens.
    llama:               the weights, for the engine.
    """

    name: str
    path: Path
    llama: LlamaModel
    vocab: Vocabulary
    chat_template: ChatTemplate
    context_train: int
    context_length: int
    tool_format: ToolFormat
    default_temperature: float

    @property
    def stop_tokens(self) -> frozenset[int]:
        return self.vocab.stop_tokens

    @property
    def call_tokens(self) -> frozenset[int]:
        """The special token that begins a tool call, if the family has one."""
        return self.tool_format.call_tokens(self.vocab.special_tokens)

    def turn_parser(self) -> ToolCallParser:
        """A parser for one assistant turn that follows the template's generation prompt."""
        return self.tool_format.parser(self.tool_format.begins_in_reasoning(self.chat_template.generation_prompt))


def model_path(name: str | Path) -> Path:
    """The file that a model's name stands for: `demo` is the packaged one, `hf:OWNER/REPO[:FILE]` one of the Hugging
    Face Hub, `random:SHAPE[:QUANTIZATION[:ARCHITECTURE]]` one with random weights, which are downloaded or made unless
    they are in the cache; anything else is a path.

    Raises ModelNotFound if the packaged weights, the Hub's file or the shape aren't there (a path is checked when it is
    loaded), ModelDownloadFailed.
    """
    if is_reference(name):
        return model_file(str(name))
    if is_random(name):
        return random_model_file(str(name), model_path(DEMO))
    if str(name) != DEMO:
        return Path(name).expanduser()
    if not _DEMO_FILE.is_file():
        raise ModelNotFound(
            "the demo model isn't installed with this copy of caesura: make it with `make model`, "
            "or give the path of a GGUF file"
        )
    return _DEMO_FILE


def load_model(
    path: str | Path, *, context_length: int | None = None, vocab_only: bool = False, tool_format: str | None = None
) -> Model:
    """Load a GGUF by path or by one of the names that `model_path` knows. Takes as long as mapping the file, if it
    doesn't have to be downloaded or made.

    context_length: tokens per sequence, also beyond what the model was trained for (the caller warns).
    vocab_only:     leave the weights out: enough for templates and tokens, not for an engine.
    tool_format:    a name of `formats.FORMATS`; None for what `formats.detect_format` finds.

    Raises ModelNotFound, ModelDownloadFailed, ModelLoadFailed, ModelWithoutChatTemplate, InvalidTemplate,
    UnknownToolFormat.
    """
    chosen = None if tool_format is None else named_format(tool_format)
    file = model_path(path)
    check_gguf(file)
    check_header(file)
    llama = LlamaModel(file, vocab_only=vocab_only)
    # Models with a second template for tools (Hermes, Command-R) can't call any with their first.
    source = llama.metadata("tokenizer.chat_template.tool_use") or llama.metadata("tokenizer.chat_template")
    if not source or not source.strip():
        raise ModelWithoutChatTemplate(
            f"{file} has no chat template (`tokenizer.chat_template`), so a conversation can't be put into its words. "
            "Use an instruction-tuned GGUF."
        )
    vocab = Vocabulary(llama)
    chosen = chosen or detect_format(source, vocab)
    # vocab_only loads no hyperparameters, but the metadata is there all the same.
    architecture = llama.metadata("general.architecture") or ""
    context_train = llama.context_train or int(llama.metadata(f"{architecture}.context_length") or 0)
    return Model(
        name=llama.metadata("general.name") or file.stem,
        path=file,
        llama=llama,
        vocab=vocab.showing(chosen.structure),
        chat_template=ChatTemplate(source, vocab, chosen),
        context_train=context_train,
        context_length=context_length or context_train or 4096,
        tool_format=chosen,
        default_temperature=_temperature(llama.metadata("general.sampling.temp")),
    )


def _temperature(value: str | None) -> float:
    try:
        temperature = float(value) if value is not None else 1.0
    except ValueError:
        return 1.0
    return temperature if math.isfinite(temperature) and 0 <= temperature <= 100 else 1.0
