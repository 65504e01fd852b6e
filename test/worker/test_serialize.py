"""The SDK's strings: every strategy read and written, packing, and what is said when something cannot be used."""

import base64
import json
import math
import os
import pickle
import sys
import unittest

from support import HERE, module, pack, source_code

serialize = module("serialize")
results = module("results")

try:
    import dill
except ImportError:
    dill = None

# Written by the official SDK 4.15 on CPython 3.11.
SDK_VECTORS = [
    ("00\ngAROLg==\n", None),
    ("00\ngASVBwAAAAAAAABLAUsChpQu\n", (1, 2)),
    ("00\ngAR9lC4=\n", {}),
    ("13\n6\n11\n[1]28\n00\ngASVBQAAAAAAAABLAYWULg==\n", [1]),
]
SDK_CALLS = [
    ("28\n00\ngASVBwAAAAAAAABLAUsChpQu\n12\n00\ngAR9lC4=\n", (1, 2), {}),
    ('9\n11\n[1, 2]18\n11\n{"k": "\\u00e9"}', [1, 2], {"k": "é"}),
]
SDK_FUNCTION = "30\nst\nf:def f(x):\n    return x+1\n"

SOURCE = "def f(x):\n    return x + 1\n"


def pickled(value):
    return base64.b64encode(pickle.dumps(value)).decode()


def wrapped(value):
    """base64 as Python's codec writes it: a newline every 76 characters."""
    return base64.encodebytes(pickle.dumps(value)).decode()


def function_of(buffer):
    return serialize.load_function(pack(buffer).encode(), "test")


def dumped(value, *names):
    return results.dump_result(value, results.Options({"result_serializers": list(names)} if names else {}))


class Packing(unittest.TestCase):
    def test_counts_code_points(self):
        text = "st\nf:def f():\n    return 'é😀'\n"
        packed = serialize.pack([text, "x"])
        self.assertTrue(packed.startswith("%d\n" % len(text)))
        self.assertGreater(
            len(packed.encode("utf-16-le")) // 2, len(packed), "the sample holds a surrogate pair"
        )
        self.assertEqual(serialize.unpack(packed), [text, "x"])

    def test_takes_newlines_and_empty_buffers(self):
        buffers = ["", "\n\n1\n", "11\n[]"]
        self.assertEqual(serialize.unpack(serialize.pack(buffers)), buffers)

    def test_refuses_what_is_not_packed(self):
        for text in ("x", "5", "\n", "3\nab", "-1\nx", "2\nabx", "9999999999999\na", "1.0\na"):
            with self.subTest(text), self.assertRaises(serialize.MalformedPayload):
                serialize.unpack(text)


class Arguments(unittest.TestCase):
    def test_reads_the_vectors_of_the_sdk(self):
        for buffer, value in SDK_VECTORS:
            with self.subTest(buffer):
                self.assertEqual(serialize.load(buffer), value)
        for payload, args, kwargs in SDK_CALLS:
            with self.subTest(payload):
                self.assertEqual(serialize.load_call(payload.encode()), (args, kwargs))

    def test_reads_a_payload_with_characters_outside_the_basic_plane(self):
        payload = pack('11\n["😀é"]', '11\n{"𝔘": 1}').encode()
        self.assertEqual(serialize.load_call(payload), (["😀é"], {"𝔘": 1}))

    def test_takes_base64_with_and_without_line_ends(self):
        value = list(range(200))
        for text in (pickled(value), wrapped(value), wrapped(value).replace("\n", "\r\n")):
            self.assertEqual(serialize.load("00\n" + text), value)

    def test_json_may_have_white_space_round_it(self):
        self.assertEqual(serialize.load("11\n  [1]\n"), [1])

    def test_takes_the_form_that_works_of_several(self):
        self.assertEqual(serialize.load("13\n" + pack("11\n{broken", "00\n" + pickled((1,)))), (1,))
        with self.assertRaisesRegex(serialize.Refusal, "(?s)None of the forms.*11: .*JSON.*77: "):
            serialize.load("13\n" + pack("11\n{broken", "77\nx"))

    def test_a_payload_is_two_buffers(self):
        for payload in (
            b"",
            b"5\n11\n[]",
            b"5\n11\n[]5\n11\n{}5\n11\n{}",
            b"\xff\xfe",
            b"5\n11\n[]6\n11\n{}",
        ):
            with self.subTest(payload), self.assertRaises(serialize.MalformedPayload):
                serialize.load_call(payload)

    def test_refuses_what_it_cannot_read(self):
        with self.assertRaisesRegex(serialize.Refusal, "'99'.*does not know; it knows 00, 01"):
            serialize.load("99\nx")
        with self.assertRaisesRegex(serialize.Refusal, "not JSON"):
            serialize.load("11\n[1, 2")
        with self.assertRaisesRegex(serialize.Refusal, "not base64"):
            serialize.load("00\nabcde")

    @unittest.skipIf(dill, "for a Python without dill")
    def test_says_so_when_only_dill_can_read_it(self):
        data = b"cdill._dill\n_create_type\n."
        with self.assertRaisesRegex(serialize.Refusal, "has no dill.*install dill"):
            serialize.load("00\n" + base64.b64encode(data).decode())


