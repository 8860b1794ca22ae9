"""Who may talk to the server, and how much at once (spec/decisions/0025).

:func:`.guard.guarded` puts it around an ASGI application; :mod:`.transport` holds for what comes before there is a
request.
"""
