"""Ports for servers that have to be told theirs before they listen."""

from __future__ import annotations

import socket


def free_port() -> int:
    """A port that the system gives to nobody else until the tests end; whoever names it may listen there.

    A port that was only looked for can be another test's before its server listens, or listens again.
    """
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: then they may share it
    held.bind(("127.0.0.1", 0))  # and does not listen, so nobody answers there meanwhile
    port = int(held.getsockname()[1])
    held.detach()  # left open
    return port
