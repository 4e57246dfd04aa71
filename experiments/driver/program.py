"""Runs the built program, several at once if asked to, and ends what it started."""
import pathlib
import subprocess
import sys
import threading

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


class Stop(Exception):
    """What went wrong and what to do, for the one line that the driver ends with."""

    def __init__(self, what, hint):
        super().__init__(f"{what}; {hint}")


class Failed(Stop):
    """A run of the program that ended with an error."""


class Program:
    """`switchyard` with its logs, run in the folder `work`. Thread-safe."""

    def __init__(self, path, work):
        self.path = path
        self.work = work
        self.commit = commit()
        self._running = set()
        self._ended = False
        self._lock = threading.Lock()

    def run(self, words, log):
        """The last line of what it prints, which is JSON where --json is among the words."""
        log.parent.mkdir(parents=True, exist_ok=True)
        command = [str(self.path), *map(str, words)]
        with log.open("a") as errors:
            with self._lock:
                if self._ended:
                    raise Stop("stopped", "run the same command to go on")
                process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True,
                                           cwd=self.work, start_new_session=True)
                self._running.add(process)
            output = process.communicate()[0]
            with self._lock:
                self._running.discard(process)
        if self._ended:
            raise Stop("stopped", "run the same command to go on")
        if process.returncode != 0:
            last = log.read_text().strip().splitlines()[-1:]
            raise Failed(f"`{' '.join(command[:2])}` ended with {process.returncode}: {''.join(last)}",
                         f"see {log}")
        return output.strip().splitlines()[-1] if output.strip() else ""

    def end(self):
        """Asks all to stop: trainings save first and can go on later."""
        with self._lock:
            self._ended = True
            for process in self._running:
                process.terminate()


def commit():
    """That the program was built from, "-changed" behind it where files differ from it."""
    def git(*words):
        done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else ""

    changed = git("status", "--porcelain", "--untracked-files=no", "--", "src", "apps", "experiments")
    return (git("rev-parse", "--short", "HEAD") or "unknown") + ("-changed" if changed else "")


def note(text):
    print(text, file=sys.stderr, flush=True)
