"""Run the notebooks, in place or as a check.

python notebooks/run.py [NAME ...] runs notebooks from top to bottom, and keeps their outputs without what belongs to
this machine (times, folders, numbers of the kernel). With --check nothing is written: a notebook that raises, or that
takes longer than --limit seconds, ends the run with status 1. Needs the extra `notebooks`.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
LIMIT = 180.0
METADATA = {
    "accelerator": "GPU",
    "colab": {"provenance": []},
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
# A warning as Python shows it: the file that warned, and its line, which say nothing to a reader.
SHOWN_WARNING = re.compile(
    r"^\S*[/\\]\S+:\d+: (\w*Warning: .*(?:\n(?! {2}\S).*)*?)\n {2}\S.*\n", re.MULTILINE
)


# How far a training is; a line that writes over itself begins with a carriage return.
PROGRESS = re.compile(r"(?:^|\r)[\w-]+: (?:compiling|step \d+ of \d+)[^\r\n]*\n?", re.MULTILINE)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the notebooks that are named, or all."""
    parser = argparse.ArgumentParser(description="Run the notebooks, in place or as a check.")
    parser.add_argument("names", nargs="*", help="such as quickstart; all of them by default")
    parser.add_argument(
        "--check", action="store_true", help="write nothing, and fail on errors and late ends"
    )
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds that a notebook may take")
    asked = parser.parse_args(arguments)
    failed = [path.stem for path in find(asked.names) if not run(path, asked.limit, keep=not asked.check)]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


def find(names: Sequence[str]) -> list[Path]:
    """Return the notebooks of these names, or all, in the order of their names."""
    paths = [FOLDER / f"{name.removesuffix('.ipynb')}.ipynb" for name in names] or sorted(
        FOLDER.glob("*.ipynb")
    )
    if missing := [path.name for path in paths if not path.is_file()]:
        raise SystemExit(f"There is no notebook named {', '.join(missing)} in {FOLDER.name}/.")
    return paths


def run(path: Path, limit: float, *, keep: bool) -> bool:
    """Run one notebook in a folder of its own; return whether it came to its end in time."""
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    notebook, began = nbformat.read(path, as_version=4), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook,
            kernel_name="python3",
            resources={"metadata": {"path": folder}},
            record_timing=False,
            startup_timeout=int(limit),
            timeout_func=lambda _: max(began + limit - time.monotonic(), 1.0),
        )
        try:
            client.execute(env=environment())
        except (CellExecutionError, CellTimeoutError, DeadKernelError, AssertionError) as error:
            # nbclient fails an assertion while it clears up after a kernel that has died.
            cause = error.__context__ if isinstance(error, AssertionError) else error
            print(f"{path.stem}: {cause}", file=sys.stderr)
            return False
    seconds = time.monotonic() - began
    print(f"{path.stem}: {seconds:.0f} s", flush=True)
    if keep:
        clean(notebook, {folder: "."})
        nbformat.write(notebook, path)
    return seconds <= limit


def environment() -> dict[str, str]:
    """Return the variables of the kernel: commands of this environment are found first, and threads do not wait.

    Libraries that start a thread for every core wait for each other where other programs run beside.
    """
    found = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"} | os.environ
    found["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), found.get("PATH", "")])
    return found


def clean(notebook: Any, folders: dict[str, str]) -> None:
    """Take out of a notebook what belongs to the machine and the moment."""
    notebook.metadata.clear()
    notebook.metadata.update(METADATA)
    own = {
        os.environ.get("JBC_DATA", ""): "(a folder)",
        str(FOLDER.parent): ".",
        platform.platform(): platform.system(),
        str(Path.home()): "~",
    } | folders
    for number, cell in enumerate((each for each in notebook.cells if each.cell_type == "code"), start=1):
        cell.metadata.clear()
        cell.execution_count = number
        cell.outputs = joined(cell.outputs)
        for output in cell.outputs:
            if "execution_count" in output:
                output.execution_count = number
            output.pop("metadata", None) if output.output_type == "stream" else output.metadata.clear()
            if "text" in output:
                output.text = plain(output.text, own)
            for kind, value in output.get("data", {}).items():
                if kind.startswith("text/"):
                    output.data[kind] = plain(value, own)
        cell.outputs = [output for output in cell.outputs if output.get("text", "shown").strip()]


def joined(outputs: Sequence[Any]) -> list[Any]:
    """Return outputs in which text that was printed piece by piece is one piece."""
    found: list[Any] = []
    for output in outputs:
        last = found[-1] if found else None
        if (
            last is not None
            and output.output_type == last.output_type == "stream"
            and output.name == last.name
        ):
            last.text += output.text
        else:
            found.append(output)
    return found


def plain(text: str, own: dict[str, str]) -> str:
    """Return text without progress, folders of this machine, and the place in a program that a warning names."""
    text = SHOWN_WARNING.sub(r"\1\n", PROGRESS.sub("", text))
    for name, instead in own.items():
        text = text.replace(name, instead) if name else text
    return text


if __name__ == "__main__":
    sys.exit(main())
