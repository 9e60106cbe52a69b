"""What a recipe will take before it runs: memory, disk, time; and what to train in a time that is given."""
