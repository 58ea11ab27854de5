"""
An ordinary locustfile: shoppers who look at the front page and wait a little. ``locust -f experiments/locustfile.py`` runs it, and
``cf.locust("experiments/locustfile.py", at="shop")`` makes it the load of an experiment.
"""

from __future__ import annotations

from locust import HttpUser, between, task


class Shopper(HttpUser):
    """Most look at the front page, some at the health page, and those care what it says."""

    wait_time = between(0.02, 0.06)

    @task(3)
    def front(self) -> None:
        self.client.get("/")

    @task
    def health(self) -> None:
        with self.client.get("/health", catch_response=True) as answer:
            if answer.status_code != 200:
                answer.failure("not healthy")
