"""Python processes that start with TensorFlow and Beam already imported: real processes in a tenth of the time.

    done = forkserver.run([sys.executable, "-m", "trainer.task", "--config", path], capture_output=True, text=True)

`Popen` and `run` behave as those of `subprocess`: the process has its own arguments, directory, environment,
descriptors, session, signals and exit status. A server, one for each pytest process, imports the libraries (not
this project's modules) and forks for each command. The fork's parent ends at once, so that the pytest process, a
subreaper, adopts the fork and can wait for it. A worker of the suite, which imports the libraries for its own tests,
makes the server by a fork of itself.

What an interpreter reads before its first line is the server's: the hash seed, the warning filters, and what the
libraries read from the environment while they are imported. The processes have no GPU. A test that is about those,
or about the imports, uses `subprocess`.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import faulthandler
import fcntl
import io
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).parents[2]
_OWN = {path.parent.name for path in ROOT.glob("*/*.py")}  # this project's packages
_PR_SET_CHILD_SUBREAPER = 36
_MESSAGE_BYTES = 1 << 20
_MOST_DESCRIPTORS = 16


class Popen(subprocess.Popen):
    """A `subprocess.Popen` of Python whose process is forked from the server.

    Raises:
        ValueError: the command does not begin with `sys.executable`, or the call has an option that is not supported.
    """

    def _execute_child(
        self, args, executable, preexec_fn, close_fds, pass_fds, cwd, env, startupinfo, creationflags, shell,
        p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite, restore_signals, gid, gids, uid, umask,
        start_new_session, process_group,
    ) -> None:  # fmt: skip
        if args[0] != sys.executable or executable or preexec_fn or pass_fds or shell or process_group != -1:
            raise ValueError("the fork server runs Python alone, without preexec_fn, pass_fds, shell or process_group")
        pipes = enumerate((p2cread, c2pwrite, errwrite))
        descriptors = {own: own if pipe == -1 else pipe for own, pipe in pipes}
        self.pid = _server().start(_request(args[1:], cwd, env, start_new_session), descriptors)
        self._child_created = True
        self._close_pipe_fds(p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite)  # type: ignore[attr-defined]


def run(
    command: Sequence[Any], *, input: Any = None, timeout: float | None = None, check: bool = False,  # noqa: A002
    capture_output: bool = False, **options: Any,
) -> subprocess.CompletedProcess:  # fmt: skip
    """Return what `subprocess.run` returns for a command of Python."""
    if capture_output:
        options |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    if input is not None:
        options["stdin"] = subprocess.PIPE
    with Popen(command, **options) as process:
        try:
            out, err = process.communicate(input, timeout)
        except BaseException:
            process.kill()
            raise
    done = subprocess.CompletedProcess(command, process.returncode, out, err)
    if check:
        done.check_returncode()
    return done


def spawn(executable: str | bytes, args: Sequence[str], descriptors: Sequence[int]) -> int:
    """Start Python as `multiprocessing.util.spawnv_passfds` does: a test of `spawn` puts this in its place."""
    while args[1] == "-B":  # multiprocessing repeats the flags of the interpreter
        args = [args[0], *args[2:]]
    return _server().start(_request(args[1:]), {number: number for number in (0, 1, 2, *descriptors)})


def _request(args: Sequence[Any], cwd: Any = None, env: Any = None, new_session: bool = False) -> dict[str, Any]:
    return {
        "args": [os.fsdecode(arg) for arg in args],
        "cwd": os.fspath(cwd or Path.cwd()),
        "environment": dict(os.environ if env is None else env),
        "new_session": new_session,
    }


class _Server:
    """The client's end of a server process."""

    def __init__(self) -> None:
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self.lock = threading.Lock()
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            self._launch(theirs)
        atexit.register(self.close)

    def _launch(self, connection: socket.socket) -> None:
        command = [sys.executable, "-m", "tests.support.forkserver", str(connection.fileno())]
        environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}  # a fork cannot use what CUDA set up before it
        descriptors = {"stdin": subprocess.DEVNULL, "pass_fds": [connection.fileno()]}
        self.process = subprocess.Popen(command, cwd=ROOT, env=environment, **descriptors)

    def _wait(self) -> int:
        return self.process.wait()

    def start(self, request: Mapping[str, Any], descriptors: Mapping[int, int]) -> int:
        """Return the process id of a new process; descriptors: its own, and ours that they are."""
        with self.lock:
            data = json.dumps({**request, "descriptors": list(descriptors)}).encode() + b"\n"
            sent = socket.send_fds(self.socket, [data[:_MESSAGE_BYTES]], list(descriptors.values()))
            self.socket.sendall(data[sent:])
            answer = self.socket.recv(32)
        if not answer:
            raise RuntimeError(f"the fork server ended with status {self._wait()}")
        return int(answer)

    def close(self) -> None:
        """End the server."""
        self.socket.close()
        self._wait()


class _Fork(_Server):
    """A server that is a fork of this process."""

    def _launch(self, connection: socket.socket) -> None:
        self.pid = os.fork()
        if self.pid == 0:
            try:
                _leave_parent(connection)
                serve(connection)
            finally:
                os._exit(0)

    def _wait(self) -> int:
        return os.waitpid(self.pid, 0)[1]


