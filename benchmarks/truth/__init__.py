"""
What generators say against what happened: a server in its own process that breaks on a seeded schedule and logs every request.

``python -m benchmarks.truth [GENERATOR …]`` prints, for each generator, the bars of docs/protocols/measuring.md ("Truth benchmark"), and
beside them what Locust's and k6's own summaries say of the same outages.
"""
