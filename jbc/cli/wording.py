"""Messages in the language of the command line: options in the place of Python's arguments, batches for domains."""

from __future__ import annotations

import re
import shlex

# Arguments of Python whose options have another name.
OPTIONS = {"y": "labels-key", "label": "labels-key", "domain": "batch-key", "treatment": "treatment-key",
           "unit": "unit-key", "stopping": "stop-early", "checkpoints": "out"}  # fmt: skip
GROUP = re.compile(r"\b(?:route|training|inputs|kernel|editing)=[A-Z]\w+\(([^()]*)\)")
PART = re.compile(
    r"""(?P<setting>\b(?P<name>[a-z]\w*)=(?P<value>"[^"]*"|'[^']*'|[\w.+-]*\w|\.\.\.)?)(?![=\w])"""
    r"""|(?P<quoted>(?<!\w)'[^']*'(?!\w)|"[^"]*")"""
    r"""|(?P<word>\b[Dd]omains?\b)"""
)
WORDS = {"domain": "batch", "domains": "batches", "Domain": "Batch", "Domains": "Batches"}


def at_command_line(message: str) -> str:
    """Return a message with options in the place of arguments; what stands in quotes stays as it is.

    Examples
    --------
    >>> at_command_line("Domains of one row: 'domain 1'. Pass y= for some domain, or composition='assume-equal'.")
    "Batches of one row: 'domain 1'. Pass --labels-key for some batch, or --composition assume-equal."
    >>> at_command_line("Name it by route=Route(target=...).")
    'Name it by --target ....'
    """
    return PART.sub(_part, GROUP.sub(r"\1", message))


def _part(found: re.Match[str]) -> str:
    if found["word"]:
        return WORDS[found["word"]]
    if found["quoted"]:
        return found["quoted"]
    option, value = "--" + OPTIONS.get(found["name"], found["name"].replace("_", "-")), found["value"]
    if not value:
        return option
    if value in ("True", "False"):
        return option if value == "True" else option.replace("--", "--no-", 1)
    value = value.strip("\"'")
    return f"{option} {value if value == '...' or value.isalnum() else _quoted(value)}"


def _quoted(value: str) -> str:
    """Quote what a shell, or a reader, would take for something else."""
    return shlex.quote(value) if len(value) > 1 else f"'{value}'"
