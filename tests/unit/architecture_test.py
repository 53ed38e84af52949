"""Laws of the source tree: third-party headers stay in the module that owns them, modules use only
modules below them."""
import pathlib
import re
import sys

ROOT = pathlib.Path(sys.argv[1])

# Third-party header -> the modules, or folders of them, that may include it.
OWNERS = {
    r"mpi\.h": {"comm"},
    r"zlib\.h": {"core"},
    r"(hdf5|H5\w+)\.h": {"results"},
    r"boost/program_options.*": {"cli"},
    r"pcre2\.h": {"text", "lora"},
    r"unicode/.*": {"text"},
    r"Eigen/.*": {"tensor", "lora", "merge", "cluster"},
    r"(cuda|cublas|cuda_)\w*\.h": {"eval/cuda"},
}

# A module may use itself, what stands in its row, and what those use.
USES = {
    "core": set(),
    "tensor": {"core"},
    "safetensors": {"tensor"},
    "text": {"core"},
    "comm": {"core"},
    "ops": {"tensor"},
    "lora": {"safetensors", "ops"},
    "merge": {"lora"},
    "model": {"lora"},
    "eval": {"model", "text"},
    "cluster": {"core"},
    "results": {"lora"},
    "job": {"eval", "merge", "cluster", "comm", "results"},
    "tools": {"eval", "merge", "results"},
    "cli": {"job", "tools"},
}


def below(module):
    """Modules that a module may use, directly or not."""
    return set().union(*({other} | below(other) for other in USES[module]))


SUFFIXES = {".hpp", ".cpp", ".cu", ".cuh"}
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.M)


def broken_laws():
    for base in ("include/d2c", "src"):
        for path in sorted(p for p in (ROOT / base).rglob("*.*") if p.suffix in SUFFIXES):
            module = path.relative_to(ROOT / base).parts[0]
            folder = "/".join(path.relative_to(ROOT / base).parts[:2])
            for header in INCLUDE.findall(path.read_text()):
                for pattern, owners in OWNERS.items():
                    if re.fullmatch(pattern, header) and not {module, folder} & owners:
                        yield f"{path.relative_to(ROOT)}: <{header}> belongs to {sorted(owners)}"
                if header.startswith("d2c/"):
                    other = header.split("/")[1]
                    if other != module and other not in below(module):
                        yield f"{path.relative_to(ROOT)}: module {module} may not use {other}"


found = list(broken_laws())
print("\n".join(found) or "architecture: no law is broken")
sys.exit(1 if found else 0)
