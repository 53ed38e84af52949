"""The one way in which scripts put a file in place."""
import contextlib
import errno
import os
import stat
import tempfile


def refuse_special(path):
    """@throws OSError for a link, folder, pipe or device: what is written would go elsewhere"""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        raise FileExistsError(errno.EEXIST, "it is a link, folder, pipe or device, which is not replaced", str(path))


@contextlib.contextmanager
def replacing(path):
    """A binary file that gets its name `path`, and the permissions of the one there, when the block has ended well.

    @throws OSError
    """
    refuse_special(path)
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o644
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            os.chmod(file.name, mode)
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise
