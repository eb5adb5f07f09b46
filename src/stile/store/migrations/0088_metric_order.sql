-- The index by newest value has the least and the greatest beside it, so that an order by these reads nothing else.
-- An entry is written anew whenever the newest value changes, so they come along for nothing.
DROP INDEX latest_by_value;
CREATE INDEX latest_by_value ON latest (experiment, key, value, run, low, high);
-- How a run has read a dataset stands beside the run, so that it is found by that without the run.
DROP INDEX run_inputs_by_dataset;
CREATE INDEX run_inputs_by_dataset ON run_inputs (dataset, context, run);
