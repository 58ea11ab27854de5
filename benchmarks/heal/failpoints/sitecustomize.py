"""
Failpoints: every durable write, request and reply of a run's processes counted, and one of them at which somebody dies.

Python imports this module by itself in every process that has this folder on PYTHONPATH: the code under test knows nothing of it.
Without the variables below it does nothing. Standard library only, because it runs before everything else.

``CHAOSFW_POINTS`` names a file that gets a line for each point: ``role point number``.
``CHAOSFW_FAILPOINT`` is ``role/point/number/whom``: at that point ``whom`` gets SIGKILL (``self`` or ``runner``), or, for ``full``, the
disk is full from there on.
"""

import errno
import importlib.abc
import importlib.util
import os
import signal
import sys
import threading

RUNNER = "CHAOSFW_POINTS_RUNNER"
MARK = "CHAOSFW_EXECUTOR"
MAINS = {
    "chaosfw.processes.watchdog": "watchdog",
    "chaosfw.processes.nursery": "nursery",
    "chaosfw.processes.executor": "executor",
    "chaosfw": "healer",
    "pytest": "runner",
}

_counts = {}
_guard = threading.Lock()
_full = False


def main_role():
    words = sys.orig_argv
    return MAINS.get(words[words.index("-m") + 1], "") if "-m" in words[:-1] else ""


def role():
    """Of this process now: an executor is told by the token in its environment, because it may have been forked."""
    if MAIN in ("nursery", "executor"):
        name = os.environ.get(MARK, "").partition("-")[0]
        return f"{name} of {os.environ.get('CHAOSFW_POINTS_PARENT', 'runner')}"
    return MAIN


def passed(point):
    """One point; does not come back where this is the one to die at."""
    global _full
    who = role()
    wrap_late()
    with _guard:
        _counts[point] = number = _counts.get(point, 0) + 1
    write(f"{who}/{point}/{number}")
    if (who, point, number) != WANTED[:3] or not first():
        return
    write(f"hit {who}/{point}/{number}")
    if WANTED[3] == "full":
        _full = True
        return
    os.kill(int(os.environ[RUNNER]) if WANTED[3] == "runner" else os.getpid(), signal.SIGKILL)


def wrap_late():
    """Modules that another import hook loaded before ours was asked: pytest rewrites those of its plugins."""
    for name in [one for one in WRAPS if one in sys.modules]:
        WRAPS.pop(name)(sys.modules[name])


def first():
    """Once only: whoever is started in place of the dead must not die there too."""
    try:
        os.close(os.open(f"{LOG}.hit", os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        return False
    return True


def write(line):
    if LOG:
        descriptor = os.open(LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(descriptor, line.encode() + b"\n")
        os.close(descriptor)


def fsync(descriptor):
    passed("before fsync")
    if _full:
        raise OSError(errno.ENOSPC, "No space left on device (made up)")
    real_fsync(descriptor)
    passed("after fsync")


def wrap_urllib3(module):
    real = module.HTTPConnectionPool.urlopen

    def urlopen(self, method, url, *rest, **named):
        if url.partition("?")[2].find("watch=true") >= 0:
            return real(self, method, url, *rest, **named)  # a stream, not a request with a reply
        passed(f"before {method}")
        answer = real(self, method, url, *rest, **named)
        passed(f"after {method}")
        return answer

    module.HTTPConnectionPool.urlopen = urlopen


def wrap_child(module):
    submit = module.ExecutorChild.submit

    def submitted(self, call, then):
        def answered(answer):
            passed(f"answer to {name}")
            then(answer)

        name = getattr(call, "verb", "") or ("probe" if call.probe else "action")
        if name in ("see", "probe"):  # asked by the clock, all the time
            return submit(self, call, then)
        passed(f"call of {name}")
        return submit(self, call, answered)

    module.ExecutorChild.submit = submitted


class Hook(importlib.abc.MetaPathFinder):
    """Wraps a module right after it was imported."""

    def find_spec(self, name, path=None, target=None):
        wrap = WRAPS.pop(name, None)
        if wrap is None:
            return None
        spec = importlib.util.find_spec(name)
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            wrap(module)

        spec.loader.exec_module = exec_module
        return spec


WRAPS = {"urllib3.connectionpool": wrap_urllib3, "chaosfw.executor.child": wrap_child}
LOG = os.environ.get("CHAOSFW_POINTS", "")
WANTED = os.environ.get("CHAOSFW_FAILPOINT", "").split("/")
WANTED = (*WANTED[:2], int(WANTED[2]), WANTED[3]) if len(WANTED) == 4 else ("", "", 0, "")
MAIN = main_role() if LOG else ""
if MAIN == "runner":
    os.environ[RUNNER] = str(os.getpid())
if MAIN in ("watchdog", "healer"):
    os.environ["CHAOSFW_POINTS_PARENT"] = MAIN
if MAIN:
    real_fsync, os.fsync = os.fsync, fsync
    sys.meta_path.insert(0, Hook())
