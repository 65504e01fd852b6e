"""What this worker tells about itself: the hello frame. Cheap: numpy is found, not imported (that costs 100 ms)."""

import json
import os
import re
import sys
from importlib.machinery import PathFinder

PYTHON_VERSION = "%d.%d.%d" % sys.version_info[:3]


def _operating_system():
    """Like platform.platform(), without reading the interpreter's binary for the libc's version."""
    system = os.uname()
    try:
        libc = "-with-" + os.confstr("CS_GNU_LIBC_VERSION").replace(" ", "")
    except (OSError, ValueError, AttributeError):
        libc = ""
    return "%s-%s-%s%s" % (system.sysname, system.release, system.machine, libc)


def _version_of(package):
    """An installed package's version, "unknown" when it does not tell, None when it is not installed."""
    found = PathFinder.find_spec(package)
    if found is None or not found.submodule_search_locations:
        return None
    beside = os.path.dirname(next(iter(found.submodule_search_locations)))
    named = re.compile(re.escape(package) + r"-([^-]+)(-py3\.\d+)?\.(dist|egg)-info$")
    for name in os.listdir(beside) if os.path.isdir(beside) else ():
        match = named.match(name)
        if match:
            return match.group(1)
    from importlib import metadata  # 15 ms, so only for unusual installations

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"


def hello():
    """The hello as JSON bytes."""
    facts = {
        "host": os.uname().nodename,
        "pid": os.getpid(),
        "os": _operating_system(),
        "python_version": PYTHON_VERSION,
        "dill_version": _version_of("dill"),
        "numpy_version": _version_of("numpy"),
        "halts": True,
    }
    return json.dumps(facts).encode()
