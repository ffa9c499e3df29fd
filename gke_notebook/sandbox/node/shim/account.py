"""Shows a pod's service account at the path where clients look for it; loaded only where the pod mounts it.

Commands, arguments and variables that name the path were rewritten before the pod was started. Clients have it built
in, as `kubernetes.config.load_incluster_config()` does.
"""

# mypy: ignore-errors
# Functions are put in place of others by name here: their types say nothing.
from __future__ import annotations

import builtins
import functools
import io
import os

PATH = "/var/run/secrets/kubernetes.io/serviceaccount"


def moved(path, directory):
    """Give where a path lies on this machine; anything else is given back as it is.

    Args:
        path: what a program asked for: text, bytes, a path object, a file descriptor.
        directory: where the volume lies.
    """
    if not isinstance(path, (str, os.PathLike)):
        return path
    text = os.fspath(path)
    if isinstance(text, str) and (text == PATH or text.startswith(PATH + "/")):
        return directory + text[len(PATH) :]
    return path


def install(directory):
    """Have Python's ways to open, look at and list files find the volume.

    Args:
        directory: where it lies.
    """
    builtins.open = io.open = _first(io.open, directory)
    for name in ("open", "stat", "lstat", "access", "listdir", "scandir", "readlink", "listxattr", "getxattr"):
        real = getattr(os, name, None)
        if real is None:  # the last two are Linux's
            continue
        changed = _first(real, directory)
        for known in (os.supports_dir_fd, os.supports_effective_ids, os.supports_fd, os.supports_follow_symlinks):
            if real in known:  # shutil asks whether a function is among them
                known.add(changed)
        setattr(os, name, changed)


def patch_ssl(module, directory):
    """Have TLS contexts find the authority: OpenSSL reads the file by itself.

    Args:
        module: the `ssl` module.
        directory: where the volume lies.
    """
    real = module.SSLContext.load_verify_locations

    @functools.wraps(real)
    def load_verify_locations(self, cafile=None, capath=None, cadata=None):
        return real(self, moved(cafile, directory), moved(capath, directory), cadata)

    module.SSLContext.load_verify_locations = load_verify_locations


def _first(real, directory):
    @functools.wraps(real)
    def changed(*arguments, **more):
        if arguments:
            return real(moved(arguments[0], directory), *arguments[1:], **more)
        return real(
            **{name: moved(value, directory) if name in ("file", "path") else value for name, value in more.items()}
        )

    return changed