class FunctionCode(unittest.TestCase):
    def test_reads_the_vector_of_the_sdk(self):
        self.assertEqual(serialize.load_function(SDK_FUNCTION.encode(), "test")(1), 2)

    def test_reads_every_way_of_sending_source(self):
        named = base64.encodebytes(("f:" + SOURCE).encode()).decode()
        buffers = [
            "st\nf:" + SOURCE,
            "sd\nf:" + SOURCE,
            "st\n" + named,  # later SDKs put base64 round it
            "sd\n" + named,
            "03\n" + wrapped(("f", SOURCE)),
            "04\n" + wrapped(("f", SOURCE)),
            "10\n04\n:" + wrapped(("f", SOURCE)) + ":01\n:AAAA:sd\n:f:" + SOURCE,
            "12\n" + pack("st\nf:" + SOURCE, "01\nAAAA"),
        ]
        for buffer in buffers:
            with self.subTest(buffer[:12]):
                self.assertEqual(function_of(buffer)(1), 2)

    def test_takes_the_first_form_that_works(self):
        broken = "def f(x:\n"
        self.assertEqual(function_of("12\n" + pack("st\nf:" + broken, "sd\nf:" + SOURCE))(1), 2)
        self.assertEqual(function_of("10\n04\n:" + wrapped(("f", broken)) + ":st\n:f:" + SOURCE)(1), 2)

    def test_a_part_of_source_may_hold_colons(self):
        source = "def f(x):\n    return {1: 'a:b'}[x]\n"
        self.assertEqual(function_of("10\nst\n:f:%s:01\n:AAAA" % source)(1), "a:b")

    def test_reads_a_function_by_reference(self):
        self.assertIs(function_of("02\n" + pickled(math.hypot)), math.hypot)

    def test_takes_indented_source(self):
        self.assertEqual(function_of("st\nf:    def f(x):\n        return x + 1\n")(1), 2)

    def test_takes_decorators_and_helpers(self):
        source = "import functools\ndef g(x):\n    return x\n@functools.lru_cache()\ndef f(x):\n    return g(x) * 2\n"
        self.assertEqual(function_of("st\nf:" + source)(4), 8)

    def test_non_ascii_source(self):
        self.assertEqual(function_of("st\nf:def f():\n    return 'é😀𝔘'\n")(), "é😀𝔘")

    def test_source_is_there_for_inspect(self):
        import inspect

        self.assertIn("return x + 1", inspect.getsource(function_of("st\nf:" + SOURCE)))

    def test_refuses_what_is_no_function(self):
        cases = {
            "is to define|defines f": "st\ng:" + SOURCE,
            "not a function: it is a value of type int": "st\nf:f = 3\n",
            "name:source": "st\n" + base64.b64encode(b"no colon here").decode(),
        }
        for text, buffer in cases.items():
            with self.subTest(text), self.assertRaisesRegex(serialize.Refusal, text):
                function_of(buffer)
        for code in (b"damaged", b"\xff", source_code("f", SOURCE) * 2):
            with self.subTest(code), self.assertRaisesRegex(serialize.Refusal, "Register the function again"):
                serialize.load_function(code, "test")

    @unittest.skipIf(dill, "for a Python without dill")
    def test_names_the_remedy_when_bytecode_needs_dill(self):
        with self.assertRaisesRegex(serialize.Refusal, "without dill.*AllCodeStrategies"):
            function_of("01\n" + pickled(math.hypot))


