"""Every route of MLflow's API that this server answers."""

from __future__ import annotations

from stile.protocols.mlflow import (
    artifacts,
    experiments,
    logged_models,
    model_versions,
    registered_models,
    runs,
    server,
)

ROUTES = [
    *experiments.ROUTES,
    *runs.ROUTES,
    *logged_models.ROUTES,
    *artifacts.ROUTES,
    *registered_models.ROUTES,
    *model_versions.ROUTES,
    *server.ROUTES,
    *server.FALLBACK,
]
