"""JSON of untrusted files: no duplicate keys, no NaN, no text that is not valid Unicode."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, NoReturn

from kcomplexity.errors import CorruptCheckpointError
from kcomplexity.text import printable


def parse_object(data: bytes, where: str) -> dict[str, Any]:
    """Parse a JSON object strictly.

    A duplicate key is refused, although JSON allows it: two readers may see different files.

    Parameters
    ----------
    data : bytes
        UTF-8 text; the caller has bounded its length.
    where : str
        What it is and in which file, printable, to begin an error message.
    """
    try:
        text = data.decode("utf-8")
        document = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse)
        if "\\u" in text:
            # JSON can escape a lone surrogate, which is not a character and cannot be stored.
            json.dumps(document, ensure_ascii=False).encode("utf-8")
    except UnicodeDecodeError as error:
        raise CorruptCheckpointError(
            f"{where} is not UTF-8 at its byte {error.start}; the file is damaged: copy it again"
        ) from None
    except UnicodeEncodeError:
        raise CorruptCheckpointError(
            f"{where} holds text with a lone surrogate, which is not a character; rename it"
        ) from None
    except RecursionError:
        text = f"{where} is nested too deeply; write the file again"
        raise CorruptCheckpointError(text) from None
    except ValueError as error:
        raise CorruptCheckpointError(
            f"{where} is not valid JSON: {printable(error)}; copy the file again or write it again"
        ) from None
    if not isinstance(document, dict):
        raise CorruptCheckpointError(
            f"{where} is a JSON {type(document).__name__}; expected an object: write the file again"
        )
    return document


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) != len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"the key {twice!r} is there twice")
    return entries


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON number")
