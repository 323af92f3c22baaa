"""Bytes that processes moved over TCP to and from other machines, as the kernel counts them for each connection.

Linux counts no such bytes by process.  It does so by connection, and tells whoever asks over netlink (sock_diag(7), struct
tcp_info of linux/tcp.h); whose a connection is shows in the descriptors of processes.  What was connected and closed between
two looks is missed, and so is what is not TCP: what is counted is the least that was moved.
"""
from __future__ import annotations

import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

ORDER = sys.byteorder  # of all but addresses and ports
FRESH_SECONDS = 0.3  # for which what was told stands: several attempts look at the same connections
REST_FACTOR = 200  # a costly look may take 1/200 of a processor
HEARD_AT_MOST = 4096  # messages at once: connections may go faster than we read of them
ASKED_AT_MOST = 256  # connections of an attempt that ends: each takes some microseconds, and all others wait
GOING_SECONDS = 0.02  # in which the kernel tells of a connection that is gone
LOST = 105  # ENOBUFS: more was told than fits in there
STRANGE_LOOKS = 2  # in which a connection is found to be no one's that we look at; it may begin between a look and the other
AF_NETLINK, SOCK_DIAG, BY_FAMILY, DESTROYED = 16, 4, 20, 0b101  # the groups of TCP over IPv4 and over IPv6
DUMP, ONE, INFO, IPPROTO_TCP = 0x301, 1, 2, 6
ERROR, DONE = 2, 3  # kinds of messages
# Those that are or were connected: not CLOSE, LISTEN, TIME_WAIT, nor what has not come about.
STATES = sum(1 << state for state in (1, 4, 5, 8, 9, 11))
FAMILIES = (2, 10)
HEADER, FIXED, COUNTED = 16, 72, 136  # bytes: of a message, of what it says of a connection, of tcp_info that we need
BUFFER_BYTES = 1 << 18
MAPPED = bytes(10) + b'\xff\xff'
FAMILY_4 = 2


class Connection:
    """``name``: the kernel's own, never given twice.  ``inode``: 0 where no process holds it any more.  ``near``: to this very
    machine.  Bytes: those that came here, and those of which the other side said that they have come there; the kernel counts
    a beginning and an end as one each.  ``key``: its family, and by what the kernel finds it."""

    __slots__ = ('inode', 'key', 'name', 'near', 'received', 'sent')

    def __init__(self, name: int, inode: int, near: bool, received: int, sent: int, key: tuple[int, bytes]) -> None:
        self.name = name
        self.key = key
        self.inode = inode
        self.near = near
        self.received = received
        self.sent = sent


def connection(body: bytes) -> Connection | None:
    """From one message (struct inet_diag_msg and its attributes); None where it does not tell what was moved."""
    at, info = FIXED, b''
    while at + 4 <= len(body):
        size, kind = int.from_bytes(body[at:at + 2], ORDER), int.from_bytes(body[at + 2:at + 4], ORDER)
        if kind == INFO:
            info = body[at + 4:at + size]
        at += max(4, (size + 3) & ~3)
    if len(body) < FIXED or len(info) < COUNTED:  # before Linux 4.2
        return None
    here, there = (_address(body[0], body[at:at + 16]) for at in (8, 24))
    sent, received = int.from_bytes(info[120:128], ORDER), int.from_bytes(info[128:136], ORDER)
    return Connection(int.from_bytes(body[44:52], ORDER), int.from_bytes(body[68:72], ORDER),
                      here == there or _is_loop(there), received, sent, (body[0], body[4:52]))


def _address(family: int, data: bytes) -> bytes:
    return data[:4] if family == FAMILY_4 else data[12:] if data.startswith(MAPPED) else data


def _is_loop(address: bytes) -> bool:
    return address[0] == 127 if len(address) == 4 else address == bytes(15) + b'\1'


def messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(kind, what it says) of each in one answer of the kernel."""
    at = 0
    while at + HEADER <= len(data):
        size = int.from_bytes(data[at:at + 4], ORDER)
        if size < HEADER:
            return
        yield int.from_bytes(data[at + 4:at + 6], ORDER), data[at + HEADER:at + size]
        at += (size + 3) & ~3


def inodes(pids: Iterable[int]) -> set[int]:
    """Of the sockets that these processes hold, as far as they are ours to look into."""
    found = set()
    for pid in pids:
        try:
            names = os.listdir(f'/proc/{pid}/fd')
        except OSError:
            continue
        for name in names:
            try:
                target = os.readlink(f'/proc/{pid}/fd/{name}')
            except OSError:  # closed meanwhile
                continue
            if target.startswith('socket:['):
                found.add(int(target[8:-1]))
    return found


class Traffic:
    """Of one attempt.  ``received``, ``sent``: bytes, never less than before."""

    __slots__ = ('_open', 'received', 'rest_until', 'sent', 'strange')

    def __init__(self) -> None:
        self.received = self.sent = 0
        self.rest_until = 0.0
        self.strange: dict[int, int] = {}  # connections of others -> in how many looks
        self._open: dict[int, tuple[int, int]] = {}

    def told(self, found: Connection, *, last: bool = False) -> None:
        """What the kernel says of a connection of it now; the ``last`` time when it is gone."""
        received, sent = self._open.get(found.name, (0, 0))
        self.received += max(0, found.received - received)
        self.sent += max(0, found.sent - sent)
        if last:
            self._open.pop(found.name, None)
        else:
            self._open[found.name] = max(found.received, received), max(found.sent, sent)


class Connections:
    """Those of this machine, and whose they are.  Where the kernel does not tell, nobody moved anything.

    ``near``: whether those between processes of one machine count as well.  ``spent``: seconds of a processor that this thread
    has used; where others have the processors meanwhile, a look takes longer and costs no more."""

    def __init__(self, *, near: bool = False, clock: Callable[[], float] = time.monotonic,
                 spent: Callable[[], float] = time.thread_time) -> None:
        self._near = near
        self._clock, self._spent = clock, spent
        self._owners: dict[int, Traffic] = {}
        self._keys: dict[int, tuple[int, bytes]] = {}  # of those
        self._rows: list[Connection] = []
        self._fresh_until = 0.0
        self._asking: Any = None
        self._hearing: Any = None
        try:
            self._asking, self._hearing = _netlink(0), _netlink(DESTROYED)
        except (OSError, ImportError):  # not Linux, or not allowed to ask
            self.close()

    def look(self, traffic: Traffic | None, pids: Iterable[int]) -> Traffic:
        """Adds what the connections of these processes have moved to what was known."""
        traffic = traffic or Traffic()
        if self._asking is None:
            return traffic
        if self._clock() >= self._fresh_until:
            self._refresh()
        begin = self._spent()
        new = [row for row in self._rows
               if row.inode and row.name not in self._owners and traffic.strange.get(row.name, 0) < STRANGE_LOOKS]
        if not new or self._clock() < traffic.rest_until:
            return traffic
        held = inodes(pids)
        for row in new:
            if row.inode in held:
                self._owners[row.name], self._keys[row.name] = traffic, row.key
                traffic.told(row)
            else:
                traffic.strange[row.name] = traffic.strange.get(row.name, 0) + 1
        if len(traffic.strange) > 2 * len(self._rows) + 64:
            known = {row.name for row in self._rows}
            traffic.strange = {name: looks for name, looks in traffic.strange.items() if name in known}
        traffic.rest_until = self._clock() + REST_FACTOR * (self._spent() - begin) - FRESH_SECONDS
        return traffic

    def ended(self, traffic: Traffic) -> None:
        """Nothing of it lives any more: what its connections had moved when they were closed is added.

        The other side may still have to say that all came; and of one that is gone the kernel tells a moment later."""
        own = [name for name, owner in self._owners.items() if owner is traffic]
        try:
            gone = {name for name in own[:ASKED_AT_MOST] if not self._still(name)}
        except OSError:
            gone = set()
            self.close()
        until = self._clock() + GOING_SECONDS
        self._hear()
        while not gone.isdisjoint(self._owners) and self._hearing is not None and self._clock() < until:
            time.sleep(GOING_SECONDS / 10)
            self._hear()
        for name in own:
            self._owners.pop(name, None)
            self._keys.pop(name, None)

    def close(self) -> None:
        for one in (self._asking, self._hearing):
            if one is not None:
                one.close()
        self._asking = self._hearing = None

    def _refresh(self) -> None:
        begin = self._spent()
        self._told()
        self._fresh_until = self._clock() + max(FRESH_SECONDS, REST_FACTOR * (self._spent() - begin))

    def _told(self) -> None:
        try:
            self._rows = [row for family in FAMILIES for row in self._dump(family) if self._near or not row.near]
        except OSError:
            self._rows = []
            self.close()
            return
        for row in self._rows:
            if (owner := self._owners.get(row.name)) is not None:
                owner.told(row)
        self._hear()

    def _dump(self, family: int) -> Iterator[Connection]:
        self._ask(family, bytes(48), DUMP)
        while True:
            for kind, body in messages(self._asking.recv(BUFFER_BYTES)):
                if kind == DONE:
                    return
                if kind == ERROR:
                    raise OSError(-int.from_bytes(body[:4], ORDER, signed=True), 'the kernel tells of no connections')
                if (found := connection(body)) is not None:
                    yield found

    def _ask(self, family: int, key: bytes, how: int) -> None:
        asked = bytes((family, IPPROTO_TCP, 1 << INFO - 1, 0)) + STATES.to_bytes(4, ORDER) + key
        head = b''.join(number.to_bytes(size, ORDER)
                        for number, size in ((HEADER + len(asked), 4), (BY_FAMILY, 2), (how, 2), (1, 4), (0, 4)))
        self._asking.send(head + asked)

    def _still(self, name: int) -> bool:
        """Whether one of ours is still there; what it has moved by now is added.  Raises OSError."""
        if self._asking is None:
            return True
        self._ask(*self._keys[name], ONE)
        for kind, body in messages(self._asking.recv(BUFFER_BYTES)):
            found = connection(body) if kind == BY_FAMILY else None
            if found is not None and found.name == name:
                self._owners[name].told(found)
                return True
        return False

    def _hear(self) -> None:
        """Of those that are gone since then; of others than ours, and of more than fit in there, nothing is kept."""
        for _ in range(HEARD_AT_MOST if self._hearing is not None else 0):
            try:
                data = self._hearing.recv(BUFFER_BYTES)
            except OSError as error:
                if error.errno == LOST:
                    continue
                return
            for _, body in messages(data):
                owner = self._owners.get(int.from_bytes(body[44:52], ORDER))
                if owner is not None and (found := connection(body)) is not None:
                    del self._owners[found.name], self._keys[found.name]
                    owner.told(found, last=True)


def _netlink(groups: int) -> Any:
    import _socket  # who starts no process for half a second needs none of it

    found = _socket.socket(AF_NETLINK, _socket.SOCK_RAW | _socket.SOCK_CLOEXEC, SOCK_DIAG)
    try:
        found.bind((0, groups))
        if groups:
            found.setblocking(False)
        else:
            found.settimeout(2.0)
    except OSError:
        found.close()
        raise
    return found
