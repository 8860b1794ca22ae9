"""The runtime: the rollout coroutine and the server around it.

Start reading at :mod:`.rollout`, which is the point of the project in one function; then :mod:`.pending` for the two
ways a tool call is answered, and :mod:`.session` for one client's connection.
"""
