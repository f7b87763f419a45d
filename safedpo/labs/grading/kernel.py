"""The kernel that a student's notebook runs in: IPython's own, with limits set before any of the student's code.

Python's audit hooks, which code cannot take off again, refuse connections, new processes and writing outside the working
folder; the operating system limits memory and the size of files; a cell that prints without end is stopped.

    python -m safedpo.labs.grading.kernel -f CONNECTION_FILE
"""

import ipaddress
import os
import resource
import sys
import tempfile
from pathlib import Path

MEMORY_VARIABLE = "SAFEDPO_GRADE_GB"
PRINTED = 1_000_000  # characters that one cell may print
DISPLAYED = 2_000  # figures, tables and updates of progress lines that it may show
FILE_BYTES = 100_000_000
PROCESSES = ("subprocess.Popen", "os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class NotAllowed(PermissionError):
    """What the student's code tried is not allowed while it is graded."""


def _guard(event: str, arguments: tuple) -> None:
    if event == "socket.connect" and not _is_local(arguments[1]):
        raise NotAllowed("no network while a notebook is graded")
    if event in PROCESSES:
        raise NotAllowed("no other programs while a notebook is graded")
    if event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING:
        _refuse_outside(arguments[0])
    if event in ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "shutil.rmtree"):
        _refuse_outside(arguments[0])


def _is_local(address: object) -> bool:
    if not isinstance(address, tuple):  # a socket of this machine, with a path for its address
        return True
    try:
        return ipaddress.ip_address(str(address[0])).is_loopback
    except ValueError:
        return address[0] == "localhost"


def _refuse_outside(path: object) -> None:
    if not isinstance(path, str | bytes | os.PathLike):
        return  # a file that is open already
    place = os.path.realpath(os.fsdecode(path))
    if not any(place == home or place.startswith(home + os.sep) for home in _ALLOWED):
        raise NotAllowed(f"{place} is outside the folder of the notebook; write beside it")


def _limit() -> None:
    gigabytes = float(os.environ.get(MEMORY_VARIABLE, "4"))
    resource.setrlimit(resource.RLIMIT_DATA, (int(gigabytes * 1e9),) * 2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _limit_output() -> None:
    """Each cell may print so much and no more; the error ends the cell, as the student would want."""
    from ipykernel.iostream import OutStream
    from IPython.core.getipython import get_ipython

    printed = {"characters": 0, "displays": 0}
    write = OutStream.write

    def counted(self: OutStream, string: str) -> int | None:
        printed["characters"] += len(string)
        if printed["characters"] > PRINTED:
            raise NotAllowed(f"a cell printed more than {PRINTED:,} characters and was stopped")
        return write(self, string)

    OutStream.write = counted  # type: ignore[method-assign]  # the kernel offers no other way to count
    OutStream.close = lambda self: None  # type: ignore[method-assign]  # a closed stream would end the kernel
    streams = sys.stdout, sys.stderr

    def anew(*_: object) -> None:
        printed.update(characters=0, displays=0)
        sys.stdout, sys.stderr = streams  # a cell may have put something else there

    shell = get_ipython()
    if shell is not None:
        publish = shell.display_pub.publish

        def counted_display(data: dict, *arguments: object, **named: object) -> None:
            printed["displays"] += 1
            if printed["displays"] > DISPLAYED:
                raise NotAllowed(f"a cell displayed more than {DISPLAYED:,} things and was stopped")
            publish(data, *arguments, **named)

        shell.display_pub.publish = counted_display
        shell.events.register("pre_run_cell", anew)
        shell.events.register("post_run_cell", anew)


def _stay() -> None:
    raise NotAllowed("exit() ends a notebook's kernel; while it is graded the kernel stays")


# Writing is allowed in the working folder, in the folder for temporary files, and to devices such as /dev/null.
_ALLOWED = tuple(os.path.realpath(place) for place in (Path.cwd(), tempfile.gettempdir(), "/dev"))


def main() -> None:
    """Start the kernel under its limits."""
    from ipykernel.kernelapp import IPKernelApp

    import safedpo.labs.grading.judge  # noqa: F401  (before the student's code, which may put others in its place)

    _limit()
    application = IPKernelApp.instance()
    application.initialize(sys.argv[1:])
    _limit_output()
    assert application.shell is not None
    application.shell.ask_exit = _stay  # exit() in a cell would take the answers of the others with it
    sys.addaudithook(_guard)
    application.start()


if __name__ == "__main__":
    main()
