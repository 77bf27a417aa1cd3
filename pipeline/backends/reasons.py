"""What a framework says of a failure, in one line that still has the reason.

Frameworks put the reason first (ONNX Runtime), last (TorchScript), or between dumps of a whole
configuration (Keras); around it are stacks and places in C++ that tell a user nothing. Those are
dropped, dumps become ``{...}``, and a text that is still too long keeps its beginning and its end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pipeline.errors import RowsError

MAX_CHARS = 1500
_PART_CHARS = 400
_DUMP_CHARS = 80
_GAP = " [...] "
_READ_CHARS = 100_000

# TorchScript and TensorFlow put their own stack before the reason, XGBoost after it; ONNX Runtime
# and XGBoost say where in C++ they found it, TensorFlow the name of a node.
_TORCHSCRIPT = "The following operation failed in the TorchScript"
_PREAMBLES = re.compile(rf"{_TORCHSCRIPT}|Graph execution error|\[\d\d:\d\d:\d\d\] /")
_ARGUMENTS = r"\((?:[^()]|\([^()]*\))*\)"
_SOURCE = r"[\w./-]+\.(?:c|cc|cpp|cu|cuh|h|hpp)"
_LOCATION = re.compile(
    rf"/onnxruntime_src/\S+ [^()]*{_ARGUMENTS}( const)? "
    r"|\{\{.{0,300}?\}\} "
    r"|\[\d\d:\d\d:\d\d\] /\S+: "
    r"|(?<=Status Message: )\w+\.(?:h|cc):\d+ \w+ "
    rf'| at "?{_SOURCE}"?(?::\d+|, line \d+)(?: \.)?'
)
_STACK = re.compile(
    r"""\n?Stack\ trace:\n(?s:.*)                                             # XGBoost
      | \n?Exception\ raised\ from\ .*\(most\ recent\ call\ first\):(?s:.*)   # PyTorch
      | ^[ \t]*File\ "[^"\n]*",\ line\ \d+.*\n(?:[ \t]{4,}.*\n)?              # Python
    """,
    re.VERBOSE | re.MULTILINE,
)
_NOISE = re.compile(
    r"Graph execution error|Detected at node|<stack traces|\[\[\{\{|The following operation failed|"
    r"Traceback \(most recent call last\)"
)
_RAISED = re.compile(r"[\w.]*(Error|Exception)\b.*: ")


def own_words(error: BaseException) -> str:
    """The reason that a framework gives, in one line; where that is one word, the type with it."""
    words = _words(error)
    return words if " " in words else f"{type(error).__name__} {words}".strip()


def with_type(error: BaseException) -> str:
    """The type of an error, and the reason that the framework gives; of our own, the reason."""
    if isinstance(error, RowsError):
        return _words(error)
    return f"{type(error).__name__}: {_words(error)}".removesuffix(": ")


def hides_its_reason(error: BaseException) -> bool:
    """Whether the text of an error begins with a stack or a place in C++ code."""
    return _PREAMBLES.match(str(error)) is not None


def _words(error: BaseException) -> str:
    """At most MAX_CHARS characters."""
    text = cut(str(error), _READ_CHARS)
    if text.startswith(_TORCHSCRIPT):
        text = _last_raised(text)
    text = _STACK.sub("", text)
    lines = (" ".join(line.split()) for line in text.splitlines())
    kept = [_LOCATION.sub("", line) for line in lines if line and not _NOISE.search(line)]
    text = _without_dumps("\n".join(kept))
    if len(text) > MAX_CHARS:
        text = "\n".join(cut(line, _PART_CHARS) for line in text.split("\n"))
    return cut(text.replace("\n", " "), MAX_CHARS)


def cut(text: str, chars: int) -> str:
    """The text, or its beginning and its end where it is longer than so many characters."""
    if len(text) <= chars:
        return text
    end = (chars - len(_GAP)) // 3
    return text[: chars - len(_GAP) - end] + _GAP + text[-end:]


def _last_raised(text: str) -> str:
    """The text from the last line that names an exception, else the last line."""
    lines = text.rstrip().splitlines()
    starts = [i for i, line in enumerate(lines) if _RAISED.match(line)]
    return "\n".join(lines[starts[-1] if starts else -1 :])


def _without_dumps(text: str) -> str:
    """The text without long passages in curly brackets: dictionaries that were printed."""
    parts, end = [], 0
    for start, stop in _braced(text):
        if stop - start > _DUMP_CHARS:
            parts += [text[end:start], "{...}"]
            end = stop
    return "".join([*parts, text[end:]])


def _braced(text: str) -> Iterator[tuple[int, int]]:
    """Where the outermost pairs of curly brackets begin and end."""
    depth = start = 0
    for match in re.finditer(r"[{}]", text):
        if match[0] == "{":
            start = start if depth else match.start()
            depth += 1
        elif depth:
            depth -= 1
            if not depth:
                yield start, match.end()
