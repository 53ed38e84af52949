"""HDF5 files that were made up: their checksums fit, and what is in them would make HDF5 1.10 write
beyond its memory, read other files or load code. d2c refuses them."""
import struct
import unittest
import zlib

from harness import Case, demo_manifest, h5py, write_manifest

SEAL = b"\nd2c crc32 "


@unittest.skipIf(h5py is None, "python3-h5py is not installed")
class Crafted(Case):
    @classmethod
    def setUpClass(cls):
        case = Case("setUp")
        case.setUp()
        cls.addClassCleanup(case.doCleanups)
        manifest = write_manifest(case.folder / "manifest.json", demo_manifest(3))
        case.succeed("run", manifest, "-K", 2, "--search", "kmeans", "--refine", "none", "--quiet", "-o", case.folder / "out")
        cls.good = (case.folder / "out" / "results.h5").read_bytes()

    def setUp(self):
        super().setUp()
        self.file = self.folder / "results.h5"

    def sealed(self, content):
        self.file.write_bytes(content + SEAL + b"%08x\n" % zlib.crc32(content))

    def content(self):
        return bytearray(self.good[:self.good.rindex(SEAL)])

    def refused(self, *words):
        self.fail_with(3, [str(self.file), *words], "inspect", self.file)

    def reference(self, name):
        """Place of the first reference of a dataset of texts."""
        self.sealed(self.content())
        with h5py.File(self.file) as file:
            return file[name].id.get_offset()

    def test_the_file_that_they_are_made_from_is_good(self):
        self.sealed(self.content())
        self.succeed("inspect", self.file)

    def test_lengths_of_texts_that_do_not_fit(self):
        at = self.reference("task/name")
        for length in (0xFFFFFFF0, 0x7FFFFFFF, 1 << 20):
            content = self.content()
            struct.pack_into("<I", content, at, length)
            self.sealed(content)
            self.refused("task/name", "a text that is not in the file")

    def test_addresses_and_indices_of_texts_that_lead_nowhere(self):
        at = self.reference("task/name")
        for form, offset, value in (("<Q", 4, 1 << 60), ("<Q", 4, 8), ("<Q", 4, len(self.good) - 4), ("<I", 12, 60000)):
            content = self.content()
            struct.pack_into(form, content, at + offset, value)
            self.sealed(content)
            self.refused("task/name")

    def test_collections_of_texts_that_are_made_up(self):
        at = self.reference("task/name")
        collection = struct.unpack_from("<Q", self.content(), at + 4)[0]
        for offset, value in ((8, 1 << 62), (8, 3), (16 + 8, 1 << 62), (16 + 8, 1 << 40)):
            content = self.content()
            struct.pack_into("<Q", content, collection + offset, value)
            self.sealed(content)
            self.refused()

    def test_texts_of_attributes(self):
        # Every reference to the heap that stands in an attribute: its length is the first number.
        self.sealed(self.content())
        with h5py.File(self.file) as file:
            software = file.attrs["software"].encode()
        content = self.content()
        collections = [i for i in range(0, len(content), 8) if content[i:i + 4] == b"GCOL"]
        found = 0
        for collection in collections:
            pattern = struct.pack("<IQ", len(software), collection)
            at = content.find(pattern)
            while at >= 0:
                changed = bytearray(content)
                struct.pack_into("<I", changed, at, 0xFFFFFFF0)
                self.sealed(changed)
                # Metadata carry checksums of their own, which do not fit any more: also an error.
                self.refused()
                found += 1
                at = content.find(pattern, at + 1)
        self.assertGreater(found, 0)

    def edited(self, change):
        """The file after h5py has changed it, sealed again."""
        self.file.write_bytes(self.content())
        with h5py.File(self.file, "r+") as file:
            change(file)
        self.sealed(self.file.read_bytes())

    def replaced(self, name, make):
        def change(file):
            old = file[name][...]
            attributes = dict(file[name].attrs)
            del file[name]
            make(file, old)
            for key in ("long_name", "units"):
                if key in attributes:
                    file[name].attrs[key] = attributes[key]
        self.edited(change)

    def test_values_in_other_files(self):
        secret = self.folder / "secret"
        secret.write_bytes(bytes(4096))

        def external(file, old):
            file.create_dataset("task/weight", shape=old.shape, dtype="<f8", external=[(str(secret), 0, 4096)])

        self.replaced("task/weight", external)
        self.refused("task/weight", "other files")

        def link(file):
            other = self.folder / "other.h5"
            with h5py.File(other, "w") as target:
                target["objective"] = 1.0
            del file["result/objective"]
            file["result/objective"] = h5py.ExternalLink(str(other), "objective")

        self.edited(link)
        self.refused("result/objective", "is a link to another place")

    def test_types_and_storage_that_the_schema_does_not_have(self):
        def as_text(file, old):
            file["result/objective"] = "text"

        self.replaced("result/objective", as_text)
        self.refused("result/objective", "type")

        def as_other_filter(file, old):
            file.create_dataset("task/weight", data=old, chunks=(1,), scaleoffset=2)

        self.replaced("task/weight", as_other_filter)
        self.refused("task/weight")

        def as_fixed_text(file, old):
            file["task/name"] = old.astype("S9")

        self.replaced("task/name", as_fixed_text)
        self.refused("task/name", "variable length")


if __name__ == "__main__":
    unittest.main()
