-- Logged models by a metric, and versions by their tags, times and numbers: found by these, and walked in their order.
CREATE INDEX logged_model_metrics_by_value ON logged_model_metrics (key, value, model);
CREATE INDEX version_tags_by_value ON version_tags (key, substr(value, 1, 100), model, version);
CREATE INDEX model_versions_by_creation ON model_versions (created_at);
CREATE INDEX model_versions_by_update ON model_versions (updated_at);
CREATE INDEX model_versions_by_number ON model_versions (version);
