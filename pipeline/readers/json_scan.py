"""One compiled pass over the bytes of lines of JSON: where each value of a layout stands.

All that Numba compiles for it is in this module, for it keeps what it compiled until the caller's own file changes, and
would go on with an old helper of another file.
"""

from __future__ import annotations

import numba
import numpy as np

STRUCT, LIST, STRING, INTEGER, OTHER = range(5)  # kinds of nodes; of the last, only nulls are taken
ROOT, _DEPTH, _SKIPPED_DEPTH = 0, 16, 60
_FIRST, _NEXT = 0, 1  # within an object or a list: before its first member, behind one
_SPACE, _TAB, _RETURN, _LINE_END, _QUOTE, _ESCAPE = b' \t\r\n"\\'
_OPEN, _CLOSE, _OPEN_LIST, _CLOSE_LIST, _COMMA, _COLON = b"{}[],:"
_MINUS, _PLUS, _POINT, _ZERO, _NINE = b"-+.09"
_MOST_DIGITS = 18  # more may pass 2^63

# Bytes that end a run of plain ones in a text.
_STOPS = np.isin(np.arange(256), [*range(_SPACE), _QUOTE, _ESCAPE])

compiled = numba.njit(nogil=True, cache=True, error_model="numpy")


@compiled
def copy_texts(data, starts, lengths, text):
    """Writes the texts at `starts`, int32[rows], one behind the other; one that is missing has a length of -1."""
    to = 0
    for row in range(len(starts)):
        for at in range(starts[row], starts[row] + lengths[row]):
            text[np.uint64(to)] = _byte(data, at)
            to += 1


@compiled
def _byte(data, at):
    """data[at], without a look whether `at` counts from the end."""
    return data[np.uint64(at)]


@compiled
def _space(data, at):
    """The first place from `at` on that is no blank of a line."""
    while _byte(data, at) == _SPACE or _byte(data, at) == _TAB or _byte(data, at) == _RETURN:
        at += 1
    return at


@compiled
def _plain(data, at):
    """The end of a text that begins at `at`; -1 where it has an escape or no end."""
    while not _STOPS[_byte(data, at)]:
        at += 1
    return at if _byte(data, at) == _QUOTE else -1


@compiled
def _is_hex(code):
    return 48 <= code <= 57 or 65 <= code <= 70 or 97 <= code <= 102


@compiled
def _text(data, at):
    """Behind the end of a text that begins at `at`; -1 where it is none, or has a surrogate."""
    while True:
        while not _STOPS[_byte(data, at)]:
            at += 1
        if _byte(data, at) == _QUOTE:
            return at + 1
        if _byte(data, at) != _ESCAPE:
            return -1
        code = _byte(data, at + 1)
        if code == 117:  # u
            for digit in range(2, 6):
                if not _is_hex(_byte(data, at + digit)):
                    return -1
            if (_byte(data, at + 2) == 68 or _byte(data, at + 2) == 100) and _byte(data, at + 3) >= 56:
                return -1  # D8.. and above
            at += 6
        elif code in (34, 47, 92, 98, 102, 110, 114, 116):
            at += 2
        else:
            return -1


@compiled
def _digits(data, at):
    while _ZERO <= _byte(data, at) <= _NINE:
        at += 1
    return at


@compiled
def _number(data, at):
    """Behind a number of JSON; -1 where there is none."""
    if _byte(data, at) == _MINUS:
        at += 1
    end = _digits(data, at)
    if end == at or (_byte(data, at) == _ZERO and end > at + 1):
        return -1
    if _byte(data, end) == _POINT:
        at = end + 1
        end = _digits(data, at)
        if end == at:
            return -1
    if _byte(data, end) == 101 or _byte(data, end) == 69:  # e, E
        at = end + 1
        if _byte(data, at) == _PLUS or _byte(data, at) == _MINUS:
            at += 1
        end = _digits(data, at)
        if end == at:
            return -1
    return end


