"""Tokens: text to pieces and back, and the store of a corpus as ids.

``tokenizer`` trains and opens vocabularies, ``encoding`` says which piece belongs to which word, ``store`` keeps a
corpus as memory-mapped ids, ``pieces`` and ``sampler`` cut it into the items of a step.
"""
