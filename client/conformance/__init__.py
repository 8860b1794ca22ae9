"""The conformance suite of the done/append protocol: ``caesura conform``."""
