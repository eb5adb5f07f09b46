"""The gateway: answers of one use case over Open Inference Protocol V2 and MLflow's `/invocations`."""
