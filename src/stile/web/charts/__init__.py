"""Charts drawn by the server: pure functions from values to SVG, with a finding in words and the numbers as a table."""
