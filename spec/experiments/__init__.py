"""The experiment behind README.md of this folder: its arms, the peers, and the paper made from their data."""
