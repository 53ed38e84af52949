"""Makes a page to look at from a results file: `d2c report` runs this.

usage: python3 scripts/report RESULTS.h5 REPORT.html [FOLDER_FOR_FIGURES]

The page is one file: figures are inline SVG, nothing is loaded and no script runs. All text that
comes from files is escaped.
"""
import pathlib
import sys

sys.path.insert(1, str(pathlib.Path(__file__).resolve().parents[1]))
from readable import readable  # noqa: E402
from replacing import refuse_special, replacing  # noqa: E402


def fail(message):
    print(f"d2c: {readable(message)}", file=sys.stderr)
    sys.exit(3)


try:
    import h5py  # noqa: F401
    import jinja2  # noqa: F401
    import matplotlib  # noqa: F401
except ImportError as error:
    fail(f"{sys.executable} lacks the package {error.name} (reports are drawn with it); install "
         f"python3-{error.name}, or name a Python that has it in D2C_PYTHON")

import figures  # noqa: E402
import page  # noqa: E402
import result  # noqa: E402


def write(path, text):
    """Puts a page in place once it is whole; replaces nothing but a page."""
    refuse_special(path)
    if path.exists():
        with path.open("rb") as file:
            if file.read(15).lower() != b"<!doctype html>":
                fail(f"{path}: exists and is no HTML page (it would be lost); name another file")
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        file.write(text.encode())


def main(results, report, folder=None):
    try:
        run = result.read(pathlib.Path(results))
    except (OSError, KeyError, ValueError) as error:
        fail(f"{results}: cannot be read ({error}); check the path")
    try:
        write(pathlib.Path(report), page.render(run))
        if folder:
            figures.save(run, pathlib.Path(folder))
    except OSError as error:
        fail(f"{error.filename or report}: cannot be written: {error.strerror}")
    print(f"Report: {report}")
    if folder:
        print(f"Figures: {folder}")


main(*sys.argv[1:])
