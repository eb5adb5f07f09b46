"""The languages Stile speaks to the outside: MLflow's, the inference protocols, its own REST API."""
