"""What outlives the process: tick files in, the model and its passport, the journal, the day's files."""
