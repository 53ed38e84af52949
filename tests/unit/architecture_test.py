"""Laws of the source tree: third-party headers stay in the module that owns them, modules use only
modules below them."""
import pathlib
import re
import sys

ROOT = pathlib.Path(sys.argv[1])

# Third-party header -> the modules that may include it.
OWNERS = {
    r"mpi\.h": {"comm"},
    r"zlib\.h": {"core"},
    r"(hdf5|H5\w+)\.h": {"results"},
    r"boost/program_options.*": {"cli"},
    r"boost/math/.*": {"cluster"},
    r"(dnnl|oneapi/dnnl/.*)\.hpp?": {"ops"},
    r"pcre2\.h": {"tokenizer", "lora"},
    r"unicode/.*": {"tokenizer"},
    r"omp\.h": {"ops"},
    r"Eigen/.*": {"tensor", "lora", "merge"},
}

# A module may use itself and what stands in its row.
USES = {
    "core": set(),
    "tensor": {"core"},
    "safetensors": {"core", "tensor"},
    "tokenizer": {"core"},
    "lora": {"core", "tensor", "safetensors"},
    "merge": {"core", "tensor", "lora"},
    "ops": {"core", "tensor"},
    "similarity": {"core", "tensor", "lora", "ops"},
    "model": {"core", "tensor", "safetensors", "lora", "ops"},
    "eval": {"core", "tensor", "tokenizer", "lora", "ops", "model"},
    "cluster": {"core"},
    "comm": {"core"},
    "results": {"core"},
    "driver": {"core", "tensor", "safetensors", "tokenizer", "lora", "merge", "ops", "similarity",
               "model", "eval", "cluster", "comm", "results"},
}
USES["cli"] = set(USES) | {"driver"}

INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.M)


def broken_laws():
    for base in ("include/d2c", "src"):
        for path in sorted((ROOT / base).rglob("*.[hc]pp")):
            module = path.relative_to(ROOT / base).parts[0]
            for header in INCLUDE.findall(path.read_text()):
                for pattern, owners in OWNERS.items():
                    if re.fullmatch(pattern, header) and module not in owners:
                        yield f"{path.relative_to(ROOT)}: <{header}> belongs to {sorted(owners)}"
                if header.startswith("d2c/"):
                    other = header.split("/")[1]
                    if other != module and other not in USES[module]:
                        yield f"{path.relative_to(ROOT)}: module {module} may not use {other}"


found = list(broken_laws())
print("\n".join(found) or "architecture: no law is broken")
sys.exit(1 if found else 0)
