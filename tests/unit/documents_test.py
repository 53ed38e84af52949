"""Documents speak of what exists: links lead somewhere, named files are there, options are known to
d2c or to a script, and docs/design/house.md has the rooms and folders of the source tree.

usage: documents_test.py SOURCE_FOLDER D2C_PROGRAM
"""
import pathlib
import re
import subprocess
import sys

ROOT, D2C = pathlib.Path(sys.argv[1]), sys.argv[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("data/*.md")),
             *sorted(ROOT.glob("docs/**/*.md"))]
# Options of cmake, ctest, mpirun, srun and Google Benchmark.
FOREIGN = {"--build", "--preset", "--target", "--map-by", "--mpi", "--benchmark",
           "--install", "--prefix", "--lora", "--max-lora-rank"}


def anchor(heading):
    """What GitHub makes of a heading."""
    text = re.sub(r"[^\w\- ]", "", heading.lstrip("#").strip().lower())
    return text.replace(" ", "-")


def broken_links(document, text):
    for target, section in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)", text):
        if "://" in target:
            continue
        path = (document.parent / target).resolve() if target else document
        if not path.exists():
            yield f"no file {target}"
        elif section and section not in [anchor(line) for line in path.read_text().splitlines()
                                         if line.startswith("#")]:
            yield f"no section {target}#{section}"


def missing_files(text):
    for name in re.findall(r"`((?:src|include|tests|scripts|jobs|bench|docs)/[^`\s<]*)`", text):
        if "ROOM" not in name and not list(ROOT.glob(name.rstrip("/"))):
            yield f"no file {name}"


def known_options():
    helps = subprocess.run([D2C, "--help"], capture_output=True, text=True, check=True).stdout
    for command in re.findall(r"^  ([a-z]+)  ", helps, re.M):
        helps += subprocess.run([D2C, command, "--help-all"], capture_output=True, text=True,
                                check=True).stdout
    for program in [*ROOT.glob("scripts/*.py"), *ROOT.glob("scripts/*/*.py"), *ROOT.glob("bench/*.*pp"), *ROOT.glob("bench/*.py")]:
        helps += program.read_text()
    return set(re.findall(r"--[a-z][a-z0-9-]*", helps)) | FOREIGN


def wrong_rooms():
    """docs/design/house.md has a row `room` | `folder`, ... | for each room of src."""
    house = ROOT / "docs" / "design" / "house.md"
    rows = re.findall(r"^\| `(\w+)` \|([^|]*)\|.*\|.*\|$", house.read_text(), re.M)
    said = {room: set(re.findall(r"`(\w+)`", folders)) for room, folders in rows}
    rooms = [path for path in (ROOT / "src").iterdir() if path.is_dir()]
    there = {room.name: {path.name for path in room.iterdir() if path.is_dir()} for room in rooms}
    for room in sorted(said.keys() | there.keys()):
        if said.get(room) != there.get(room):
            yield f"{house.relative_to(ROOT)}: room {room} has {there.get(room)}, not {said.get(room)}"


def mistakes():
    yield from wrong_rooms()
    options = known_options()
    for document in DOCUMENTS:
        text = document.read_text()
        found = [*broken_links(document, text), *missing_files(text)]
        found += [f"no option {option}"
                  for option in sorted(set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", text)))
                  if option not in options]
        yield from (f"{document.relative_to(ROOT)}: {mistake}" for mistake in found)


result = list(mistakes())
print("\n".join(result) or "documents: all that they name exists")
sys.exit(1 if result else 0)