@compiled
def _word(data, at):
    """Behind true, false or null; -1 where there is none of them."""
    if (
        _byte(data, at) == 116
        and _byte(data, at + 1) == 114
        and _byte(data, at + 2) == 117
        and _byte(data, at + 3) == 101
    ):
        return at + 4
    if _byte(data, at) == 110:
        return _null(data, at)
    if (
        _byte(data, at) == 102
        and _byte(data, at + 1) == 97
        and _byte(data, at + 2) == 108
        and _byte(data, at + 3) == 115
        and _byte(data, at + 4) == 101
    ):
        return at + 5
    return -1


@compiled
def _null(data, at):
    return at + 4 if _byte(data, at + 1) == 117 and _byte(data, at + 2) == 108 and _byte(data, at + 3) == 108 else -1


@compiled
def _key(data, at):
    """Behind the colon of a key whose quote may stand at `at`; -1 where there is none."""
    at = _space(data, at)
    if _byte(data, at) != _QUOTE:
        return -1
    at = _text(data, at + 1)
    if at < 0:
        return -1
    at = _space(data, at)
    return at + 1 if _byte(data, at) == _COLON else -1


@compiled
def _skip(data, at):  # noqa: C901 - one loop is the fastest
    """Behind a value of any kind; -1 where there is none, or it is nested too deeply."""
    depth, objects = 0, 0  # a bit a level: whether it is an object
    while True:
        at = _space(data, at)
        code = _byte(data, at)
        if code == _QUOTE:
            at = _text(data, at + 1)
        elif code in (_OPEN, _OPEN_LIST):
            at = _space(data, at + 1)
            if _byte(data, at) == (_CLOSE if code == _OPEN else _CLOSE_LIST):
                at += 1
            else:
                if depth == _SKIPPED_DEPTH:
                    return -1
                depth, objects = depth + 1, objects << 1 | (1 if code == _OPEN else 0)
                if code == _OPEN:
                    at = _key(data, at)
                if at < 0:
                    return -1
                continue
        elif code == _MINUS or _ZERO <= code <= _NINE:
            at = _number(data, at)
        else:
            at = _word(data, at)
        if at < 0:
            return -1
        while depth:  # behind a value
            at = _space(data, at)
            code = _byte(data, at)
            if code == _COMMA:
                at += 1
                if objects & 1:
                    at = _key(data, at)
                if at < 0:
                    return -1
                break
            if code != (_CLOSE if objects & 1 else _CLOSE_LIST):
                return -1
            at, depth, objects = at + 1, depth - 1, objects >> 1
        if depth == 0:
            return at


@compiled
def _integer(data, at):
    """(behind an integer, its value), written as a number or as a text; -1 where it is none or has a needless zero."""
    quoted = _byte(data, at) == _QUOTE
    if quoted:
        at += 1
    negative = _byte(data, at) == _MINUS
    if negative:
        at += 1
    end = _digits(data, at)
    if end == at or end - at > _MOST_DIGITS or (_byte(data, at) == _ZERO and (end > at + 1 or negative)):
        return -1, 0
    value = 0
    for place in range(at, end):
        value = 10 * value + int(_byte(data, place)) - _ZERO
    if quoted:
        if _byte(data, end) != _QUOTE:
            return -1, 0
        end += 1
    elif _byte(data, end) == _POINT or _byte(data, end) == 101 or _byte(data, end) == 69:
        return -1, 0
    return end, -value if negative else value


@compiled
def _member(data, start, end, names, first, last, ends):
    """The member among first .. last - 1 whose name stands at start .. end - 1; -1 where none has it."""
    for member in range(first, last):
        begin, length = ends[member], ends[member + 1] - ends[member]
        if length != end - start:
            continue
        place = 0
        while place < length and names[begin + place] == _byte(data, start + place):
            place += 1
        if place == length:
            return member
    return -1


