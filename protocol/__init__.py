"""The protocol core: messages, the state table and the machines that client and server both run on.

Sans-I/O. Nothing here imports asyncio, sockets, threads or a clock; time arrives as an argument named ``now``.
Start reading at :mod:`.state` (the table), then :mod:`.response` (one Response) and :mod:`.connection` (many of them).
"""
