"""The rule language: a subset of CEL whose answers are pass, fail or unknown and which can explain itself.

Syntax is CEL's: comparisons, ``+ - * / %``, ``&& || !``, ``?:``, ``in``, list and map literals,
member access, indexing and the macros ``all exists exists_one filter map size has``. What differs
from CEL is written here and tested against the reference implementation:

* Missing, null, NaN, infinite, stale or too little evidence is *unknown*, not an error and not
  false: ``!unknown`` is unknown, ``unknown && false`` fails, ``unknown || true`` passes and lists
  the unknown operand. Whatever CEL calls an evaluation error is unknown too.
* Whole numbers and fractions mix, because JSON does not tell 2 from 2.0; ``/`` never truncates.
* Comparisons cannot be chained: ``a < b < c`` is refused with a hint.
* ``has(x.y)`` is the one way to turn a missing value into false.
* Both sides of ``&&`` and ``||`` are always looked at, so that the trace is complete.

Modules: ``lexer`` and ``parser`` turn text into the tree of ``syntax``; ``vocabulary`` checks its names;
``compiler`` turns it into closures over ``values`` that answer with a ``truth``; ``bindings`` connects the names
to one candidate's evidence.
"""
