"""What may stand where any JSON may stand, and how long it is."""

from __future__ import annotations

import json
import math

from tracker.model.limits import MAX_FIELD_BYTES, MAX_INTEGER, MIN_INTEGER


def canonical(value: object) -> bytes:
    """Canonical JSON: keys in code point order, no spaces, UTF-8, numbers as Python's ``json`` writes them.

    Raises ValueError: NaN, an infinity, an unpaired surrogate, or nesting too deep to write.
    """
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True, allow_nan=False).encode()
    except RecursionError:
        raise ValueError("nested too deep to be written as JSON") from None


def check_json(value: object) -> None:
    """Raises ValueError unless all inside is JSON whose integers lie in -2^63 to 2^64-1 and whose fractions are finite."""
    waiting = [value]
    while waiting:
        inner = waiting.pop()
        if inner is None or isinstance(inner, str | bool):
            continue
        if isinstance(inner, int):
            if not MIN_INTEGER <= inner <= MAX_INTEGER:
                raise ValueError("expected integers from -2^63 to 2^64-1")
        elif isinstance(inner, float):
            if not math.isfinite(inner):
                raise ValueError(f"expected a finite number, got {inner}")
        elif isinstance(inner, dict):
            if not all(isinstance(name, str) for name in inner):
                raise ValueError("expected the names in an object to be strings")
            waiting.extend(inner.values())
        elif isinstance(inner, list):
            waiting.extend(inner)
        else:
            raise ValueError(f"expected JSON, got {type(inner).__name__}")


def check_size(value: object) -> None:
    """Raises ValueError where a field as it is shown is over 65,536 bytes of canonical JSON."""
    if (size := len(canonical(value))) > MAX_FIELD_BYTES:
        raise ValueError(f"expected at most {MAX_FIELD_BYTES} bytes of canonical JSON, got {size}")
