"""Moving in from MLflow and out again: what is moved, where it is read, how it is handed over."""
