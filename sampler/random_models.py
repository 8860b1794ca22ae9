"""Random models by name: `random:SHAPE[:QUANTIZATION[:ARCHITECTURE]]` to a file in the user's cache.

The same name is the same bytes, on any machine, as long as the code that makes them and the demo model, whose tokenizer
they have, are the same: the folder is named by those, so that a file of an older release is never taken for a new one.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from .errors import ModelNotFound

PREFIX = "random:"
_MAKERS = ("random_model.py", "random_architectures.py")


def is_random(name: str | Path) -> bool:
    return isinstance(name, str) and name.startswith(PREFIX)


def random_model_file(name: str, tokenizer: Path) -> Path:
    """The file of a random model, made unless it is there. Several processes may ask for it at once.

    Raises ModelNotFound for a name with parts that don't exist, or if there is no place to write to.
    """
    from .random_architectures import ARCHITECTURES
    from .random_model import QUANTIZATIONS, SHAPES, write_random_model

    parts = name.removeprefix(PREFIX).split(":")
    choices = {"shape": tuple(SHAPES), "quantization": QUANTIZATIONS, "architecture": tuple(ARCHITECTURES)}
    if len(parts) > len(choices):
        raise ModelNotFound(f"{name} has too many parts: write random:SHAPE[:QUANTIZATION[:ARCHITECTURE]]")
    for (part, known), value in zip(choices.items(), parts, strict=False):
        if value not in known:
            raise ModelNotFound(f"{name}: there is no {part} {value!r}; choose from {', '.join(known)}")
    defaults = [known[0] for known in choices.values()]
    shape, quantization, architecture = [*parts, *defaults[len(parts) :]]
    file = f"{shape}-{quantization}-{architecture}.gguf"
    try:
        folder = _folder(tokenizer)
        path = folder / file
        if not path.exists():
            # Under the final name, since that is in the model too, but in a folder of this process alone.
            aside = Path(tempfile.mkdtemp(dir=folder))
            try:
                made = write_random_model(
                    aside / file,
                    SHAPES[shape],
                    quantization=quantization,
                    architecture=architecture,
                    tokenizer=tokenizer,
                )
                os.replace(made, path)
            finally:
                shutil.rmtree(aside, ignore_errors=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: the user has no home
        raise ModelNotFound(
            f"can't write {name} to the cache: {error}. Set XDG_CACHE_HOME to a folder with room."
        ) from error
    return path


def _folder(tokenizer: Path) -> Path:
    digest = hashlib.sha256()
    for file in (tokenizer, *(Path(__file__).with_name(maker) for maker in _MAKERS)):
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(cache) / "caesura" / f"random-{digest.hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