class Results(unittest.TestCase):
    def test_the_default_is_the_sdk_s(self):
        self.assertEqual(dumped(None), b"00\ngAROLg==\n")
        self.assertEqual(dumped((1, 2)), b"00\ngASVBwAAAAAAAABLAUsChpQu\n")
        self.assertEqual(dumped({}), b"00\ngAR9lC4=\n")

    def test_round_trips_of_every_serialiser_of_data(self):
        value = {"a": [1, 2.5, None, "é😀"]}
        for name in ("DillDataBase64", "JSONData", "AllDataStrategies"):
            with self.subTest(name):
                self.assertEqual(serialize.load(dumped(value, name).decode()), value)

    def test_round_trips_of_every_serialiser_of_code(self):
        function = function_of("st\nf:" + SOURCE)
        names = ["DillCodeTextInspect", "DillCodeSource", "PureSourceTextInspect", "PureSourceDill"]
        for name in names + ["CombinedCode", "AllCodeStrategies"] + (["DillCode"] if dill else []):
            with self.subTest(name):
                self.assertEqual(function_of(dumped(function, name).decode())(1), 2)
        self.assertIs(function_of(dumped(math.hypot, "PickleCode").decode()), math.hypot)

    def test_names_may_be_import_paths(self):
        for path in (
            "globus_compute_sdk.serialize.JSONData",
            "globus_compute_sdk.serialize.concretes.JSONData",
        ):
            self.assertEqual(dumped([1], path), b"11\n[1]")

    def test_the_first_that_works_is_taken(self):
        self.assertEqual(dumped({1, 2}, "JSONData", "DillDataBase64")[:3], b"00\n")
        self.assertEqual(dumped([1], "DillCode", "JSONData")[:3], b"11\n")
        self.assertEqual(dumped(math.nan, "JSONData", "DillDataBase64")[:3], b"00\n")

    def test_a_failure_names_the_type_and_what_was_tried(self):
        with self.assertRaisesRegex(
            serialize.Refusal, "(?s)builtins.generator.*Tried DillDataBase64, DillCode"
        ):
            dumped(i for i in range(3))
        with self.assertRaisesRegex(
            serialize.Refusal, "(?s)builtins.set.*Tried JSONData:.*JSONData: TypeError"
        ):
            dumped({1}, "JSONData")
        with self.assertRaisesRegex(serialize.Refusal, "(?s)Tried Nonsense:.*none of them"):
            dumped(1, "some.where.Nonsense")
        with self.assertRaisesRegex(serialize.Refusal, "(?s)JSONData: ValueError"):
            dumped(math.nan, "JSONData")

    def test_a_result_has_a_limit(self):
        limit = results.MAX_RESULT_BYTES
        self.assertEqual(len(dumped("x" * (limit - 5), "JSONData")), limit)
        with self.assertRaisesRegex(
            serialize.Refusal, r"MaxResultSizeExceeded\(%d, %d\)" % (limit + 1, limit)
        ):
            dumped("x" * (limit - 4), "JSONData")

    @unittest.skipIf(dill, "for a Python without dill")
    def test_a_function_as_result_needs_dill_or_a_name(self):
        self.assertEqual(dumped(math.hypot)[:3], b"02\n")
        with self.assertRaisesRegex(serialize.Refusal, "(?s)a callable.*no dill"):
            dumped(lambda: 1)


@unittest.skipUnless(dill, "needs dill")
class WithDill(unittest.TestCase):
    def test_reads_bytecode_of_its_own_version(self):
        bonus = 5
        samples = [lambda x: x + bonus, function_of("st\nf:" + SOURCE)]
        for sample, answer in zip(samples, (6, 2)):
            buffer = "01\n" + base64.b64encode(dill.dumps(sample, recurse=True)).decode()
            self.assertEqual(function_of(buffer)(1), answer)

    def test_refuses_bytecode_of_another_version(self):
        # def f(x): try: return 1 / x except ZeroDivisionError as e: return str(e), as dill of each version wrote it
        with open(os.path.join(HERE, "dill_code.json"), encoding="utf-8") as file:
            samples = json.load(file)
        mine = "%d.%d" % sys.version_info[:2]
        if mine in samples:
            self.assertEqual(function_of("01\n" + samples[mine])(0), "division by zero")
        for version in samples.keys() - {mine}:
            with self.subTest(version), self.assertRaisesRegex(
                serialize.Refusal, "another minor version.*AllCode"
            ):
                function_of("01\n" + samples[version])

    def test_writes_what_pickle_cannot(self):
        make = function_of("st\nf:def f():\n    class Local:\n        x = 3\n    return Local()\n")
        self.assertEqual(serialize.load(dumped(make()).decode()).x, 3)
        self.assertEqual(dumped(lambda: 1)[:3], b"01\n")


if __name__ == "__main__":
    unittest.main()
