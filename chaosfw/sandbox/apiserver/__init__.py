"""
The embedded API server: a store with one counter, the verbs over it, and HTTPS in front.

It stores, checks, defaults and announces. It reconciles nothing: controllers and scheduler are clients like any other.
"""
