"""A use case as files: a plain folder for git, and the chain that walks it from table to verdict."""
