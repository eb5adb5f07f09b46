"""Train: experiments, runs, metrics, search; and what becomes of them: evaluation, evidence, moving in and out."""
