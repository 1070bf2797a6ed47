"""The web server's socket. The supervisor binds it, so that port 0 works and a restarted server keeps its callers."""

from __future__ import annotations

import errno
import ipaddress
import socket

from contract.options import SettingsError
from contract.settings import Web


def refuse_open_network(web: Web) -> None:
    """There are no keys yet: beyond loopback, anybody who reaches the port may do anything."""
    if web.trust_network or is_loopback(web.host):
        return
    raise SettingsError(
        f"{web.host} can be reached from other machines, and without keys anybody there may submit, read and cancel. "
        "Listen on 127.0.0.1, or set FOURNIL_TRUST_NETWORK=true where the network itself keeps strangers out."
    )


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def listen(web: Web) -> socket.socket:
    """A listening socket on the wanted address, or the sentence that says why there is none."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(web.host, web.port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise SettingsError(f"Cannot listen on {web.host} port {web.port}: {_why(error)}.") from error
    listener.listen(2048)
    return listener


def url_of(listener: socket.socket) -> str:
    """Where a person on this machine opens it."""
    host, port = listener.getsockname()[:2]
    if ipaddress.ip_address(host).is_unspecified:
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _why(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "another program has it; choose another with --port, or --port 0 for a free one"
    return error.strerror or "the address is not one of this machine's"
