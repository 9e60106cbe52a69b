"""What is wrong with a table of examples, told before any training; see :func:`myna.checking.check.check`."""
