"""The board: cards that move by what happens to models, iterations, comments, the inbox."""
