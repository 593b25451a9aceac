"""The application over HTTP, and the process that serves it."""

from storeroom.server.app import create_app
from storeroom.server.serve import opened, run, serve

__all__ = ["create_app", "opened", "run", "serve"]
