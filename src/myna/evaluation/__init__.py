"""Evaluation: figures with intervals, simple baselines beside them, and the report that shows both."""
