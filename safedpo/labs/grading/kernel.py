"""The kernel that a student's notebook runs in: IPython's own, with limits set before any of the student's code.

Python's audit hooks, which code cannot take off again, refuse connections, new processes, signals, writing outside the
working folder and reading solutions; where the system has Landlock, it refuses the writing of compiled code too. The
operating system limits memory and the size of files; a cell that prints without end is stopped. Answers are judged by a
request of its own, no cell, after the checkers were put back to what they were before the student's code.

    python -m safedpo.labs.grading.kernel -f CONNECTION_FILE
"""

import ipaddress
import json
import os
import resource
import sys
import tempfile
from pathlib import Path

JUDGE = "# judge: "  # begins a request to judge; the rest is JSON, the place for the verdicts among it
MEMORY_VARIABLE = "SAFEDPO_GRADE_GB"
PRINTED = 1_000_000  # characters that one cell may print
DISPLAYED = 2_000  # figures, tables and updates of progress lines that it may show
FILE_BYTES = 100_000_000
PROCESSES = ("subprocess.Popen", "os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn")
# What changes the files at these places among its arguments.
CHANGING = {
    "os.remove": (0,), "os.rename": (0, 1), "os.rmdir": (0,), "os.mkdir": (0,), "shutil.rmtree": (0,), "os.link": (0, 1),
    "os.symlink": (1,), "os.truncate": (0,), "os.chmod": (0,), "os.chown": (0,), "os.utime": (0,), "os.setxattr": (0,),
    "sqlite3.connect": (0,),
}  # fmt: skip
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class NotAllowed(PermissionError):
    """What the student's code tried is not allowed while it is graded."""


def _guard(event: str, arguments: tuple) -> None:
    if event == "socket.connect" and not _is_local(arguments[1]):
        raise NotAllowed("no network while a notebook is graded")
    if event in PROCESSES:
        raise NotAllowed("no other programs while a notebook is graded")
    if event in ("os.kill", "os.killpg", "signal.pthread_kill"):
        raise NotAllowed("no signals while a notebook is graded")
    if event == "open" and isinstance(arguments[2], int):
        if arguments[2] & WRITING:
            _refuse_outside(arguments[0])
        else:
            _refuse_solutions(arguments[0])
    for number in CHANGING.get(event, ()):
        _refuse_outside(arguments[number])


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


def _refuse_solutions(path: object) -> None:
    if isinstance(path, str | bytes | os.PathLike):
        place = os.path.abspath(os.fsdecode(path))
        if place.startswith(_SOLUTIONS) and not place.startswith(_OPEN):
            raise NotAllowed("solutions and checkers are not read while a notebook is graded")


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


def _take_requests(application) -> None:
    """Let the kernel answer requests to judge itself, so that nothing that a student changed stands between."""
    from safedpo.labs.grading.judge import judge
    from safedpo.labs.grading.pristine import keep
    from safedpo.labs.predictions import committed

    kernel, shell, back = application.kernel, application.shell, keep()
    ordinary, dump, write = kernel.do_execute, json.dumps, Path.write_text

    async def execute(code: str, *arguments, **named) -> dict:
        if not code.startswith(JUDGE):
            return await ordinary(code, *arguments, **named)
        reply: dict = {"status": "ok", "execution_count": 0, "payload": [], "user_expressions": {}}
        try:
            asked, changed = json.loads(code.removeprefix(JUDGE)), back()
            verdicts = judge(shell.user_ns, asked["asked"], seed=asked["seed"])
            if during := back():  # while it was judged: then nothing of it can be believed
                message = f"the answer changes {during[0]} while it is judged; compute the values"
                verdicts = [verdict | {"points": 0, "message": message} for verdict in verdicts]
            told = verdicts if asked["asked"] else committed()
            write(Path(asked["file"]), dump({"told": told, "changed": changed}), encoding="utf-8")
        except BaseException as error:  # an interrupt among them: the answer does not return
            reply.update(status="error", ename=type(error).__name__, evalue=str(error), traceback=[])
        return reply

    kernel.do_execute = execute


# Solutions and the checkers' own computations, which are loaded before the student's code; student notebooks may be read.
_LABS = Path(__file__).resolve().parents[1]
_BOOKS = tuple(str(_LABS.parents[back] / name) + os.sep for back, name in ((0, "_notebooks"), (1, "notebooks")))
_SOLUTIONS = (*_BOOKS, *(str(_LABS / name) + os.sep for name in ("checks", "exercises")))
_OPEN = tuple(f"{books}{name}{os.sep}" for books in _BOOKS for name in ("student", "pictures", "languages"))

# Writing is allowed in the working folder, in the folder for temporary files, and to devices such as /dev/null.
_ALLOWED = tuple(os.path.realpath(place) for place in (Path.cwd(), tempfile.gettempdir(), "/dev"))


def main() -> None:
    """Start the kernel under its limits."""
    from ipykernel.kernelapp import IPKernelApp

    from safedpo.labs.grading.fence import fence

    _limit()
    application = IPKernelApp.instance()
    application.initialize(sys.argv[1:])
    _limit_output()
    assert application.shell is not None
    application.shell.ask_exit = _stay  # exit() in a cell would take the answers of the others with it
    _take_requests(application)
    fence(_ALLOWED)
    sys.addaudithook(_guard)
    application.start()


if __name__ == "__main__":
    main()
