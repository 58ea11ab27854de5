"""
One row a kind: everything the API server must know of a kind to store, default, check, select, show and announce it.

Rows are data and pure functions. Discovery, OpenAPI and Tables derive from them; adding a kind is adding a row. What needs
other objects (service accounts, cluster IPs) is admission and lives in :mod:`chaosfw.sandbox.apiserver.admission`.
"""
