"""Makes test/fixtures/protocol/*.json: frames, batches and slabs as bytes, with what they mean. Both sides' tests read
them: test_wire.py here, test/unit/protocol/golden.test.ts there. `python3 test/worker/golden.py` writes them anew.
"""

import json
import os

from support import CHUNK, FIXTURES, encode_batch, frame, json_call, module, pack, tasks_frame

wire = module("wire")

FUNCTION = bytes.fromhex("f0e1d2c3b4a5469788796a5b4c3d2e1f")
OUTCOMES = ("success", "user_failure", "system_failure")

BATCHES = {
    "nothing": [],
    "one call of JSON": [(0, 1, json_call())],
    "text of every width": [(0, 1, pack('11\n["aé€😀"]', '11\n{"k": "\\u00e9"}').encode())],
    "last index, last attempt, empty payload, binary payload": [(127, 65535, b""), (3, 2, bytes(range(256)))],
    "a full chunk": [(index, 1, b"%d" % index) for index in range(100)],
}

SLABS = {
    "nothing": [],
    "a success": [(0, 0, 1, b"11\n3", b"", b"", 1700000000.25, 0.5)],
    "output on both streams": [
        (5, 0, 2, b"00\ngAROLg==\n", "é\n".encode(), b"warning\n", 1700000000.125, 0.0001220703125)
    ],
    "each outcome": [
        (1, 0, 1, b"11\nnull", b"", b"", 1.5, 0.0),
        (2, 1, 65535, b"ZeroDivisionError: division by zero\n", b"before\n", b"", 2.5, 3600.0),
        (127, 2, 1, b'{"code": "malformed_payload", "message": "m"}', b"", b"late\n", 3.5, 0.001),
    ],
}


def batches():
    return [
        {
            "name": name,
            "hex": encode_batch(entries).hex(),
            "entries": [{"index": i, "attempt": a, "payload": payload.hex()} for i, a, payload in entries],
        }
        for name, entries in BATCHES.items()
    ]


def _slab(results):
    return b"".join(wire.encode_slab(results))


def slabs():
    return [
        {
            "name": name,
            "hex": _slab(results).hex(),
            "entries": [
                {
                    "index": index,
                    "outcome": OUTCOMES[outcome],
                    "attempt": attempt,
                    "started_s": started,
                    "duration_s": duration,
                    "data": data.hex(),
                    "stdout": stdout.hex(),
                    "stderr": stderr.hex(),
                }
                for index, outcome, attempt, data, stdout, stderr, started, duration in results
            ],
        }
        for name, results in SLABS.items()
    ]


def frames():
    """Each with its parts; ids are hex, too."""
    code = pack("st\nf:def f():\n    return '😀'\n").encode()
    options = b'{"max_attempts":3}'
    entries = BATCHES["one call of JSON"]
    results = SLABS["each outcome"]
    return {
        "F": {"hex": frame(b"F", FUNCTION + code).hex(), "function_id": FUNCTION.hex(), "code": code.hex()},
        "T": {
            "hex": tasks_frame(FUNCTION, entries, CHUNK, 4294967295, options).hex(),
            "chunk": CHUNK.hex(),
            "epoch": 4294967295,
            "function_id": FUNCTION.hex(),
            "options": options.decode(),
            "batch": encode_batch(entries).hex(),
        },
        "X": {"hex": frame(b"X").hex()},
        "H": {"hex": wire.hello_frame(b'{"host":"h"}').hex(), "facts": {"host": "h"}},
        "R": {
            "hex": wire.results_frame(CHUNK, 7, True, results).hex(),
            "chunk": CHUNK.hex(),
            "epoch": 7,
            "last": True,
            "slab": _slab(results).hex(),
        },
        "N": {
            "hex": wire.unknown_frame(FUNCTION, CHUNK, 7).hex(),
            "function_id": FUNCTION.hex(),
            "chunk": CHUNK.hex(),
            "epoch": 7,
        },
    }


FILES = {"batches.json": batches, "slabs.json": slabs, "frames.json": frames}

if __name__ == "__main__":
    os.makedirs(FIXTURES, exist_ok=True)
    for name, make in FILES.items():
        with open(os.path.join(FIXTURES, name), "w", encoding="utf-8") as file:
            json.dump(make(), file, indent=2, ensure_ascii=False)
            file.write("\n")
