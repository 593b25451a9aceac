"""Ports for servers that have to be told theirs before they listen."""

from __future__ import annotations

import socket


def free_port() -> int:
    """A port that the system gives to nobody else for a minute.

    A port that was only looked for can be another test's before its server listens. On this one a connection was closed
    by the end that listened: such a port is left out where any will do, and whoever names it may listen on it.
    """
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", 0))
        listening.listen(1)
        port = int(listening.getsockname()[1])
        with socket.create_connection(("127.0.0.1", port)) as caller:
            answering, _ = listening.accept()
            answering.close()
            caller.recv(1)
    return port
