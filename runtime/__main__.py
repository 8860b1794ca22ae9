"""``python -m caesura.runtime serve ...``: the server without the command line of the client."""

import sys

from .command import serve

if __name__ == "__main__":
    arguments = sys.argv[1:]
    sys.exit(serve(arguments[1:] if arguments[:1] == ["serve"] else arguments))
