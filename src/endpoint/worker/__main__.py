"""Entry of the Python worker: `python3 <this folder> [--state FILE] [--cwd FOLDER]`.

A worker runs user functions, one task at a time, and speaks frames (wire.py) over the stdin and stdout it was
started with. It needs CPython 3.8 or later and its standard library, nothing else; dill and numpy are used when
they are there. This file only makes the folder importable and hands over, so that user code finds nothing of ours
at the top of sys.path and little in `__main__`.
"""

import os
import sys


def _start():
    if sys.version_info < (3, 8):
        sys.stderr.write(
            "pilotwave worker: Python 3.8 or later is needed, this is %s\n" % sys.version.split()[0]
        )
        return 69
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != here]
    package = type(sys)("pilotwave_worker")
    package.__path__ = [here]
    sys.modules[package.__name__] = package
    from pilotwave_worker.loop import main

    return main(sys.argv[1:])


if __name__ == "__main__":
    os._exit(_start())
