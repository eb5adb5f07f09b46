"""From a decision to answers: runtimes, the deployment document, the prediction log, outcomes, feedback and `why`."""
