"""The ports that processes of this machine listen on, by Linux's own tables."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_LISTEN = "0A"
_WORD = 4  # addresses are in words of so many bytes, each turned around


def listening(pid: int) -> set[tuple[str, int]]:
    """(address, port) of each TCP port that a process and its descendants listen on."""
    sockets = {inode for one in _family(pid) for inode in _sockets(one)}
    return {place for inode, place in _listeners() if inode in sockets}


def is_loopback(address: str) -> bool:
    found = ipaddress.ip_address(address)
    return bool((getattr(found, "ipv4_mapped", None) or found).is_loopback)


def _family(pid: int) -> Iterator[int]:
    yield pid
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from _family(int(child))


def _sockets(pid: int) -> Iterator[str]:
    with suppress(OSError):
        for file in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                if found := re.fullmatch(r"socket:\[(\d+)\]", str(file.readlink())):
                    yield found[1]


def _listeners() -> Iterator[tuple[str, tuple[str, int]]]:
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *_, inode = line.split()[:10]
            if state == _LISTEN:
                address, _, port = local.partition(":")
                yield inode, (_address(address), int(port, 16))


def _address(text: str) -> str:
    words = bytes.fromhex(text)
    turned = (words[i : i + _WORD][::-1] for i in range(0, len(words), _WORD))
    return str(ipaddress.ip_address(b"".join(turned)))