_servers: list[_Server] = []


def _server() -> _Server:
    if not _servers:
        _servers.append(_Server())
    return _servers[0]


def fork_here() -> None:
    """Make the server by a fork of this process, which has the libraries and no other thread that uses them."""
    _servers.append(_Fork())


def _leave_parent(connection: socket.socket) -> None:
    """Close what a fork has of its parent: all files but the connection and the standard ones, and pytest's hooks."""
    faulthandler.disable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.meta_path[:] = [finder for finder in sys.meta_path if not type(finder).__module__.startswith("_pytest.")]
    for descriptor in map(int, os.listdir("/proc/self/fd")):
        if descriptor > 2 and descriptor != connection.fileno():
            with contextlib.suppress(OSError):  # the one of the listing
                os.close(descriptor)


def import_libraries(tensorflow_last: bool = False) -> None:
    """Import the libraries of the jobs; no TensorFlow context and no gRPC channel, whose threads no fork would have.

    In a new environment the first import also compiles 5,000 modules, which takes 17 seconds. Two processes that begin
    at different ends share that: each finds compiled what the other has imported.
    """
    from configs.cli import import_tensorflow

    if not tensorflow_last:
        import_tensorflow()
    import apache_beam  # noqa: F401
    import numba  # noqa: F401
    import pandas  # noqa: F401
    import pyarrow.parquet  # noqa: F401
    import scipy.sparse  # noqa: F401

    import_tensorflow()
    import tensorflow_transform.beam  # noqa: F401

    from tests.support import fast_beam

    fast_beam.install()


def serve(connection: socket.socket) -> None:
    """Fork a process for each request until the client's end is closed."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # multiprocessing starts its first process with signals blocked
    while True:
        data, descriptors, _, _ = socket.recv_fds(connection, _MESSAGE_BYTES, _MOST_DESCRIPTORS)
        if not data:
            return
        while not data.endswith(b"\n"):
            data += connection.recv(_MESSAGE_BYTES)
        pid = _fork_twice(json.loads(data), descriptors, connection)
        for descriptor in descriptors:
            os.close(descriptor)
        connection.sendall(str(pid).encode())


def _fork_twice(request: Mapping[str, Any], descriptors: Sequence[int], connection: socket.socket) -> int:
    """Return the id of a process whose parent has ended, so that the nearest subreaper has adopted it."""
    read, write = os.pipe()
    parent = os.fork()
    if parent == 0:
        child = os.fork()
        if child == 0:
            os.close(read)
            os.close(write)
            connection.close()
            _become(request, descriptors)
        os.write(write, str(child).encode())
        os._exit(0)
    os.close(write)
    os.waitpid(parent, 0)
    with os.fdopen(read) as pipe:
        return int(pipe.read())


def _become(request: Mapping[str, Any], descriptors: Sequence[int]) -> NoReturn:
    """Run the command as a new interpreter would, and end the process with its status."""
    status = 1
    try:
        if request["new_session"]:
            os.setsid()
        above = max(*request["descriptors"], *descriptors) + 1  # so that none is overwritten before it is moved
        moved = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, above) for descriptor in descriptors]
        for descriptor in descriptors:
            os.close(descriptor)
        for own, descriptor in zip(request["descriptors"], moved, strict=True):
            os.dup2(descriptor, own)
            os.close(descriptor)
        os.chdir(request["cwd"])
        os.environ.clear()
        os.environ.update(request["environment"])
        _set_up_interpreter()
        status = _status_of(request["args"])
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def _set_up_interpreter() -> None:
    """Take from the environment and the new descriptors what an interpreter takes when it starts."""
    unbuffered = bool(os.environ.get("PYTHONUNBUFFERED"))
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - as long as the process
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        binary = open(descriptor, "wb", 0 if unbuffered else -1, closefd=False)  # noqa: SIM115
        errors = "strict" if name == "stdout" else "backslashreplace"
        lines = name == "stderr" or binary.isatty()
        text = io.TextIOWrapper(binary, "utf-8", errors, line_buffering=lines, write_through=unbuffered)
        setattr(sys, name, text)
        setattr(sys, f"__{name}__", text)
    for name in [name for name in sys.modules if name.partition(".")[0] in _OWN]:
        del sys.modules[name]
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:] = [path for path in (*paths, *sys.path) if path and path != str(ROOT)]
    sys.path.insert(0, os.getcwd())
    tempfile.tempdir = None
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _status_of(args: Sequence[str]) -> int:
    """Return the exit status of `python *args`, where args begin with -m MODULE, -c CODE or a script."""
    try:
        if args[0] == "-m":
            sys.argv = list(args[1:])
            runpy.run_module(args[1], run_name="__main__", alter_sys=True)
        elif args[0] == "-c":
            sys.argv = ["-c", *args[2:]]
            sys.modules["__main__"] = types.ModuleType("__main__")
            exec(compile(args[1], "<string>", "exec"), vars(sys.modules["__main__"]))  # noqa: S102 - python -c
        else:
            sys.argv = list(args)
            sys.path[0] = str(Path(args[0]).resolve().parent)
            runpy.run_path(args[0], run_name="__main__")
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(fileno=int(sys.argv[1])) as client:
        import_libraries()
        serve(client)
