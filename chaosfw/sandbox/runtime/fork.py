"""
From an order to a running process: fork, and in the child either run a Python program in place or exec the command.

Called by :mod:`.spawner` in the single-threaded runtime, which has loaded what a small Python server needs, so that a fork answers after
a few milliseconds. The parent's side returns at once.
"""

from __future__ import annotations

import asyncio  # loaded for the forks: importing it is most of a small server's start
import fcntl
import os
import runpy
import signal
import sys
import termios
import traceback
from typing import Final, NoReturn, TextIO

import chaosfw.sandbox.app.server
from chaosfw.sandbox.prctl import die_with_parent
from chaosfw.sandbox.runtime.binding import rewrite_binds
from chaosfw.sandbox.runtime.orders import Order

PRELOADED: Final = (asyncio, chaosfw.sandbox.app.server)

_PYTHONS: Final = frozenset({"python", "python3", sys.executable})
_NOT_FOUND: Final = 127
_BROKEN: Final = 126


def fork(order: Order, *, streams: tuple[int, int, int]) -> int:
    """The pid of the new process, which leads its own session and dies with this one. ``streams`` become its first three descriptors."""
    parent = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    try:
        _become(order, parent=parent, streams=streams)
    except BaseException:
        traceback.print_exc()
    os._exit(_BROKEN)


def _become(order: Order, *, parent: int, streams: tuple[int, int, int]) -> NoReturn:
    os.setsid()
    die_with_parent()
    if os.getppid() != parent:
        os._exit(_BROKEN)  # it died before the line above
    _reset_signals()
    _take_streams(streams)
    os.chdir(order.cwd)
    if _is_python_program(order.argv):
        _run_python(order)
    _exec(order)


def _reset_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _take_streams(streams: tuple[int, int, int]) -> None:
    for target, source in enumerate(streams):
        os.dup2(source, target)
    if os.isatty(0):
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # Ctrl-C on it reaches this session
    os.closerange(3, 4096)  # sockets and pipes of the runtime are not the pod's business
    sys.stdin = open(0, closefd=False)  # noqa: SIM115  # the three live as long as the process
    sys.stdout = _writer(1)
    sys.stderr = _writer(2)


def _writer(fd: int) -> TextIO:
    """Line by line, so that logs can be followed."""
    return open(fd, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)


def _is_python_program(argv: tuple[str, ...]) -> bool:
    """``python -m module …`` and ``python file.py …``; with any other option the real interpreter has to read it."""
    if argv[0] not in _PYTHONS or len(argv) < 2:
        return False
    return (argv[1] == "-m" and len(argv) > 2) or not argv[1].startswith("-")


def _run_python(order: Order) -> NoReturn:
    os.environ.clear()
    os.environ.update(order.env)
    rewrite_binds(order.bind)
    for path in reversed(order.env.get("PYTHONPATH", "").split(os.pathsep)):
        if path and path not in sys.path:
            sys.path.insert(0, path)
    code = 1
    try:
        _run_program(order.argv[1:])
        code = 0
    except SystemExit as stop:
        code = _exit_code(stop)
    except KeyboardInterrupt:
        code = 130
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _run_program(arguments: tuple[str, ...]) -> None:
    if arguments[0] == "-m":
        sys.path.insert(0, os.getcwd())
        sys.argv = list(arguments[1:])
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.path.insert(0, os.path.dirname(os.path.abspath(arguments[0])))
        sys.argv = list(arguments)
        runpy.run_path(arguments[0], run_name="__main__")


def _exit_code(stop: SystemExit) -> int:
    if stop.code is None:
        return 0
    if isinstance(stop.code, int):
        return stop.code & 0xFF
    print(stop.code, file=sys.stderr)
    return 1


def _exec(order: Order) -> NoReturn:
    argv = [sys.executable, *order.argv[1:]] if order.argv[0] in _PYTHONS else list(order.argv)
    try:
        os.execvpe(argv[0], argv, dict(order.env))
    except OSError as error:
        print(f"exec {argv[0]}: {error.strerror}", file=sys.stderr)
        os._exit(_NOT_FOUND if isinstance(error, FileNotFoundError) else _BROKEN)
