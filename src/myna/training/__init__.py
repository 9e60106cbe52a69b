"""Training: one loop for every objective, its settings, schedules and checkpoints."""
