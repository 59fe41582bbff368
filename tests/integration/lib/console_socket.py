#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""console_socket.py PATH: an engine's console socket. Takes one terminal and prints what it shows, until it ends."""
import array
import os
import socket
import sys

server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
server.bind(sys.argv[1])
server.listen(1)
connection, _ = server.accept()
data, ancillary, _, _ = connection.recvmsg(4096, socket.CMSG_LEN(64))
if not data:
    sys.exit("console_socket.py: no name came with the terminal")
fds = array.array("i")
for level, kind, payload in ancillary:
    if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
        fds.frombytes(payload[:len(payload) - len(payload) % fds.itemsize])
if len(fds) != 1 or not os.isatty(fds[0]):
    sys.exit("console_socket.py: not one terminal")
while True:
    try:
        shown = os.read(fds[0], 65536)
    except OSError:
        break
    if not shown:
        break
    sys.stdout.buffer.write(shown)
    sys.stdout.flush()
