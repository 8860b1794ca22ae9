"""Every error the sampler raises, in one tree.

    SamplerError
    |- ModelError                  a model can't be used
    |  |- ModelNotFound            no such file, not readable, or not a GGUF
    |  |- ModelLoadFailed          llama.cpp refused the file
    |  |- ModelWithoutChatTemplate the GGUF holds no chat template
    |  |- ModelDownloadFailed      the file can't be had from the Hugging Face Hub
    |  `- UnknownToolFormat        no tool format has that name
    |- TemplateError               a conversation can't become tokens
    |  |- InvalidTemplate          the chat template is no valid Jinja
    |  |- TemplateRejected         the template raised on these messages
    |  |- TemplateNotIncremental   the template can't continue a conversation by appending
    |  `- InvalidMessage           a message or tool isn't of the documented shape
    |- RequestError                the caller asked for something impossible; nothing changed
    |  |- InvalidSamplingParams    a parameter is out of range (`.param` names it)
    |  |- InvalidGrammar           a schema or grammar can't be compiled
    |  |- InvalidToolChoice        the tools that the model must call don't exist
    |  |- InvalidToken             a token id outside the vocabulary, or none at all
    |  |- InvalidCostModel         a simulated engine can't be like that
    |  |- InvalidMeasurement       what the yardstick is to do is malformed, or can't be done
    |  |- ContextLengthExceeded    the tokens don't fit the sequence
    |  |- NoFreeSequence           as many sequences as the engine takes are open
    |  |- SequenceBusy             the sequence is being sampled
    |  `- SequenceClosed           the sequence was closed, or failed earlier
    |- EngineError                 inference failed
    |  |- EngineStartFailed        llama.cpp gave no context for these settings
    |  |- DecodeFailed             llama_decode failed for this sequence; the engine lives on
    |  |- InvalidLogits            the model produced NaN or infinite logits for this sequence
    |  |- GrammarFailed            the grammar doesn't allow a recorded token, or can't go on
    |  |- ChoiceFailed             no token could be chosen for this sequence, by a bug
    |  `- EngineStopped            the engine was closed or its thread died
    `- ReplayError                 a recorded script can't be played
       |- InvalidReplay            the file is missing, no JSON, or a turn is malformed
       `- ReplayExhausted          the conversation has more turns than the script

Each carries `code`, a short name for the wire, and a message that says what can be done about it.
"""

from __future__ import annotations


class SamplerError(Exception):
    """Root of the tree. `code` is stable; the message is for people."""

    code = "sampler_error"


class ModelError(SamplerError):
    code = "model_error"


class ModelNotFound(ModelError):
    code = "model_not_found"


class ModelLoadFailed(ModelError):
    code = "model_load_failed"


class ModelWithoutChatTemplate(ModelError):
    code = "model_without_chat_template"


class ModelDownloadFailed(ModelError):
    code = "model_download_failed"


class UnknownToolFormat(ModelError):
    code = "unknown_tool_format"


class TemplateError(SamplerError):
    code = "template_error"


class InvalidTemplate(TemplateError):
    code = "invalid_chat_template"


class TemplateRejected(TemplateError):
    code = "template_rejected"


class TemplateNotIncremental(TemplateError):
    code = "template_not_incremental"


class InvalidMessage(TemplateError):
    code = "invalid_message"


class RequestError(SamplerError):
    code = "invalid_request"


class InvalidSamplingParams(RequestError):
    """`param` is the name of the offending field of `SamplingParams`."""

    code = "invalid_sampling_params"

    def __init__(self, param: str, message: str) -> None:
        super().__init__(f"{param}: {message}")
        self.param = param


class InvalidGrammar(RequestError):
    code = "invalid_grammar"


class InvalidToolChoice(RequestError):
    code = "invalid_tool_choice"


class InvalidToken(RequestError):
    code = "invalid_token"


class InvalidCostModel(RequestError):
    code = "invalid_cost_model"


class InvalidMeasurement(RequestError):
    code = "invalid_measurement"


class ContextLengthExceeded(RequestError):
    """`needed` tokens were offered where `room` fit."""

    code = "context_length_exceeded"

    def __init__(self, needed: int, room: int, context_length: int) -> None:
        super().__init__(
            f"{needed} tokens don't fit: {room} of the context's {context_length} are free. "
            "Send less, or start the server with a larger --ctx."
        )
        self.needed = needed
        self.room = room
        self.context_length = context_length


class NoFreeSequence(RequestError):
    code = "no_free_sequence"


class SequenceBusy(RequestError):
    code = "sequence_busy"


class SequenceClosed(RequestError):
    code = "sequence_closed"


class EngineError(SamplerError):
    code = "engine_error"


class EngineStartFailed(EngineError):
    code = "engine_start_failed"


class DecodeFailed(EngineError):
    code = "decode_failed"


class InvalidLogits(EngineError):
    code = "invalid_logits"


class ChoiceFailed(EngineError):
    code = "choice_failed"


class GrammarFailed(EngineError):
    code = "grammar_failed"


class EngineStopped(EngineError):
    code = "engine_stopped"


class ReplayError(SamplerError):
    code = "replay_error"


class InvalidReplay(ReplayError):
    code = "invalid_replay"


class ReplayExhausted(ReplayError):
    code = "replay_exhausted"
