"""The operating system's own fence around a process: Linux's Landlock, which compiled code cannot climb either.

Python's audit hooks see what Python opens. A library that opens files by itself (`torch.save`, SQLite) they do not see; Landlock does.
It needs no rights, and cannot be taken off again. Where the system has none, the hooks alone are left.
Source: the kernel's manual, userspace-api/landlock.
"""

import ctypes
import os
import sys
from collections.abc import Sequence

CREATE, ADD_RULE, RESTRICT = 444, 445, 446  # system calls, the same on every machine
BENEATH, NO_NEW_PRIVILEGES, ASK_VERSION = 1, 38, 1
# Write, remove, make, rename across folders (version 2), cut short (version 3); not: run, read, list, ask devices.
WRITING = {1: sum(1 << bit for bit in (1, 4, 5, 6, 7, 8, 9, 10, 11, 12)), 2: 1 << 13, 3: 1 << 14}
FILES_ALONE = (1 << 1) | (1 << 14)  # of these, what may be allowed on a file that is no folder
SIGNALS = 1 << 1  # to processes outside the fence (version 6)


class _Rules(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scope", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32))


def fence(folders: Sequence[str]) -> bool:
    """From now on this thread, and what it starts, writes below `folders` alone and signals no process but its own.

    Returns whether the system could do it. Nothing undoes it while the process lives.
    """
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(ASK_VERSION))
    if version < 1:
        return False
    rights = sum(bits for since, bits in WRITING.items() if since <= version)
    rules = _Rules(rights, 0, SIGNALS if version >= 6 else 0)
    size = 8 if version < 4 else 16 if version < 6 else 24  # older systems know the first fields alone
    ruleset = libc.syscall(CREATE, ctypes.byref(rules), ctypes.c_size_t(size), ctypes.c_uint32(0))
    if ruleset < 0:
        return False
    try:
        for folder in folders:
            place = os.open(folder, os.O_PATH | os.O_CLOEXEC)
            own = rights if os.path.isdir(folder) else rights & FILES_ALONE
            rule = _Beneath(own, place)
            added = libc.syscall(ADD_RULE, ruleset, BENEATH, ctypes.byref(rule), ctypes.c_uint32(0))
            os.close(place)
            if added:
                return False
        private = libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
        return private == 0 and libc.syscall(RESTRICT, ruleset, ctypes.c_uint32(0)) == 0
    finally:
        os.close(ruleset)
