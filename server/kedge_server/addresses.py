"""Addresses to listen on: how they are written, and why one cannot be had."""

import errno
import os
import re
import socket
from typing import NamedTuple

_LARGEST_PORT = 65535


class Address(NamedTuple):
    """Where to listen. Port 0 lets the system choose."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def family(self) -> socket.AddressFamily:
        """IPv6 where the host is an IPv6 address, else IPv4."""
        return socket.AF_INET6 if ":" in self.host else socket.AF_INET


def parse_address(text: str) -> Address:
    """Parse `host:port`, with `[…]` around an IPv6 host.

    Raises:
        ValueError: it is written differently.
    """
    match = re.fullmatch(r"(?:\[(?P<v6>[0-9A-Fa-f:.%]+)\]|(?P<host>[^\s:\[\]]+)):(?P<port>[0-9]{1,5})", text)
    if match is None or int(match["port"]) > _LARGEST_PORT:
        raise ValueError(f"expected host:port, for example 0.0.0.0:8500 or [::]:8500, got '{text}'")
    return Address(match["v6"] or match["host"], int(match["port"]))


def check_free(address: Address) -> None:
    """Listen for a moment: gRPC prints its own trace of a port that is taken, and does not tell the reason.

    Raises:
        OSError: the address cannot be listened on.
    """
    socket.create_server((address.host, address.port), family=address.family).close()


def why_not(error: Exception) -> str:
    """Why an address could not be listened on, in words."""
    if isinstance(error, OSError):
        if error.errno and error.errno < 0:  # the resolver's codes, which the system has no words for
            return "no address is known here for this host name"
        if error.errno == errno.EADDRINUSE:
            return "another process listens there already"
        return os.strerror(error.errno) if error.errno else str(error)
    return str(error)
