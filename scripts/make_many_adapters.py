#!/usr/bin/env python3
"""Makes many LoRA adapters from a few, for runs that measure scale.

    scripts/make_many_adapters.py 2000 OUTPUT [--like data/demo/manifest.json] [--seed 0]

Writes OUTPUT/adapters/NAME (PEFT folders), OUTPUT/examples/NAME.jsonl and OUTPUT/manifest.json. Each
adapter follows one of the given ones, its parent: per factor, 90 to 100 % of the parent, the rest a
random convex mixture of adapters with the same shapes, plus noise of 2 % of the factor's standard
deviation. So the families of the parents remain to be found. The examples of a task are drawn from
the parent's, which its manifest names. Given a folder of adapters instead of a manifest, only
adapters are written. Equal arguments give equal bytes; stored types are kept.
"""
import argparse
import json
import os
import pathlib
import shutil
import struct

import numpy

TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


def from_stored(raw, dtype):
    values = numpy.frombuffer(raw, TYPES[dtype])
    if dtype == "BF16":
        return (values.astype(numpy.uint32) << 16).view(numpy.float32)
    return values.astype(numpy.float32)


def to_stored(values, dtype):
    if dtype == "BF16":  # to nearest, ties to even
        bits = values.astype(numpy.float32).view(numpy.uint32)
        bits = bits + 0x7FFF + ((bits >> 16) & 1)
        return (bits >> 16).astype("<u2").tobytes()
    return values.astype(TYPES[dtype]).tobytes()


class Parent:
    """An adapter that others are made from."""

    def __init__(self, folder, examples=None, test=None):
        self.folder = folder
        self.name = folder.name
        raw = (folder / "adapter_model.safetensors").read_bytes()
        (size,) = struct.unpack("<Q", raw[:8])
        self.head = raw[:8 + size]
        self.header = json.loads(raw[8:8 + size])
        self.header.pop("__metadata__", None)
        self.order = sorted(self.header, key=lambda name: self.header[name]["data_offsets"])
        self.values = {
            name: from_stored(raw[8 + size + begin:8 + size + end], info["dtype"])
            for name, info in self.header.items() for begin, end in [info["data_offsets"]]}
        self.shapes = tuple((name, *self.header[name]["shape"]) for name in self.order)
        self.examples = examples.read_text().splitlines() if examples else []
        self.test = test.read_text().splitlines() if test else []

    def write_child(self, folder, kin, rng):
        share = rng.uniform(0.9, 1.0)
        weights = rng.dirichlet(numpy.ones(len(kin))) * (1 - share)
        data = []
        for name in self.order:
            values = numpy.float32(share) * self.values[name]
            for weight, other in zip(weights, kin):
                values = values + numpy.float32(weight) * other.values[name]
            noise = rng.standard_normal(values.size, dtype=numpy.float32)
            values = values + numpy.float32(0.02 * values.std()) * noise
            data.append(to_stored(values, self.header[name]["dtype"]))
        folder.mkdir(parents=True)
        shutil.copyfile(self.folder / "adapter_config.json", folder / "adapter_config.json")
        (folder / "adapter_model.safetensors").write_bytes(self.head + b"".join(data))


def parents_of(path):
    """The adapters of a manifest with their examples, or those of a folder; and the model."""
    if path.is_dir() and not (path / "manifest.json").exists():
        folders = sorted(f for f in path.iterdir() if (f / "adapter_config.json").exists())
        return [Parent(folder) for folder in folders], None
    file = path / "manifest.json" if path.is_dir() else path
    manifest = json.loads(file.read_text())
    place = file.parent
    parents = [
        Parent(place / task["adapter"], place / task["examples"],
               place / task["test"] if task.get("test") else None) for task in manifest["tasks"]]
    return parents, (place / manifest["model"]).resolve()


def write_lines(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(line + "\n" for line in lines))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("count", type=int)
    parser.add_argument("output", type=pathlib.Path)
    source = pathlib.Path(__file__).resolve().parent.parent / "data" / "demo" / "manifest.json"
    parser.add_argument("--like", type=pathlib.Path, default=source,
                        help="manifest or folder of adapters to start from (default: the demo's)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--examples", type=int, default=10, help="per task (default 10)")
    arguments = parser.parse_args()
    if arguments.count < 1 or arguments.examples < 1:
        parser.error("COUNT and --examples must be at least 1")
    if arguments.output.exists():
        parser.error(f"{arguments.output} exists already")

    parents, model = parents_of(arguments.like)
    if not parents:
        parser.error(f"{arguments.like} holds no adapters")
    width = len(str(arguments.count - 1))
    tasks = []
    for i in range(arguments.count):
        rng = numpy.random.default_rng([arguments.seed, i])
        parent = parents[i % len(parents)]
        kin = [other for other in parents if other.shapes == parent.shapes]
        kin = [kin[j] for j in rng.choice(len(kin), min(3, len(kin)), replace=False)]
        name = f"{i:0{width}}_{parent.name}"
        parent.write_child(arguments.output / "adapters" / name, kin, rng)
        if model is None:
            continue
        task = {"name": name, "adapter": f"adapters/{name}", "examples": f"examples/{name}.jsonl"}
        for field, lines in (("examples", parent.examples), ("test", parent.test)):
            if not lines:
                continue
            chosen = rng.choice(len(lines), min(arguments.examples, len(lines)), replace=False)
            task[field] = f"{field}/{name}.jsonl"
            write_lines(arguments.output / task[field], [lines[j] for j in sorted(chosen)])
        tasks.append(task)
    if model is not None:
        manifest = {"model": os.path.relpath(model, arguments.output.resolve()), "tasks": tasks}
        (arguments.output / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")


if __name__ == "__main__":
    main()
