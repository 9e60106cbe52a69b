"""Models in the layout of Hugging Face: a folder, and one table a family that is read both ways.

``folder`` reads and writes folders, ``layout`` is what all tables share, and each of the other modules is a family.
"""
