"""The demo: a small git repository with a bug, the local tools to fix it, and training conversations of that task."""
