"""The model stack: one Transformer, described by its parts, for every family."""
