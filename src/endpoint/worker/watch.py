"""A second thread that looks after a running task: it notices that the parent is gone, sends finished results that wait
behind a slow task, and keeps output files from growing without bound.

It sleeps in poll(), without end while no batch runs, so that an idle worker costs nothing; while batches run it wakes
every TICK_MS.
"""

import os
import select
import signal
import _thread

TICK_MS = 20


def leave_with_children():
    """The parent is gone: ends this process and, where it leads its process group, all that its functions started."""
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(0)


class Watch:
    """`on_tick` is called on the watching thread, every TICK_MS while a batch runs."""

    def __init__(self, protocol_fd, on_tick):
        self._on_tick = on_tick
        self._protocol_fd = protocol_fd
        self._busy = False
        self._asleep = False
        self._worked = False
        self._bell, self._ring = os.pipe()
        os.register_at_fork(after_in_child=self._close_in_copy)
        _thread.start_new_thread(self._run, ())

    def begin_batch(self):
        self._busy = self._worked = True
        if self._asleep:
            self._asleep = False
            os.write(self._ring, b"!")

    def end_batch(self):
        self._busy = False

    def _run(self):
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # signals are the main thread's
        poller = select.poll()
        # No event is asked for: hanging up is reported anyway, by a socket's half-close with POLLRDHUP.
        poller.register(self._protocol_fd, getattr(select, "POLLRDHUP", 0))
        poller.register(self._bell, select.POLLIN)
        hung_up = False
        while True:
            self._asleep = True  # before the question: a batch that begins now either is seen here or rings
            if self._busy or self._worked or hung_up:
                self._asleep = False
            self._worked = False
            for fd, _ in poller.poll(None if self._asleep else TICK_MS):
                if fd == self._bell:
                    os.read(self._bell, 64)
                else:
                    hung_up = True
                    poller.unregister(fd)
            if not self._busy:
                continue  # when the parent is gone, the main thread reads so and leaves
            if hung_up:
                leave_with_children()
            self._on_tick()

    def _close_in_copy(self):
        os.close(self._bell)
        os.close(self._ring)
