"""
Chaos Toolkit files in and out: parsed and located here, executed by the same engine as everything else.

Secrets and dynamic configuration are not resolved here: that happens in the executor, where the environment is the run's own.
"""
