"""One module per model format, the same protocol in each: rows in, scores out."""
