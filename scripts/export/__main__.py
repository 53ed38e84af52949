"""Puts the merged adapters of a result into a folder as a server wants them: `d2c export` runs this.

usage: python3 scripts/export --for peft|vllm|llama.cpp --result FOLDER --output FOLDER
           [--alias TASK=NAME]... [--aliases FILE] [--model FOLDER] [--dtype f32|source]

The folder is complete or absent. Needs numpy for llama.cpp, else nothing but Python.
"""
import argparse
import pathlib
import shutil
import sys
import tempfile

sys.path.insert(1, str(pathlib.Path(__file__).resolve().parents[1]))
import folders  # noqa: E402
import llama_cpp  # noqa: E402
from problem import Problem  # noqa: E402
from readable import readable  # noqa: E402
from result import Result, read_aliases  # noqa: E402

TARGETS = {"peft": folders.for_peft, "vllm": folders.for_vllm, "llama.cpp": llama_cpp.export}


def arguments():
    parser = argparse.ArgumentParser(prog="export", allow_abbrev=False)
    parser.add_argument("--for", dest="target", choices=TARGETS, required=True)
    parser.add_argument("--result", type=pathlib.Path, required=True)
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("--alias", action="append", default=[])
    parser.add_argument("--aliases", type=pathlib.Path)
    parser.add_argument("--model", type=pathlib.Path)
    parser.add_argument("--dtype", choices=("f32", "source"), default="f32")
    return parser.parse_args()


def export(call):
    if call.output.exists() or call.output.is_symlink():
        raise Problem(f"{call.output}: exists already (nothing is overwritten unasked); choose another --output")
    result = Result(call.result, call.model, read_aliases(call.alias, call.aliases))
    result.check_files()
    call.output.parent.mkdir(parents=True, exist_ok=True)
    partial = pathlib.Path(tempfile.mkdtemp(prefix=f".{call.output.name}.", dir=call.output.parent))
    try:
        partial.chmod(0o755)
        said = TARGETS[call.target](result, partial, call)
        partial.rename(call.output)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return said


def main():
    call = arguments()
    try:
        print(export(call))
    except Problem as problem:
        print(f"d2c: {problem}", file=sys.stderr)
        sys.exit(problem.code)
    except OSError as error:
        print(f"d2c: {readable(error.filename or call.output)}: {error.strerror}", file=sys.stderr)
        sys.exit(3)


main()
