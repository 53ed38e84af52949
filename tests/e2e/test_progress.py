"""What a job tells meanwhile: a live line on a terminal, lines with the time elsewhere."""
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import time
import unittest

from harness import BINARY, SLOWNESS, Case, DEMO, demo_manifest, environment, write_manifest

STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ "


class Progress(Case):
    def setUp(self):
        super().setUp()
        self.need(DEMO / "manifest.json")

    def on_terminal(self, columns, *arguments):
        """What a terminal of so many columns gets on standard error, and on standard output."""
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        job = subprocess.Popen([BINARY, *map(str, arguments)], env=environment(), stderr=slave, stdout=slave)
        os.close(slave)
        got = b""
        while True:
            try:
                piece = os.read(master, 65536)
            except OSError:
                break
            if not piece:
                break
            got += piece
        os.close(master)
        self.assertEqual(job.wait(timeout=60 * SLOWNESS), 0)
        return got.decode()

    def test_a_terminal_has_one_live_line_as_wide_as_it_is(self):
        manifest = write_manifest(self.folder / "manifest.json", demo_manifest(12))
        for columns in (80, 120):
            text = self.on_terminal(columns, "run", manifest, "-K", "2,3", "--refine", "none", "--overwrite", "--output",
                                    self.folder / "out")
            live = re.findall(r"\r\x1b\[K([^\r\n]*)", text)
            self.assertTrue(any(re.search(r"search auto, K = [23]  [\d,/]+ evaluations .*/s", line) for line in live), live)
            self.assertIn("12 tasks, 12 adapters", text)
            for line in re.split(r"[\r\n]+", re.sub(r"\x1b\[K", "", text)):
                if "test loss" in line or re.match(r"  [\w -]+( +[-\d.]+)+$", line):
                    continue  # a table of numbers alone
                self.assertLessEqual(len(line), columns)
            self.assertNotRegex(text, STAMP)

    def test_a_file_gets_lines_with_the_time_and_never_waits_long_for_one(self):
        job = subprocess.Popen([BINARY, "run", str(DEMO / "manifest.json"), "-K", "5", "--output", str(self.folder / "out")],
                               env=environment(), stderr=subprocess.PIPE, text=True)
        begin = last = time.monotonic()
        lines, longest = [], 0
        for line in job.stderr:
            now = time.monotonic()
            longest, last = max(longest, now - last), now
            lines.append(line)
            if now - begin > 13:
                job.send_signal(signal.SIGTERM)
                break
        job.communicate(timeout=60 * SLOWNESS)
        self.assertLess(longest, 5.5)
        self.assertTrue(all(re.match(STAMP, line) for line in lines), lines)
        if job.returncode == 4:
            self.assertTrue(any("evaluations" in line for line in lines), lines)

    def test_quiet_and_verbose(self):
        manifest = write_manifest(self.folder / "manifest.json", demo_manifest(4))
        command = ("run", manifest, "-K", 2, "--search", "d2c", "--restarts", 1, "--overwrite", "--output", self.folder / "out")
        quiet, normal, verbose = (self.succeed(*command, *more, ranks=2) for more in ((("--quiet",)), (), ("--verbose",)))
        self.assertEqual((quiet.stderr, quiet.stdout), ("", ""))
        self.assertNotIn("iteration   1", normal.stderr)
        self.assertRegex(verbose.stderr, STAMP + r"start   1  iteration   1  objective")
        self.assertIn("Results: ", normal.stdout)


if __name__ == "__main__":
    unittest.main()
