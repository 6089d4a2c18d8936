"""Requests to a fork server and its answers: structs of a fixed size on a stream socket.

A request to start carries the ends of two pipes (SCM_RIGHTS), which become the child's standard
input and output.
"""

from __future__ import annotations

import os
import struct

REQUEST = struct.Struct("<ccIi")  # kind, task, number of the child, signal
START = b"+"
SIGNAL = b"!"

REPLY = struct.Struct("<Iii")  # number of the child, process id, exit code (negative: a signal)
RUNS = -1000  # in place of an exit code: the child has started
NOT_STARTED = os.EX_OSERR  # the exit code of a child that could not be started
