"""Probes of our own workspace: plain functions returning JSON values. They also work as Chaos Toolkit python providers."""
