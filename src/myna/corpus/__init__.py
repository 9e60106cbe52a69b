"""From sources to a corpus: read, clean, deduplicate, segment, split, store as Parquet shards."""
