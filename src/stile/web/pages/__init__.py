"""The pages, one module each: how its data is read, what it shows, what its forms do."""
