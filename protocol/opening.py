"""How a client asks for append mode when it connects (spec/PROTOCOL.md, Opening)."""

BETA_HEADER = "OpenAI-Beta"

APPEND_MODE_NAME = "responses_websockets"
APPEND_MODE_VERSION = "2026-02-04"
APPEND_MODE = f"{APPEND_MODE_NAME}={APPEND_MODE_VERSION}"
"""A value of the header, or a query parameter."""