@compiled
def _begin(owner, row, kinds, grouped, groups, slots, lengths, known, sizes, there):
    """Nothing is known yet of a new row."""
    for place in range(groups[owner], groups[owner + 1]):
        kind, slot = kinds[grouped[place]], slots[grouped[place]]
        if kind == STRING:
            lengths[slot, row] = -1
        elif kind == INTEGER:
            known[slot, row] = False
        elif kind == LIST:
            sizes[slot, row] = -1
        elif kind == STRUCT:
            there[slot, row] = False


@compiled
def scan(  # noqa: C901 - one loop is the fastest
    data, names, kinds, owners, grouped, groups, slots, bounds, ends, children,
    starts, lengths, numbers, known, sizes, there, rows,
):  # fmt: skip
    """Fills the arrays of pipeline.readers.json_columns.Found; whether it went through to the end.

    Args:
        data: uint8[bytes], which ends in a line end.
        names to children: the arrays of pipeline.json_columns.Layout.
    """
    most = there.shape[1]
    nodes, own, seen = np.zeros(_DEPTH, np.int64), np.zeros(_DEPTH, np.int64), np.zeros(_DEPTH, np.int64)
    at = 0
    while at < len(data):
        at = _space(data, at)
        row = rows[0]
        if _byte(data, at) != _OPEN or row == most:
            return False
        _begin(0, row, kinds, grouped, groups, slots, lengths, known, sizes, there)
        rows[0] += 1
        there[0, row] = True
        depth, state, at = 0, _FIRST, at + 1
        nodes[0], own[0], seen[0] = ROOT, row, 0
        while depth >= 0:
            node, row = nodes[depth], own[depth]
            is_list = kinds[node] == LIST
            at = _space(data, at)
            code = _byte(data, at)
            if code == (_CLOSE_LIST if is_list else _CLOSE):
                if is_list:
                    sizes[slots[node], row] = seen[depth]
                depth, state, at = depth - 1, _NEXT, at + 1
                continue
            if state == _NEXT:
                if code != _COMMA:
                    return False
                at = _space(data, at + 1)
                code = _byte(data, at)
            state = _NEXT
            if is_list:
                child = children[bounds[node]]
                owner = owners[child]
                row = rows[owner]
                if code != _OPEN or row == most or depth + 1 == _DEPTH:
                    return False
                _begin(owner, row, kinds, grouped, groups, slots, lengths, known, sizes, there)
                rows[owner] += 1
                seen[depth] += 1
                there[slots[child], row] = True
                depth, state, at = depth + 1, _FIRST, at + 1
                nodes[depth], own[depth], seen[depth] = child, row, 0
                continue
            if code != _QUOTE:
                return False
            end = _plain(data, at + 1)
            if end < 0:
                return False
            member = _member(data, at + 1, end, names, bounds[node], bounds[node + 1], ends)
            at = _space(data, end + 1)
            if _byte(data, at) != _COLON:
                return False
            if member < 0:
                at = _skip(data, at + 1)
                if at < 0:
                    return False
                continue
            bit = 1 << (member - bounds[node])
            if seen[depth] & bit:
                return False
            seen[depth] |= bit
            at = _space(data, at + 1)
            code = _byte(data, at)
            child = children[member]
            kind, slot = kinds[child], slots[child]
            if code == 110:  # null
                at = _null(data, at)
                if at < 0:
                    return False
            elif kind == STRING and code == _QUOTE:
                end = _plain(data, at + 1)
                if end < 0:
                    return False
                starts[slot, row], lengths[slot, row] = at + 1, end - at - 1
                at = end + 1
            elif kind == INTEGER:
                at, value = _integer(data, at)
                if at < 0:
                    return False
                numbers[slot, row], known[slot, row] = value, True
            elif (kind == LIST and code == _OPEN_LIST) or (kind == STRUCT and code == _OPEN):
                if depth + 1 == _DEPTH:
                    return False
                if kind == STRUCT:
                    there[slot, row] = True
                depth, state, at = depth + 1, _FIRST, at + 1
                nodes[depth], own[depth], seen[depth] = child, row, 0
            else:
                return False
        at = _space(data, at)
        if _byte(data, at) != _LINE_END:
            return False
        at += 1
    return True
