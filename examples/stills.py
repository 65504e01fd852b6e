"""Serial crystallography in one function: is there diffraction on this detector frame, and how good is it?

`analyse_frame` carries all it needs inside itself, so it can be registered as plain source on any endpoint.
It needs Python 3.8 or later and nothing else; numpy makes it faster and changes no number; HDF5 needs h5py.
`mark_preview` draws the spots that were found; it leans on `analyse_frame`: register the whole file for it.
"""


def analyse_frame(path, preview_dir=None, analysis=None, frame=0, use_numpy=True):
    """Find the Bragg spots of one frame and say what they tell.

    Reads miniCBF (byte offset), TIFF, EDF, SMV, NumPy .npz and HDF5, also inside gzip or bzip2; `frame` picks
    one of a file that holds several. Answers a dict that JSON can carry: `spots` is how many were found,
    `strongest` up to 50 of them as [x, y, intensity]: pixels (the centre of the first is 0, 0) and counts
    above the background. mean, median and max are of the good pixels, masked and saturated count the rest;
    `ring_pixels` stand out in lines, as powder rings do. Spacings (d) and the wavelength are in angstrom.

    With `preview_dir` it also draws a PNG with the spots marked, named in `preview`. With `analysis` as well
    (an earlier answer) it only draws, and answers {"preview": path}.

    Raises ValueError, saying what is wrong, for a file that is no frame, is damaged or changes while read.
    """
    import base64
    import bz2
    import errno
    import gzip
    import hashlib
    import math
    import os
    import re
    import stat
    import struct
    import sys
    import time
    import zlib
    from array import array
    from bisect import bisect_left, bisect_right
    from collections import Counter
    from io import BytesIO
    from itertools import accumulate, chain
    from operator import mul

    numpy = None
    if use_numpy:
        try:
            import numpy
        except ImportError:
            pass

    limit = 512 << 20  # bytes of one frame, packed or not
    tile = 32  # pixels over which the background is taken as even
    smallest, largest, longest = 3, 1000, 40  # pixels of a spot: how many, and how far
    started, unpacked = time.monotonic(), False
    name = os.path.basename(path)

    def broken(why):
        return ValueError("%s: %s" % (name, why))

    # ---- the file: its bytes, all of one version ----

    def version(when):
        """What tells one version of the file from another."""
        try:
            facts = os.stat(path)
        except OSError as problem:
            if problem.errno == errno.ENOENT:
                raise broken("the file is gone: it was moved or removed %s it was read" % when) from None
            raise broken("the file cannot be read: %s" % problem.strerror) from None
        if not stat.S_ISREG(facts.st_mode):
            raise broken("this is a folder or a device, not a file")
        return facts.st_ino, facts.st_size, facts.st_mtime_ns

    def read_bytes():
        try:
            with open(path, "rb") as opened:
                return opened.read(limit + 1)
        except OSError as problem:
            raise broken("the file cannot be read: %s" % problem.strerror) from None

    def unpack(data):
        """The bytes inside gzip or bzip2, never more than the limit."""
        if data[:2] == b"\x1f\x8b":
            packed = gzip.GzipFile(fileobj=BytesIO(data))
        elif data[:3] == b"BZh":
            packed = bz2.BZ2File(BytesIO(data))
        else:
            return data
        try:
            inside = packed.read(limit + 1)
        except EOFError:
            raise broken("truncated: its compressed data end too early") from None
        except (OSError, zlib.error) as problem:
            raise broken("damaged: its compressed data cannot be read (%s)" % problem) from None
        if len(inside) > limit:
            raise broken("too large: more than %d MiB when unpacked" % (limit >> 20))
        return inside

    # ---- the formats: each answers (format, width, height, pixels, facts of the experiment) ----
    # Pixels are an array of 32-bit whole numbers, row by row; below 0 is masked.

    def check_size(width, height):
        if width < 8 or height < 8 or width * height * 4 > limit:
            raise broken("damaged, or no frame: its header says %d x %d pixels" % (width, height))

    def whole_numbers(raw, code, big_endian, width, height):
        """Raw numbers, of a type code of `array`, as pixels."""
        check_size(width, height)
        values = array(code)
        need = width * height * values.itemsize
        if len(raw) < need:
            raise broken("truncated: %d of %d bytes of image data" % (len(raw), need))
        values.frombytes(bytes(raw[:need]))
        if big_endian != (sys.byteorder == "big"):
            values.byteswap()
        top = 2**31 - 1
        if code in "fd":
            return array("i", [-1 if not -0.5 < v < math.inf else min(round(v), top) for v in values])
        if code == "I":
            return array("i", [v if v <= top else -1 for v in values])
        return values if code == "i" else array("i", values)

    def to_number(text, factor=1):
        try:
            return float(text) * factor
        except (TypeError, ValueError):
            return None

    def pilatus_facts(text):
        """What a PILATUS header, in a miniCBF or a TIFF, says of the experiment."""

        def look(pattern, factor=1):
            found = re.search(pattern.replace("#", r"([-+\d.eE]+)"), text)
            return to_number(found.group(1), factor) if found else None

        return {
            "wavelength": look(r"Wavelength\s+#"),
            "distance": look(r"Detector_distance\s+#", 1000),
            "pixel": look(r"Pixel_size\s+#", 1000),
            "beam_x": look(r"Beam_xy\s*\(\s*#"),
            "beam_y": look(r"Beam_xy\s*\([^,]*,\s*#"),
            "swing": look(r"Detector_2theta\s+#"),
            "cutoff": look(r"Count_cutoff\s+#"),
        }

    def read_cbf(data):
        start = data.find(b"\x0c\x1a\x04\xd5")
        if start < 0:
            raise broken("truncated: it ends inside its header")
        header = data[:start].decode("latin-1")

        def field(pattern):
            found = re.search(pattern + r"[:=]\s*\"?([^\s\";]+)", header)
            return found.group(1) if found else ""

        if field("conversions").lower() != "x-cbf_byte_offset":
            raise broken("its compression, %s, is not byte offset" % (field("conversions") or "none"))
        sizes = [field(key) for key in ("Size-Fastest-Dimension", "Size-Second-Dimension", "X-Binary-Size")]
        if not all(text.isdigit() for text in sizes):
            raise broken("damaged: its header does not give the size of the image")
        width, height, size = map(int, sizes)
        check_size(width, height)
        body = data[start + 4 : start + 4 + size]
        if len(body) < size:
            raise broken("truncated: %d of %d bytes of image data" % (len(body), size))
        digest = field("Content-MD5")
        if len(digest) == 24 and digest != md5_of(body, digest):
            raise broken("damaged: the image data do not match their checksum")
        if size > 15 * width * height:
            raise broken("damaged: too many bytes for %d x %d pixels" % (width, height))
        pixels = undo_byte_offset(body)
        if len(pixels) != width * height:
            raise broken("damaged: %d pixels where its header says %d x %d" % (len(pixels), width, height))
        return "miniCBF", width, height, pixels, pilatus_facts(header)

    def md5_of(body, otherwise):
        try:
            return base64.b64encode(hashlib.md5(body).digest()).decode()
        except ValueError:
            return otherwise  # a Python that refuses MD5 as insecure

    def undo_byte_offset(body):
        """Each byte is the step from the pixel before; 0x80 announces one of 16 bits, then 32, then 64."""
        wide, at = [], body.find(b"\x80")
        while at >= 0:
            after, step = at + 1, -128
            for bits in (16, 32, 64):
                if step != -1 << (bits // 2 - 1):
                    break
                step = int.from_bytes(body[after : after + bits // 8], "little", signed=True)
                after += bits // 8
            wide.append((at, after, step))
            at = body.find(b"\x80", after)
        try:
            if numpy:
                steps = numpy.frombuffer(body, numpy.int8).astype(numpy.int64)
                keep = numpy.ones(len(steps), bool)
                for at, after, step in wide:
                    steps[at] = step
                    keep[at + 1 : after] = False
                values = numpy.cumsum(steps[keep] if wide else steps)
                if len(values) and (values.min() < -(2**31) or values.max() >= 2**31):
                    raise OverflowError
                return array("i", values.astype(numpy.int32).tobytes())
            signed, pieces, last = memoryview(body).cast("b"), [], 0
            for at, after, step in wide:
                pieces += signed[last:at], (step,)
                last = after
            return array("i", accumulate(chain(chain.from_iterable(pieces), signed[last:])))
        except OverflowError:
            raise broken("damaged: its pixel values run out of range") from None

    def read_tiff(data):
        order = "<" if data[:2] == b"II" else ">"
        tags = {259: (1,), 277: (1,), 339: (1,), 270: ()}
        (at,) = struct.unpack_from(order + "I", data, 4)
        (count,) = struct.unpack_from(order + "H", data, at)
        for entry in range(at + 2, at + 2 + 12 * count, 12):
            tag, kind, many = struct.unpack_from(order + "HHI", data, entry)
            code = {1: "B", 2: "B", 3: "H", 4: "I"}.get(kind)
            if code and many <= len(data):
                where = entry + 8
                if struct.calcsize(code) * many > 4:
                    (where,) = struct.unpack_from(order + "I", data, where)
                tags[tag] = struct.unpack_from("%s%d%s" % (order, many, code), data, where)
        width, height, bits, packing, kind = (tags[tag][0] for tag in (256, 257, 258, 259, 339))
        codes = {(8, 1): "B", (16, 1): "H", (32, 1): "I", (8, 2): "b", (16, 2): "h", (32, 2): "i"}
        code = "f" if (bits, kind) == (32, 3) else codes.get((bits, kind))
        if code is None or tags[277] != (1,) or packing not in (1, 32773):
            raise broken("TIFF of %d bits with compression %d is not supported" % (bits, packing))
        check_size(width, height)
        parts = [data[at : at + length] for at, length in zip(tags[273], tags[279])]
        raw = b"".join(parts if packing == 1 else map(unpack_bits, parts))
        pixels = whole_numbers(raw, code, order == ">", width, height)
        facts = pilatus_facts(bytes(tags[270]).decode("latin-1"))
        if facts["cutoff"] is None and code == "H":
            facts["cutoff"] = 65535
        return "TIFF", width, height, pixels, facts

    def unpack_bits(strip):
        """PackBits: a count of bytes that follow, or how often the next one repeats."""
        out, at = bytearray(), 0
        while at + 1 < len(strip):
            n = strip[at]
            if n < 128:
                out += strip[at + 1 : at + 2 + n]
                at += n + 2
            else:
                out += strip[at + 1 : at + 2] * (257 - n if n > 128 else 0)
                at += 2 if n > 128 else 1
        return bytes(out)

    def read_text_header(data):
        """EDF and SMV: `{ key = value; ... }`, padded, then raw numbers."""
        end = data.find(b"}", 0, 1 << 20)
        if end < 0:
            raise broken("truncated: it ends inside its header")
        pairs = re.findall(r"([\w-]+)\s*=\s*([^;]*?)\s*;", data[:end].decode("latin-1"))
        keys = {key.lower(): value.lower() for key, value in pairs}

        def number(key, factor=1):
            return to_number(keys.get(key, "").split(" ")[0], factor)

        smv = "header_bytes" in keys
        names = ("datatype", "dim_1", "dim_2", "byteorder")
        if smv:
            names = ("type", "size1", "size2", "byte_order")
        kind = keys.get(names[0], "unsigned_short" if smv else "").replace("_", "").replace("value", "")
        code = {"signedbyte": "b", "unsignedbyte": "B", "unsignedshort": "H", "float": "f", "double": "d"}
        code.update(dict.fromkeys(("short", "signedshort"), "h"))
        code.update(dict.fromkeys(("int", "long", "signedinteger", "signedlong", "longinteger"), "i"))
        code.update(dict.fromkeys(("unsignedint", "unsignedinteger", "unsignedlong"), "I"))
        width, height = (int(number(name) or 0) for name in names[1:3])
        if kind not in code or keys.get("compression", "none") not in ("none", ""):
            raise broken("its pixels are of a kind (%r) that is not supported" % kind)
        start = int(number("header_bytes") or 512) if smv else end + 2
        big = keys.get(names[3]) in ("big_endian", "highbytefirst")
        pixels = whole_numbers(data[start:], code[kind], big, width, height)
        facts = {"cutoff": number("ccd_image_saturation") or (65535 if code[kind] == "H" else None)}
        if smv:  # beam centres are in mm, and x runs down the frame, as ADSC detectors write them
            size, x, y = number("pixel_size"), number("beam_center_y"), number("beam_center_x")
            facts.update(wavelength=number("wavelength"), distance=number("distance"), pixel=size)
            facts.update(beam_x=x and size and x / size, beam_y=y and size and y / size)
            facts.update(swing=number("twotheta"))
        else:
            facts.update(wavelength=number("wavelength", 1e10), distance=number("sampledistance", 1000))
            facts.update(pixel=number("psize_1", 1000), beam_x=number("center_1"), beam_y=number("center_2"))
        return "SMV" if smv else "EDF", width, height, pixels, facts

    def from_numpy(image):
        """A numpy image as pixels; the highest number of an unsigned type means masked."""
        image = numpy.asarray(image)
        check_size(image.shape[1], image.shape[0])
        if image.dtype.kind == "u" and image.dtype.itemsize > 1:
            masked = image == numpy.iinfo(image.dtype).max
        else:
            masked = ~(numpy.nan_to_num(image, nan=-1) > -0.5)
        whole = numpy.clip(numpy.rint(numpy.where(masked, 0, image)), 0, 2**31 - 1).astype(numpy.int32)
        return array("i", numpy.where(masked, -1, whole).astype(numpy.int32).tobytes())

    def read_npz(data):
        if numpy is None:
            raise broken(".npz needs numpy in the worker's Python: pip install numpy")
        with numpy.load(BytesIO(data), allow_pickle=False) as held:
            if sum(entry.file_size for entry in held.zip.infolist()) > limit:
                raise broken("too large: more than %d MiB when unpacked" % (limit >> 20))
            if "shape" in held and "0_row" in held:  # a frame cache: only the pixels that are not 0
                height, width = (int(n) for n in held["shape"])
                check_size(width, height)
                if "%d_row" % frame not in held:
                    raise broken("it holds no frame %d" % frame)
                image = numpy.zeros((height, width), numpy.int64)
                image[held["%d_row" % frame], held["%d_col" % frame]] = held["%d_data" % frame]
            else:
                image = largest_image({key: held[key] for key in held.files})
        return "npz", image.shape[1], image.shape[0], from_numpy(image), {}

    def largest_image(arrays):
        images = [a for a in arrays.values() if a.ndim in (2, 3) and a.dtype.kind in "iuf"]
        image = max(images, key=lambda a: a.size, default=None)
        if image is None or min(image.shape[-2:]) < 64:
            raise broken("it holds no detector image")
        if image.ndim == 3 and not 0 <= frame < len(image):
            raise broken("it holds %d frames, so there is no frame %d" % (len(image), frame))
        check_size(image.shape[-1], image.shape[-2])
        return image[frame] if image.ndim == 3 else image[...]

    def read_hdf5(data):
        try:
            import h5py
        except ImportError:
            raise broken("HDF5 needs h5py in the worker's Python: pip install h5py") from None
        if numpy is None:
            raise broken("HDF5 needs numpy in the worker's Python: pip install numpy")
        try:
            import hdf5plugin  # noqa: F401  more compressions, where it is installed
        except ImportError:
            pass
        source = BytesIO(data) if unpacked else path  # by path, it can follow links to other files
        with h5py.File(source, "r") as held:
            arrays = {}

            def gather(key, node):
                if isinstance(node, h5py.Dataset):
                    arrays[key] = node

            held.visititems(gather)
            for key in ("entry/data/data", "entry/data/data_000001"):  # links, which visititems passes by
                node = held.get(key)
                if isinstance(node, h5py.Dataset):
                    arrays[key] = node

            def number(ending, factor=1):
                found = [node for key, node in arrays.items() if key.endswith(ending) and node.size == 1]
                return float(found[0][()].item()) * factor if found and found[0].dtype.kind in "iuf" else None

            facts = {
                "wavelength": number("incident_wavelength"),
                "distance": number("detector_distance", 1000),
                "pixel": number("x_pixel_size", 1000),
                "beam_x": number("beam_center_x"),
                "beam_y": number("beam_center_y"),
                "cutoff": number("saturation_value"),
            }
            image = largest_image(arrays)
        return "HDF5", image.shape[1], image.shape[0], from_numpy(image), facts

    def read_frame():
        """(format, width, height, pixels, facts) of one version of the file."""
        before = version("before")
        if before[1] == 0:
            raise broken("empty: 0 bytes")
        if before[1] > limit:
            raise broken("too large: %d MiB, the limit is %d MiB" % (before[1] >> 20, limit >> 20))
        nonlocal unpacked
        packed = read_bytes()
        kinds = (
            (b"###CBF", read_cbf),
            (b"II*\0", read_tiff),
            (b"MM\0*", read_tiff),
            (b"\x89HDF\r\n", read_hdf5),
            (b"PK\3\4", read_npz),
            (b"{", read_text_header),
        )
        problem = held = None
        try:
            data = unpack(packed)
            unpacked = data is not packed
            reader = [read for magic, read in kinds if data.lstrip(b"\r\n").startswith(magic)]
            if not reader:
                raise broken("not a detector frame: it starts with %r" % data[:8])
            held = reader[0](data)
        except MemoryError:
            raise
        except Exception as caught:
            problem = caught
        if version("while") != before:
            raise broken("the file was replaced or written to while it was read")
        if isinstance(problem, ValueError) and str(problem).startswith(name + ": "):
            raise problem
        if problem is not None:
            raise broken("truncated or damaged: %s" % (problem or type(problem).__name__)) from None
        return held

    # ---- the spots: pixels that stand out of a background that is even close by ----

    def measure_tile(left, right, top, bottom):
        """(a count that its background seldom reaches, how many times wider than counting it scatters)"""
        for stride in (4, 1):
            seen = array("i")
            for y in range(top, bottom, stride):
                seen += pixels[y * width + left : y * width + right]
            ordered = sorted(seen)
            low, high = bisect_left(ordered, 0), bisect_left(ordered, cutoff)
            if high - low >= 32:
                break
        if high - low < 16:
            return 2**31 - 1, 1  # hardly a good pixel here
        middle = ordered[(low + high) // 2]
        cap = int(middle + 3 * math.sqrt(middle) + 3)  # so that spots do not count as background
        capped = bisect_right(ordered, cap, low, high)
        mean = (sum(ordered[low:capped]) + cap * (high - capped)) / (high - low)
        quarter = (high - low) // 4
        spread = (ordered[high - 1 - quarter] - ordered[low + quarter]) / 1.349  # sigma; spots do not move it
        gain = max(1, spread * spread / mean) if mean >= 25 else 1
        sigma = math.sqrt(gain * mean)
        least = math.ceil(mean - min(0.15 * mean, sigma) + 3 * sigma)
        return min(max(1, least), 2**31 - 1), gain

    def outstanding():
        """One byte a pixel, 0x80 where it reaches the threshold of its tile.

        A band of tiles is one big whole number with a lane of 32 bits a pixel, so that one subtraction
        compares all its pixels: the top bit of a lane survives it where pixel >= threshold.
        """
        planes = []
        for top in range(0, height, tile):
            bottom = min(top + tile, height)
            line = array("i")
            for left in range(0, width, tile):
                right = min(left + tile, width)
                threshold, gain = measure_tile(left, right, top, bottom)
                line.extend([threshold] * (right - left))
                gains[left // tile, top // tile] = gain
                thresholds[left // tile, top // tile] = threshold
            band = pixels[top * width : bottom * width].tobytes()
            lanes, order = len(band) // 4, sys.byteorder
            values = int.from_bytes(band, order)
            tops = int.from_bytes(struct.pack("=I", 1 << 31) * lanes, order)
            limits = int.from_bytes(line.tobytes() * (bottom - top), order)
            reached = ((values | tops) - limits) & (tops ^ (values & tops))
            planes.append(reached.to_bytes(len(band), order)[3 if order == "little" else 0 :: 4])
        return b"".join(planes)

    def clusters(found):
        """Sets of at least `smallest` pixels that touch by their sides."""
        while found:
            members = [found.pop()]
            for at in members:
                for near in (at - 1, at + 1, at - width, at + width):
                    if near in found:
                        found.discard(near)
                        members.append(near)
            if len(members) >= smallest:
                yield members

    def good_pixels(x, y, reach):
        """The good pixels at most `reach` away in x and in y."""
        left, right = max(x - reach, 0), min(x + reach + 1, width)
        found = array("i")
        for start in range(max(y - reach, 0) * width, min(y + reach + 1, height) * width, width):
            found += pixels[start + left : start + right]
        if min(found) < 0 or max(found) >= cutoff:
            found = [v for v in found if 0 <= v < cutoff]
        return found

    def background(x, y):
        """Mean of the pixels close by that stay below their tile's threshold; one answer for 4 x 4 pixels."""
        key = x >> 2, y >> 2
        if key not in levels:
            least = thresholds[x // tile, y // tile]
            calm = [v for v in good_pixels(x | 2, y | 2, 7) if v < least]
            levels[key] = sum(calm) / len(calm) if len(calm) >= 16 else None
        return levels[key]

    def scatters(x, y):
        """Do the 7 x 7 pixels round this one scatter more than counting does, by 6 sigma?"""
        near = good_pixels(x, y, 3)
        n, total = len(near), sum(near)
        expected = total * gains[x // tile, y // tile]
        surplus = n * sum(map(mul, near, near)) - total * total - (n - 1) * expected
        return n > 1 and surplus > 6 * math.sqrt(2 * (n - 1)) * expected

    def amid_scatter(x, y):
        """Is that so of all good pixels of the 5 x 5 round this one? (At the foot of a spot it is not.)"""
        for row in range(max(y - 2, 0), min(y + 3, height)):
            for column in range(max(x - 2, 0), min(x + 3, width)):
                at = row * width + column
                if at not in scatter:
                    scatter[at] = not 0 <= pixels[at] < cutoff or scatters(column, row)
                if not scatter[at]:
                    return False
        return True

    def on_a_line(x, y, level):
        """Does what stands out go on to both sides, as a powder ring does and a spot does not?"""

        def excess(cx, cy):
            good = good_pixels(cx, cy, 1) if 0 <= cx < width and 0 <= cy < height else ()
            return sum(good) / len(good) - level if len(good) > 1 else None

        least = 0.3 * excess(x, y)
        for dx, dy in ((6, -6), (6, -3), (6, 0), (6, 3), (6, 6), (3, 6), (0, 6), (-3, 6)):
            ends = [excess(x + dx, y + dy), excess(x - dx, y - dy)]
            ways = [excess(x + dx // 2, y + dy // 2), excess(x - dx // 2, y - dy // 2)]
            there = [e for e in ends + ways if e is not None]
            if ends != [None, None] and min(there) > least:  # in a gap of the detector the other side decides
                return True
        return False

    def is_long(members):
        """More than a spot can be: a piece of a powder ring, the rim of a shadow."""
        if len(members) < longest or len(members) > largest:
            return len(members) > largest
        columns, rows = [at % width for at in members], [at // width for at in members]
        return max(max(columns) - min(columns), max(rows) - min(rows)) >= longest

    def find_spots():
        """([x, y, intensity] of each spot, strongest first; how many pixels belong to rings)"""
        lanes = int.from_bytes(marks, "little")
        beside = (lanes << 8) | (lanes >> 8) | (lanes << 8 * width) | (lanes >> 8 * width)
        kept = (lanes & beside).to_bytes(len(marks), "little")
        if kept.count(b"\x80") > len(marks) // 10:
            return [], kept.count(b"\x80")  # whatever it is that covers a tenth of the frame, it is not spots
        strong, ring = set(), []
        for members in clusters({found.start() for found in re.finditer(b"\x80", kept)}):
            if is_long(members):
                ring += (pixels[at] for at in members)
            else:
                strong.update(filter(is_strong, members))
        # Grainy powder and stray crystallites give specks: beside rings, only what outshines them is a spot.
        ring.sort()
        least = ring[len(ring) * 19 // 20] if len(ring) > len(pixels) // 200 else 0
        spots = [spot for spot in map(spot_of, clusters(strong)) if spot is not None and spot.pop() >= least]
        return sorted(spots, key=lambda spot: (-spot[2], spot)), len(ring)

    def is_strong(at):
        y, x = divmod(at, width)
        level = background(x, y)
        if level is None or pixels[at] >= cutoff:
            return False
        return pixels[at] >= level + 3 * math.sqrt(level * gains[x // tile, y // tile]) and amid_scatter(x, y)

    def spot_of(members):
        """[x, y, intensity, highest pixel] of touching strong pixels; None when they look like no spot."""
        peak = max(members, key=lambda at: (pixels[at], -at))
        py, px = divmod(peak, width)
        level = background(px, py)
        weights = [pixels[at] - level for at in members]
        total = sum(weights)
        x = sum(map(mul, weights, (at % width for at in members))) / total
        y = sum(map(mul, weights, (at // width for at in members))) / total
        if is_long(members) or math.hypot(x - px, y - py) > 2 or on_a_line(px, py, level):
            return None
        return [round(x, 1), round(y, 1), round(total, 1), pixels[peak]]

    # ---- what to answer ----

    def counts():
        """(mean, median, max, masked, saturated) of the pixels."""
        if numpy:
            all_pixels = numpy.frombuffer(pixels, numpy.int32)
            good = all_pixels[(all_pixels >= 0) & (all_pixels < cutoff)]
            masked, saturated = int((all_pixels < 0).sum()), int((all_pixels >= cutoff).sum())
            if not len(good):
                return None, None, None, masked, saturated
            middle = (len(good) - 1) // 2
            median = int(numpy.partition(good, middle)[middle])
            mean = round(int(good.sum(dtype=numpy.int64)) / len(good), 4)
            return mean, median, int(good.max()), masked, saturated
        often = Counter(pixels)
        masked = sum(n for v, n in often.items() if v < 0)
        saturated = sum(n for v, n in often.items() if v >= cutoff)
        good = sorted(v for v in often if 0 <= v < cutoff)
        if not good:
            return None, None, None, masked, saturated
        upto = list(accumulate(often[v] for v in good))
        median = good[bisect_left(upto, (upto[-1] + 1) // 2)]
        mean = round(sum(v * often[v] for v in good) / upto[-1], 4)
        return mean, median, good[-1], masked, saturated

    def resolution(spots):
        """Bragg spacings of the spots: the best, the best tenth and the median."""
        needed = ("wavelength", "distance", "pixel", "beam_x", "beam_y")
        wavelength, distance, pixel, x, y = (facts.get(key) for key in needed)
        if not (wavelength and distance and pixel) or x is None or y is None:
            return {"note": "the header does not give wavelength, distance, pixel size and beam centre"}
        answer = {"wavelength": wavelength, "distance_mm": round(distance, 3)}
        if facts.get("swing"):
            return dict(answer, note="the detector is swung out by %g degrees: not computed" % facts["swing"])
        spacings = []
        for spot in spots:
            angle = math.atan2(math.hypot(spot[0] + 0.5 - x, spot[1] + 0.5 - y) * pixel, distance)
            if angle > 0:
                spacings.append(wavelength / (2 * math.sin(angle / 2)))
        spacings.sort()
        if spacings:
            for key, part in (("d_min", 0), ("d_best_tenth", 0.1), ("d_median", 0.5)):
                answer[key] = round(spacings[int(part * len(spacings))], 3)
        return answer

    def draw(marked):
        """A PNG of at most 512 pixels a side: dark is bright, spots in circles. Answers its path."""
        step = -(-max(width, height) // 512)
        rows = []
        for top in range(0, height, step):
            band = [pixels[y * width : (y + 1) * width] for y in range(top, min(top + step, height))]
            best = band[0] if len(band) == 1 else list(map(max, *band))
            rows.append([max(best[x : x + step]) for x in range(0, width, step)])
        wide, high = len(rows[0]), len(rows)
        ordered = sorted(v for row in rows for v in row if v >= 0) or [0]
        dark = ordered[len(ordered) // 2]
        span = math.sqrt(max(ordered[int(0.998 * (len(ordered) - 1))] - dark, 4 * math.sqrt(dark) + 8))

        def colour(v):  # 0 to 249: black to white; 250: masked; 251: a circle
            return 250 if v < 0 else 249 - int(249 * min(1, math.sqrt(max(0, v - dark)) / span))

        image = [bytearray(map(colour, row)) for row in rows]
        for spot in marked:
            for turn in range(40):
                angle = turn * math.pi / 20
                x = round(spot[0] / step + 6 * math.cos(angle))
                y = round(spot[1] / step + 6 * math.sin(angle))
                if 0 <= x < wide and 0 <= y < high:
                    image[y][x] = 251
        palette = b"".join(bytes([v * 255 // 249] * 3) for v in range(250)) + bytes((205, 215, 225))
        palette += bytes((225, 60, 20))
        png = b"\x89PNG\r\n\x1a\n"
        for kind, body in (
            (b"IHDR", struct.pack(">IIBBBBB", wide, high, 8, 3, 0, 0, 0)),
            (b"PLTE", palette),
            (b"IDAT", zlib.compress(b"".join(b"\0" + bytes(row) for row in image), 6)),
            (b"IEND", b""),
        ):
            png += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        os.makedirs(preview_dir, exist_ok=True)
        target = os.path.join(preview_dir, name + ".png")
        waiting = os.path.join(preview_dir, ".%s.%d.tmp" % (name, os.getpid()))
        try:
            with open(waiting, "wb") as out:
                out.write(png)
            os.replace(waiting, target)
        except OSError:
            if os.path.exists(waiting):
                os.remove(waiting)
            raise
        return target

    kind, width, height, pixels, facts = read_frame()
    if analysis is not None:
        return {"preview": draw(analysis["strongest"])}
    cutoff = int(facts.get("cutoff") or 2**31 - 1)
    gains, thresholds, levels, scatter = {}, {}, {}, {}  # by tile, by tile, by 4 x 4 pixels, by pixel
    marks = outstanding()
    spots, ring_pixels = find_spots()
    mean, median, most, masked, saturated = counts()
    answer = {
        "file": path,
        "format": kind,
        "width": width,
        "height": height,
        "spots": len(spots),
        "strongest": spots[:50],
        "mean": mean,
        "median": median,
        "max": most,
        "masked": masked,
        "saturated": saturated,
        "ring_pixels": ring_pixels,
        "resolution": resolution(spots),
        "reader": "numpy" if numpy else "stdlib",
        "seconds": round(time.monotonic() - started, 3),
    }
    if preview_dir is not None:
        answer["preview"] = draw(spots[:50])
    return answer


def mark_preview(path, analysis, preview_dir):
    """Draw the spots of an earlier answer into preview_dir; answers {"preview": path of the PNG}."""
    return analyse_frame(path, preview_dir=preview_dir, analysis=analysis)
