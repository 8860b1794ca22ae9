"""The boundary between the sampler's errors and the wire's: translated here and nowhere else.

The sampler knows nothing of the protocol, so its errors are a tree of their own; its codes are the wire's where one
exists for the same thing. The original is always chained.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from ..protocol.errors import CaesuraError, ContextLengthExceeded, InvalidValue, Overloaded, ServerFault
from ..sampler import errors as sampler_errors
from .store import StoreError

log = logging.getLogger("caesura")


def translate(error: Exception) -> CaesuraError:
    """The error that a client may see for this one. What nobody expected goes to the log, with its traceback."""
    match error:
        case CaesuraError():
            return error
        case sampler_errors.ContextLengthExceeded():
            return ContextLengthExceeded(str(error), param="input")
        case sampler_errors.InvalidSamplingParams():
            return InvalidValue(str(error), param=error.param)
        case sampler_errors.InvalidToolChoice():
            return InvalidValue(f"{error}.", param="tool_choice")
        case sampler_errors.InvalidGrammar():
            return InvalidValue(str(error), param="tools")
        case sampler_errors.NoFreeSequence():
            return Overloaded(str(error))
        case sampler_errors.TemplateError():
            return InvalidValue(str(error), param="input")
        case sampler_errors.SamplerError():
            return ServerFault(str(error))
        case StoreError():
            log.error("the store failed: %s", error)
            return ServerFault("Stored Responses can't be reached now. Try again, or send the full input.")
    log.error("a bug in the server", exc_info=error)
    return ServerFault("The server hit an error of its own. The log has the details.")


@contextmanager
def translated() -> Iterator[None]:
    """Raise the wire's error for a sampler's error in the block."""
    try:
        yield
    except sampler_errors.SamplerError as error:
        raise translate(error) from error
