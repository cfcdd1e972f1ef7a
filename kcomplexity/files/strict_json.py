"""JSON as files of strangers are read: no duplicate keys, no NaN, no name that is no text."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, NoReturn

from kcomplexity.errors import CorruptCheckpointError
from kcomplexity.text import printable

__all__ = ["parse_object"]


def parse_object(data: bytes, where: str) -> dict[str, Any]:
    """Parse a JSON object strictly.

    Two readers of a duplicate key may see two different files, so it is refused, though the JSON
    specification lets it pass.

    Parameters
    ----------
    data : bytes
        UTF-8 text; bound its length before.
    where : str
        What it is and in which file, printable, to open the message of an error.

    Raises
    ------
    CorruptCheckpointError
    """
    try:
        text = data.decode("utf-8")
        found = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse)
        if "\\u" in text:
            # A lone surrogate can be escaped in JSON but is no character: nothing could store it.
            json.dumps(found, ensure_ascii=False).encode("utf-8")
    except UnicodeDecodeError as error:
        raise CorruptCheckpointError(
            f"{where} is not UTF-8 at its byte {error.start}; the file is damaged: copy it again"
        ) from None
    except UnicodeEncodeError:
        raise CorruptCheckpointError(
            f"{where} holds text with a lone surrogate, which is no character; rename it"
        ) from None
    except RecursionError:
        raise CorruptCheckpointError(
            f"{where} is nested too deeply to be one; write the file anew"
        ) from None
    except ValueError as error:
        raise CorruptCheckpointError(
            f"{where} is not valid JSON: {printable(error)}; copy the file again or write it anew"
        ) from None
    if not isinstance(found, dict):
        raise CorruptCheckpointError(
            f"{where} is a JSON {type(found).__name__}; expected an object: write the file anew"
        )
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        counts = Counter(key for key, _ in pairs)
        twice = counts.most_common(1)[0][0]
        raise ValueError(f"the key {twice!r} is there twice")
    return found


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON number")
