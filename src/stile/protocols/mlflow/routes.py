"""Every route of MLflow's API that this server answers."""

from __future__ import annotations

from stile.protocols.mlflow import (
    artifacts,
    assessments,
    experiments,
    logged_models,
    model_versions,
    otlp,
    presigned,
    registered_models,
    runs,
    server,
    traces,
    uploads,
    webhooks,
)

ROUTES = [
    *experiments.ROUTES,
    *runs.ROUTES,
    *logged_models.ROUTES,
    *artifacts.ROUTES,
    *uploads.ROUTES,
    *presigned.ROUTES,
    *registered_models.ROUTES,
    *model_versions.ROUTES,
    *traces.ROUTES,
    *assessments.ROUTES,
    *otlp.ROUTES,
    *webhooks.ROUTES,
    *server.ROUTES,
    *server.FALLBACK,
]
