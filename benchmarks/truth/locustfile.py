"""The load of the truth benchmark in Locust: one request a task; in the closed loop a task every tenth of a second and user."""

from __future__ import annotations

from locust import FastHttpUser, constant_pacing, task


class User(FastHttpUser):
    wait_time = constant_pacing(0.1)

    @task
    def one(self) -> None:
        self.client.get("/", headers={"Connection": "close"})
