"""python3 rotating_names.py FOLDER, as root in separate network and mount namespaces (`unshare --mount --net`).

A name server gives the two addresses of a name in another order each time; one of the two replicas is stale. Runs the gate
on that name, and ends with its exit code.
"""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

from cicd_actions.__main__ import main

REPLICAS = {"127.0.0.2": b"new", "127.0.0.3": b"old"}


def answer(query: bytes, turn: int) -> bytes:
    """Returns the reply to a query (RFC 1035, section 4.1); there are no IPv6 addresses."""
    end = query.index(b"\0", 12) + 5
    addresses = list(REPLICAS) if query[end - 4 : end - 2] == b"\0\1" else []
    addresses = addresses[turn % 2 :] + addresses[: turn % 2]
    records = b"".join(b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4" + socket.inet_aton(each) for each in addresses)
    return query[:2] + struct.pack("!HHHHH", 0x8180, 1, len(addresses), 0, 0) + query[12:end] + records


def serve_names(names: socket.socket) -> None:
    turns = {b"\0\1": 0, b"\0\x1c": 0}
    while True:
        query, client = names.recvfrom(2048)
        kind = query[query.index(b"\0", 12) + 1 :][:2]
        names.sendto(answer(query, turns[kind]), client)
        turns[kind] += 1


def serve(listener: socket.socket, version: bytes) -> None:
    body = b'{"version": "%s"}' % version
    while True:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(body), body))


def in_background(function: object, *arguments: object) -> None:
    threading.Thread(target=function, args=arguments, daemon=True).start()  # type: ignore[arg-type]


subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
for name, text in (("resolv.conf", "nameserver 127.0.0.1"), ("hosts", ""), ("nsswitch.conf", "hosts: files dns")):
    file = Path(sys.argv[1], name)
    file.write_text(f"{text}\n")
    subprocess.run(["mount", "--bind", str(file), f"/etc/{name}"], check=True)
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("127.0.0.1", 53))
in_background(serve_names, udp)
for host, version in REPLICAS.items():
    in_background(serve, socket.create_server((host, 8080)), version)
url = "http://app.example.test:8080/"
main(["health-gate", "--url", url, "--expect-version", "new", "--stable-for", "500ms", "--timeout", "2s"])
