"""The blocks of a README that a reader copies, and whether output has the shape that is shown.

  ```sh ... ```        a script
  ```text ... ```      with `$ command` lines: a session, each command with its output until the next `$`;
                       without: something to look at (the output of the block before, a picture)
  four blanks          after an empty line: a script, too

A session's command goes on in the next line after a `\\`. In output a line `...` stands for any lines.
"""

import dataclasses
import re


@dataclasses.dataclass
class Block:
    kind: str  # "script", "session" or "shown"
    line: int  # of its first line in the README, from 1
    text: str
    commands: list = dataclasses.field(default_factory=list)  # of a session: (command, lines of output)

    @property
    def name(self):
        first = self.commands[0][0] if self.kind == "session" else self.text
        return f"line {self.line}: {first.strip().splitlines()[0]}"


def blocks_of(markdown):
    """Every block, in order. A fence that is never closed, or of another language, is an error."""
    blocks, lines, i = [], markdown.splitlines(), 0
    while i < len(lines):
        fence = re.match(r"```(\w*)\s*$", lines[i])
        if fence:
            end = next((j for j in range(i + 1, len(lines)) if lines[j].rstrip() == "```"), None)
            if end is None:
                raise ValueError(f"line {i + 1}: a fence that is never closed")
            blocks.append(fenced(fence[1], i + 2, lines[i + 1:end]))
            i = end + 1
        elif lines[i].startswith("    ") and lines[i].strip() and (i == 0 or not lines[i - 1].strip()):
            end = next((j for j in range(i, len(lines)) if not lines[j].startswith("    ")), len(lines))
            blocks.append(Block("script", i + 1, "\n".join(line[4:] for line in lines[i:end])))
            i = end
        else:
            i += 1
    return blocks


def fenced(language, line, lines):
    text = "\n".join(lines)
    if language == "sh":
        return Block("script", line, text)
    if language != "text":
        raise ValueError(f"line {line - 1}: a block of '{language}', allowed: sh, text")
    if not lines or not lines[0].startswith("$ "):
        return Block("shown", line, text)
    commands, goes_on = [], False
    for one in lines:
        if goes_on:
            commands[-1][0] += "\n" + one
        elif one.startswith("$ "):
            commands.append([one[2:], []])
        else:
            commands[-1][1].append(one)
        goes_on = (one.startswith("$ ") or goes_on) and one.endswith("\\")
    return Block("session", line, text, [tuple(command) for command in commands])


NUMBER = r"-?\d[\d.,]*(?:e[-+]?\d+)?"
UNIT = r"(?:(?:[kMGT]|[KMG]iB|B|us|ms|s|min|h|d|%)(?![\w]))"


def shape(line):
    """What stays of a line when numbers, bars and widths of columns may differ."""
    line = re.sub(r"#+$", "", line)
    line = re.sub(r"[\w./-]*\d{8}-\d{6}-[\w-]+", "<run>", line)
    line = re.sub(rf"{NUMBER}(?: ?{UNIT})?(?: {NUMBER} {UNIT})*", "<n>", line)
    line = re.sub(r"(?<=<n>)( ?<n>)+", "", line)
    line = re.sub(r"\b(above|below) it\b", "<side> it", line)  # a short run is on the other side of a limit
    return " ".join(line.split())


def missing_line(expected, output):
    """The first line that is shown and has no line of its shape in the output, in that order; None: all have."""
    left = iter([shape(line) for line in output])
    for line in expected:
        if line.strip() in ("", "..."):
            continue
        if not any(shape(line) == one for one in left):
            return line
    return None
