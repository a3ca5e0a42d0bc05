"""What to write instead of a value that its type refuses: of `params.yaml` and the environment."""

from __future__ import annotations

import re

_REMEDIES = {
    "bool_type": "write true or false",
    "bool_parsing": "write true or false",
    "int_type": "write a whole number",
    "int_parsing": "write a whole number",
    "int_from_float": "write a whole number",
    "float_type": "write a number",
    "float_parsing": "write a number",
    "string_type": "write text, in quotes",
    "model_type": "write its keys below it, indented",
    "model_attributes_type": "write its keys below it, indented",
    "dict_type": "write its keys below it, indented",
    "tuple_type": "write a list, as in [0.1, 0.5]",
    "too_long": "write fewer values",
    "too_short": "write more values",
}
"""pydantic's type of error → what to do, where its own message does not say that."""


def remedy(kind: str, message: str) -> str:
    """Return what to write instead, from pydantic's type of error and its message."""
    if kind in _REMEDIES:
        return _REMEDIES[kind]
    if kind == "literal_error":
        return message.replace("Input should be", "write", 1)
    worded = re.sub(
        r"^(Input|String) should (be|match|have)", r"write a value that must \2", message
    )
    for verb, said in (("match", "matches"), ("be", "is"), ("have", "has")):
        worded = worded.replace(f"that must {verb}", f"that {said}")
    return worded
