"""The Responses API over HTTP, on the machine that the WebSocket modes run on.

A request is a connection that carries one Response. What differs from a WebSocket is how its events reach the client,
and no more: as server-sent events, or as one JSON object at the end.
"""
