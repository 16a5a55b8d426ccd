"""The work items of test_cluster, in a module of their own because every worker imports it."""

from __future__ import annotations

import os
import signal

import numpy as np

import sedmtl
from sedmtl.runtime.errors import SedmtlError


def kill_once(item, marker):
    """Kill the worker on the first execution."""
    try:
        marker.touch(exist_ok=False)
    except FileExistsError:
        return item * item
    return os.kill(os.getpid(), signal.SIGKILL)


def kill_always(_):
    os.kill(os.getpid(), signal.SIGKILL)


def fail_at_three(item):
    if item == 3:
        raise SedmtlError("item 3 is broken: mend it")
    return item


def square(item):
    return {"square": np.array([item * item]), "pid": np.array([os.getpid()])}


def set_version(version):
    sedmtl.__version__ = version
