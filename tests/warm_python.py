"""A new Python process that need not import Keras and its backend: they are there already.

    python -I -S tests/warm_python.py -m zoo list

does what `python -m zoo list` does. A server, which the first call starts, has imported Keras and
the backend, and nothing of ours, and forks for each call; importing them anew takes seven seconds
of a processor. The call hands its streams, folder and environment over, passes signals on, and ends
as the process ends. `tests/conftest.py` says where the server is and ends it; without it, or where
the system has no `pidfd_open`, the call is a plain Python.
"""

import contextlib
import os
import signal
import socket
import sys

PLACE = "KERAS_METRIC_WARM_PYTHON"  # the folder of the servers' sockets, one a backend
PASSED_ON = (signal.SIGTERM, signal.SIGINT)


def main(arguments: list[str]) -> None:
    place = os.environ.get(PLACE, "")
    if not os.path.isdir(place) or not hasattr(os, "pidfd_open"):
        os.execv(sys.executable, [sys.executable, *arguments])
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    server = connected(os.path.join(place, backend))
    given = "\0".join([os.getcwd(), str(len(arguments)), *arguments, *_environment()]).encode()
    for number in PASSED_ON:
        signal.signal(number, lambda number, _: server.sendall(bytes([number])))
    socket.send_fds(server, [len(given).to_bytes(8, "little")], [0, 1, 2])
    server.sendall(given)
    status = server.recv(8)
    if not status:
        sys.exit("The server of tests/warm_python.py has ended.")
    code = os.waitstatus_to_exitcode(int.from_bytes(status, "little"))
    if code < 0:
        signal.signal(-code, signal.SIG_DFL) if -code in PASSED_ON else None
        os.kill(os.getpid(), -code)
    sys.exit(code)


def _environment() -> list[str]:
    return [f"{name}={value}" for name, value in os.environ.items()]


def connected(path: str) -> socket.socket:
    """A connection to the server, which one of the calls starts and the others wait for."""
    import fcntl
    import subprocess

    with open(f"{path}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(path):
            plain = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
            command = [sys.executable, os.path.abspath(__file__), "--serve", path]
            with open(f"{path}.log", "wb") as log, open(os.devnull) as nothing:
                server = subprocess.Popen(
                    command, stdin=nothing, stdout=subprocess.PIPE, stderr=log, env=plain, cwd="/",
                    start_new_session=True,
                )  # fmt: skip
            if server.stdout.readline() != b"ready\n":
                with open(f"{path}.log") as log:
                    sys.exit(log.read())
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    return connection


def serve(path: str) -> dict:
    """Forks for each call until the process that owns the folder is gone; in a fork, the call."""
    import selectors

    import keras  # noqa: F401  and with it its backend

    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(64)
    os.write(1, b"ready\n")
    events = selectors.DefaultSelector()
    events.register(listener, selectors.EVENT_READ, "call")
    children = {}  # connection -> process
    while _owned(path):
        for key, _ in events.select(timeout=1):
            if key.data == "call":
                connection, _ = listener.accept()
                call = _read(connection)
                process = os.fork()
                if not process:
                    events.close()
                    for end in (listener, connection, *children):
                        end.close()
                    return call
                for end in call["streams"]:
                    os.close(end)
                children[connection] = process
                events.register(connection, selectors.EVENT_READ, "signal")
                events.register(os.pidfd_open(process), selectors.EVENT_READ, connection)
            elif key.data == "signal":
                _pass_on(key.fileobj, children.get(key.fileobj), events)
            else:  # a process has ended
                events.unregister(key.fileobj)
                os.close(key.fileobj)
                _, status = os.waitpid(children.pop(key.data), 0)
                with contextlib.suppress(OSError):  # its call may have been killed
                    key.data.sendall(status.to_bytes(8, "little"))
    sys.exit()


def _owned(path: str) -> bool:
    """Whether pytest, whose process number is the last part of the folder's name, still runs."""
    return os.path.exists(path) and os.path.exists(f"/proc/{os.path.dirname(path).split('-')[-1]}")


def _pass_on(connection, process, events) -> None:
    """The signal that the call received; a call that was killed kills the process."""
    try:
        said = connection.recv(1)
    except OSError:
        said = b""
    if process is not None:
        os.kill(process, said[0] if said else signal.SIGKILL)
    if not said:
        events.unregister(connection)
        connection.close()


def _read(connection: socket.socket) -> dict:
    length, streams, _, _ = socket.recv_fds(connection, 8, 3)
    left, parts = int.from_bytes(length, "little"), []
    while left:
        parts.append(connection.recv(left))
        left -= len(parts[-1])
    folder, count, *words = b"".join(parts).decode().split("\0")
    arguments, environment = words[: int(count)], words[int(count) :]
    return {
        "streams": streams,
        "folder": folder,
        "arguments": arguments,
        "environment": dict(word.split("=", 1) for word in environment),
    }


def become(call: dict) -> None:
    """The process is the one that was asked for: its streams, folder, environment and modules."""
    import runpy
    import types

    for number, end in enumerate(call["streams"]):
        os.dup2(end, number)
        os.close(end)
    os.chdir(call["folder"])
    os.environ.clear()
    os.environ.update(call["environment"])
    installed = sys.path[1:]
    named = [place for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place]
    kind, *rest = call["arguments"]
    sys.path[:] = ["" if kind in ("-c", "-m") else os.path.dirname(kind), *named, *installed]
    if kind == "-c":
        sys.argv = ["-c", *rest[1:]]
        sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(rest[0], "<string>", "exec"), vars(sys.modules["__main__"]))
    elif kind == "-m":
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv = [kind, *rest]
        runpy.run_path(kind, run_name="__main__")


if __name__ == "__main__":
    if sys.argv[1] == "--serve":
        become(serve(sys.argv[2]))
    else:
        main(sys.argv[1:])
