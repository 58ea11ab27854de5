"""
Locust as a generator: the user's own locustfile, unchanged, in a process of its own.

``driver`` runs in the pytest process and imports no locust. The others run in the child
``python -m chaosfw.processes.locust`` only: importing Locust patches the whole standard library for gevent. Figures are never
taken from Locust's own statistics; it is asked for one thing, an event for each request.
"""
