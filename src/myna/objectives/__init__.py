"""Objectives: what a model is trained for. Each is one file; ``OBJECTIVES`` in :mod:`myna.pretraining` lists them."""
