"""What an index keeps on the disk: folders saved whole, shards, the table of records."""
