"""
What the published OpenAPI documents of Kubernetes say about each object type: fields, required ones, how lists merge.

Derived data (``schema.json.gz``, see NOTICE and ``generate.py`` beside it), read once on first use. It holds no
descriptions and no defaults: the published defaults are mostly zero values of Go and must not be applied. Defaults are
hand rows in :mod:`chaosfw.sandbox.kinds`.
"""
