"""What `spec/generate.py` writes, part by part."""
