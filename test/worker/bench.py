"""How fast one worker is with tasks that do nothing: `python3 test/worker/bench.py [python]`. Not a test."""

import sys
import time

from support import NO_OP, Worker, json_call, tasks_frame

SECONDS = 2.0


def throughput(worker, function, batch, in_flight):
    """Tasks per second with `in_flight` batches outstanding."""
    payload = json_call()
    frame = tasks_frame(function, [(index, 1, payload) for index in range(batch)])
    sent = answered = 0
    began = time.perf_counter()
    while time.perf_counter() - began < SECONDS or answered < sent:
        if sent - answered < in_flight and time.perf_counter() - began < SECONDS:
            worker.write(frame)
            sent += 1
        else:
            kind, body = worker.read()
            assert kind == b"R"
            answered += body[20]  # a tick may send one batch in two frames
    return answered * batch / (time.perf_counter() - began)


def round_trip(worker, function):
    """(p50, p99) in µs, one task at a time."""
    frame = tasks_frame(function, [(0, 1, json_call())])
    times = []
    for _ in range(5000):
        began = time.perf_counter()
        worker.write(frame)
        worker.read()
        times.append((time.perf_counter() - began) * 1e6)
    times.sort()
    return times[len(times) // 2], times[len(times) * 99 // 100]


def main(python):
    began = time.perf_counter()
    with Worker(python=python) as worker:
        function = worker.define(*NO_OP)
        worker.run(function, [json_call()])
        print("start to first result: %.0f ms" % ((time.perf_counter() - began) * 1e3))
        for batch, in_flight in ((1, 16), (16, 4), (64, 2)):
            best = max(throughput(worker, function, batch, in_flight) for _ in range(3))
            print("batch %d, %d in flight: %d tasks/s" % (batch, in_flight, best))
        print("round trip of one task: p50 %.0f µs, p99 %.0f µs" % round_trip(worker, function))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else sys.executable)
