"""Using a model: load a folder, predict, generate."""
