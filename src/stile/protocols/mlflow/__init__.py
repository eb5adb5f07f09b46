"""MLflow's REST API: tables of routes over the verbs of ``train`` and ``govern``."""
