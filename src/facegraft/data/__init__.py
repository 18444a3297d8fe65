"""What a dataset is: grids of pictures, batches of them, summaries and drift."""
