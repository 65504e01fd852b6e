"""Frames, batches and slabs, against the golden ones and against damage."""

import io
import json
import os
import random
import unittest

import golden
from support import CHUNK, FIXTURES, decode_slab, encode_batch, frame, function_id, module, tasks_frame

wire = module("wire")


class Golden(unittest.TestCase):
    def test_the_files_are_what_we_write(self):
        for name, make in golden.FILES.items():
            with self.subTest(name), open(os.path.join(FIXTURES, name), encoding="utf-8") as file:
                self.assertEqual(json.load(file), make())

    def test_batches_mean_what_the_files_say(self):
        for batch in golden.batches():
            with self.subTest(batch["name"]):
                entries = wire.decode_batch(memoryview(bytes.fromhex(batch["hex"])))
                told = [{"index": i, "attempt": a, "payload": bytes(p).hex()} for i, a, p in entries]
                self.assertEqual(told, batch["entries"])

    def test_frames_from_the_parent_are_read(self):
        frames = golden.frames()
        stream = io.BytesIO(b"".join(bytes.fromhex(frames[kind]["hex"]) for kind in "FTX"))
        kind, body = wire.read_frame(stream)
        identifier, code = wire.function_body(body)
        self.assertEqual(
            (kind, identifier.hex(), code.hex()), (b"F", frames["F"]["function_id"], frames["F"]["code"])
        )
        kind, body = wire.read_frame(stream)
        chunk, epoch, identifier, options, entries = wire.tasks_body(body)
        told = frames["T"]
        self.assertEqual((kind, chunk.hex(), epoch), (b"T", told["chunk"], told["epoch"]))
        self.assertEqual((identifier.hex(), options.decode()), (told["function_id"], told["options"]))
        self.assertEqual(encode_batch([(i, a, bytes(p)) for i, a, p in entries]).hex(), told["batch"])
        self.assertEqual(wire.read_frame(stream), (b"X", b""))
        self.assertIsNone(wire.read_frame(stream))


class RoundTrips(unittest.TestCase):
    def test_batches_and_slabs_of_any_kind(self):
        chance = random.Random(20240607)
        for _ in range(200):
            count = chance.randrange(101)
            entries = [
                (chance.randrange(128), chance.randrange(65536), os.urandom(chance.randrange(50)))
                for _ in range(count)
            ]
            decoded = wire.decode_batch(memoryview(encode_batch(entries)))
            self.assertEqual([(i, a, bytes(p)) for i, a, p in decoded], entries)
            results = [(i, i % 3, a, p, p[:5], p[5:9], float(a), a / 7) for i, a, p in entries]
            keys = ("index", "outcome", "attempt", "data", "stdout", "stderr", "started", "duration")
            slab = b"".join(wire.encode_slab(results))
            self.assertEqual([tuple(result[key] for key in keys) for result in decode_slab(slab)], results)


class Damage(unittest.TestCase):
    def test_a_batch_must_be_as_long_as_it_says(self):
        batch = encode_batch([(0, 1, b"abc"), (1, 1, b"d")])
        for length in range(len(batch)):
            with self.subTest(length), self.assertRaises(wire.MalformedFrame):
                wire.decode_batch(memoryview(batch)[:length])
        with self.assertRaises(wire.MalformedFrame):
            wire.decode_batch(memoryview(batch + b"x"))

    def test_frames_too_short_for_their_heads(self):
        body = tasks_frame(function_id(1), [(0, 1, b"abc")])[5:]
        for length in range(len(body)):
            with self.subTest(length), self.assertRaises(wire.MalformedFrame):
                wire.tasks_body(body[:length])
        with self.assertRaises(wire.MalformedFrame):
            wire.function_body(b"short")

    def test_a_frame_has_a_type_and_a_believable_length(self):
        for head in (b"\0\0\0\0", b"\xff\xff\xff\xff"):
            with self.assertRaises(wire.MalformedFrame):
                wire.read_frame(io.BytesIO(head + b"T" * 10))

    def test_the_end_of_the_stream_is_no_damage_even_in_mid_frame(self):
        whole = frame(b"F", CHUNK + b"code")
        for length in range(len(whole)):
            self.assertIsNone(wire.read_frame(io.BytesIO(whole[:length])))


if __name__ == "__main__":
    unittest.main()
