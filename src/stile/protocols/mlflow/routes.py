"""Every route of MLflow's API that this server answers."""

from __future__ import annotations

from stile.protocols.mlflow import (
    artifacts,
    assessments,
    experiments,
    logged_models,
    model_versions,
    otlp,
    registered_models,
    runs,
    server,
    traces,
)

ROUTES = [
    *experiments.ROUTES,
    *runs.ROUTES,
    *logged_models.ROUTES,
    *artifacts.ROUTES,
    *registered_models.ROUTES,
    *model_versions.ROUTES,
    *traces.ROUTES,
    *assessments.ROUTES,
    *otlp.ROUTES,
    *server.ROUTES,
    *server.FALLBACK,
]
