"""Weights that ship with the package: `demo.gguf`, made by `caesura.sampler.train` (see README.md)."""
