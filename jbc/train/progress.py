"""How far training is: a bar in a terminal, one changing line in a notebook, a line now and then anywhere else."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

from jbc.train.loop import Event, Hook

# Seconds between two lines where nothing can be redrawn; what ends before the first one stays silent.
PAUSE = 5.0


@contextlib.contextmanager
def progress(label: str = "training") -> Iterator[Hook]:
    """Show step, loss, rows per second and the time left, on standard error; in a notebook, in its output.

    Examples
    --------
    >>> with progress() as hook:
    ...     hook(Event(step=1, steps=2, rows=1, seconds=1.0, info={}, tree=None))
    """
    if _in_notebook():
        yield from _in_one_line(label)
    elif sys.stderr.isatty():
        yield from _bar(label)
    else:
        yield _lines(label, lambda text: print(text, file=sys.stderr, flush=True), PAUSE)


def _in_notebook() -> bool:
    """Return whether a notebook's kernel runs this."""
    shell = sys.modules.get("IPython")
    running = None if shell is None else shell.get_ipython()
    return running is not None and hasattr(running, "kernel")


def _bar(label: str) -> Iterator[Hook]:
    """Yield a hook that moves a bar."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[text]}"), console=Console(stderr=True)) as bar:
        task = bar.add_task(f"{label}: compiling", total=None, text="")

        def hook(event: Event) -> None:
            bar.update(task, description=label, completed=event.step, total=event.steps, text=_report(event))

        yield hook


def _in_one_line(label: str) -> Iterator[Hook]:
    """Yield a hook that writes over its line."""
    longest = 0

    def write(text: str) -> None:
        nonlocal longest
        longest = max(longest, len(text))
        print(f"\r{text:<{longest}}", end="", flush=True)

    write(f"{label}: compiling")
    yield _lines(label, write, 0.0)
    print()


def _lines(label: str, write: Callable[[str], None], pause: float) -> Hook:
    """Return a hook that writes a line where the last one is long enough ago."""
    begun: list[tuple[int, float]] = []  # the first event: what is before it is compiling, and tells no speed
    written = time.monotonic()

    def hook(event: Event) -> None:
        nonlocal written
        now = time.monotonic()
        begun.append((event.step, now))
        del begun[1:]
        if now - written < pause:
            return
        written, (first, then) = now, begun[0]
        left = ""
        if first < event.step < event.steps:
            left = f", {_time((event.steps - event.step) * (now - then) / (event.step - first))} left"
        write(f"{label}: step {event.step} of {event.steps}, {_report(event)}{left}")

    return hook


def _report(event: Event) -> str:
    loss = event.info.get("loss")
    text = "" if loss is None else f"loss {float(loss.mean()):.4g}, "
    return f"{text}{event.rows / max(event.seconds, 1e-9):,.0f} rows/s"


def _time(seconds: float) -> str:
    """Write a time as people say it.

    Examples
    --------
    >>> _time(42.4), _time(150)
    ('42 s', '2 min 30 s')
    """
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
