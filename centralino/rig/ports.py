"""Ports on the loopback address that nobody else here takes at the same time.

Ranges come from 20000-31999, below the ports that Linux hands out by itself (from 32768), in blocks of 20. The first
port of each block is held open over TCP as long as the range is in use: that is the mark other processes see.
"""

import contextlib
import random
import socket

_FIRST, _LAST, _BLOCK = 20000, 31999, 20


def free_port() -> int:
    """Give a TCP port that was free a moment ago, for a server that is started at once."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class PortRange:
    """Consecutive ports, UDP and TCP, kept until `close()`; `first` itself is not usable over TCP.

    Raises RuntimeError when no range of this size is free.
    """

    def __init__(self, size: int) -> None:
        blocks = -(-size // _BLOCK)
        starts = list(range(_FIRST, _LAST + 2 - blocks * _BLOCK, _BLOCK))
        random.shuffle(starts)
        for start in starts:
            try:
                self._marks = _take(start, blocks)
            except OSError:
                continue
            self.first, self.last = start, start + blocks * _BLOCK - 1
            return
        raise RuntimeError(f"no {size} free ports in a row between {_FIRST} and {_LAST}: end some programs")

    def close(self) -> None:
        """Give the ports back."""
        for mark in self._marks:
            mark.close()


def _take(start: int, blocks: int) -> list[socket.socket]:
    with contextlib.ExitStack() as stack:
        marks = [stack.enter_context(_bound(socket.SOCK_STREAM, start + block * _BLOCK)) for block in range(blocks)]
        for port in range(start, start + blocks * _BLOCK):
            _bound(socket.SOCK_DGRAM, port).close()
            if (port - start) % _BLOCK:
                _bound(socket.SOCK_STREAM, port).close()
        stack.pop_all()
        return marks


def _bound(kind: socket.SocketKind, port: int) -> socket.socket:
    probe = socket.socket(socket.AF_INET, kind)
    try:
        if kind == socket.SOCK_STREAM:
            # As servers do: a connection closed a moment ago does not keep the port taken.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
        if kind == socket.SOCK_STREAM:
            # Only a listening socket keeps others, who also set SO_REUSEADDR, out.
            probe.listen(1)
    except OSError:
        probe.close()
        raise
    return probe
