"""One compiled pass over the bytes of lines of JSON: it finds each value that a layout names.

Everything that Numba compiles for the pass is in this module: Numba's cache is keyed by the caller's file, and would
keep an outdated helper of another file.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

STRUCT, LIST, STRING, INTEGER, FLOAT, BOOLEAN = range(6)  # kinds of nodes
ROOT, _DEPTH, _SKIPPED_DEPTH = 0, 16, 60
_FIRST, _NEXT = 0, 1  # within an object or a list: before its first member, behind one
_SPACE, _TAB, _RETURN, _LINE_END, _QUOTE, _ESCAPE = b' \t\r\n"\\'
_OPEN, _CLOSE, _OPEN_LIST, _CLOSE_LIST, _COMMA, _COLON = b"{}[],:"
_MINUS, _PLUS, _POINT, _ZERO, _NINE = b"-+.09"
_MOST_DIGITS = 18  # more may exceed 2^63
_EXACT = 1 << 53
NULL = -(1 << 63)

NODE = np.dtype([("kind", "i8"), ("owner", "i8"), ("slot", "i8"), ("first", "i8"), ("last", "i8")], align=True)
MEMBER = np.dtype([("start", "i8"), ("length", "i8"), ("child", "i8")], align=True)
SPAN = np.dtype([("start", "i4"), ("length", "i4")], align=True)

_POWERS = np.array([10.0**power for power in range(23)])  # those that a float64 represents exactly

# Bytes that end a run of plain ones in a string.
_STOPS = np.isin(np.arange(256), [*range(_SPACE), _QUOTE, _ESCAPE])

# What a backslash and another byte mean; 0 where they are not an escape.
_SHORT = np.zeros(256, np.uint8)
_SHORT[list(b'"/\\bfnrt')] = list(b'"/\\\b\f\n\r\t')
_UNICODE = 117  # u

compiled = numba.njit(nogil=True, cache=True, error_model="numpy")


@compiled
def copy_texts(data, spans, text):
    """Concatenate the strings at spans, SPAN[rows]."""
    to = 0
    for row in range(len(spans)):
        start, length = spans[row].start, spans[row].length
        if start < 0:  # with escapes
            to = _unescape(data, ~start, text, to, to + length)
            continue
        for at in range(start, start + length):
            text[np.uint64(to)] = _byte(data, at)
            to += 1


@compiled
def _unescape(data, at, text, to, end):
    """Write a string of sound escapes that begins at `at` to text[to:end]; return `end`."""
    while to < end:
        code, width = int(_byte(data, at)), 1
        at += 1
        if code == _ESCAPE:
            code = int(_byte(data, at))
            at += 1
            if code == _UNICODE:
                code = 0
                for place in range(at, at + 4):
                    code = 16 * code + _hex(_byte(data, place))
                at += 4
                width = _width(code)
            else:
                code = int(_SHORT[code])
        if width == 1:
            text[np.uint64(to)] = code
        elif width == 2:
            text[np.uint64(to)], text[np.uint64(to + 1)] = 0xC0 | code >> 6, 0x80 | code & 0x3F
        else:
            text[np.uint64(to)], text[np.uint64(to + 1)] = 0xE0 | code >> 12, 0x80 | code >> 6 & 0x3F
            text[np.uint64(to + 2)] = 0x80 | code & 0x3F
        to += width
    return to


@compiled
def _hex(digit):
    return digit - 48 if digit <= 57 else (digit & 0xDF) - 55


@compiled
def _width(code):
    """Return the number of bytes of a character in UTF-8, below U+10000."""
    return 1 if code < 0x80 else 2 if code < 0x800 else 3


@compiled
def _byte(data, at):
    """Return data[at] without the check for a negative index."""
    return data[np.uint64(at)]


@compiled
def _space(data, at):
    """Return the first position from `at` on that is not a blank."""
    while _byte(data, at) == _SPACE or _byte(data, at) == _TAB or _byte(data, at) == _RETURN:
        at += 1
    return at


@compiled
def _plain(data, at):
    """Return the end of a string that begins at `at`; -1 where it has an escape or no end."""
    while not _STOPS[_byte(data, at)]:
        at += 1
    return at if _byte(data, at) == _QUOTE else -1


@compiled
def _is_hex(code):
    return 48 <= code <= 57 or 65 <= code <= 70 or 97 <= code <= 102


@compiled
def _text(data, at):
    """Return the position behind a string that begins at `at`, and by how many bytes escapes lengthen it.

    The position is -1 where it is not a string or has a surrogate.
    """
    longer = 0
    while True:
        while not _STOPS[_byte(data, at)]:
            at += 1
        if _byte(data, at) == _QUOTE:
            return at + 1, longer
        if _byte(data, at) != _ESCAPE:
            return -1, 0
        code = _byte(data, at + 1)
        if code == _UNICODE:
            value = 0
            for place in range(at + 2, at + 6):
                if not _is_hex(_byte(data, place)):
                    return -1, 0
                value = 16 * value + _hex(_byte(data, place))
            if 0xD800 <= value < 0xE000:
                return -1, 0
            at, longer = at + 6, longer + 6 - _width(value)
        elif _SHORT[code]:
            at, longer = at + 2, longer + 1
        else:
            return -1, 0


@compiled
def _digits(data, at):
    while _ZERO <= _byte(data, at) <= _NINE:
        at += 1
    return at


@compiled
def _number(data, at):
    """Return the position behind a number; -1 where there is none."""
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
    """Return the position behind true, false or null; -1 where there is none."""
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
    """Return the position behind the colon of a key that may begin at `at`; -1 where there is none."""
    at = _space(data, at)
    if _byte(data, at) != _QUOTE:
        return -1
    at, _ = _text(data, at + 1)
    if at < 0:
        return -1
    at = _space(data, at)
    return at + 1 if _byte(data, at) == _COLON else -1


@compiled
def _skip(data, at):  # noqa: C901 - one loop is the fastest
    """Return the position behind a value of any kind; -1 where there is none or it is nested too deeply."""
    depth, objects = 0, 0  # one bit per level: whether it is an object
    while True:
        at = _space(data, at)
        code = _byte(data, at)
        if code == _QUOTE:
            at, _ = _text(data, at + 1)
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
    """Return the position behind an integer, a number or a string, and its value; -1 where it is not canonical."""
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


class Layout(NamedTuple):
    """A schema as arrays. A node is a field or the items of a list; nodes of one row group follow each other.

    The records are one row group, and the items of each list are another.
    """

    names: np.ndarray  # uint8: the names of all members, concatenated
    members: np.ndarray  # MEMBER[members], those of one node follow each other
    nodes: np.ndarray  # NODE[nodes]
    groups: np.ndarray  # int64[row groups + 1]: the nodes of group g are groups[g] to groups[g + 1] - 1


class Cells(NamedTuple):
    """The values of all nodes, [slot, row]."""

    # SPAN: where a string is in the data, and how long without escapes; ~start if it has some, a length of -1 for null.
    strings: np.ndarray
    integers: np.ndarray  # int64; NULL for null
    floats: np.ndarray  # float64; NaN for null
    booleans: np.ndarray  # int8: 0 or 1; -1 for null
    lists: np.ndarray  # int32: the number of items; -1 for null
    structs: np.ndarray  # bool: whether it is not null
    rows: np.ndarray  # int64[row groups]: the rows filled so far


@compiled
def _float(data, at):
    """Return the position behind a number, and its value; -1 where it is not one or could need another rounding.

    A whole number below 2^53, times or divided by a power of ten up to 10^22, is one correct rounding (Clinger, 1990).
    """
    end = _number(data, at)
    if end < 0:
        return -1, 0.0
    negative = _byte(data, at) == _MINUS
    mantissa, power, point = 0, 0, False
    at = at + 1 if negative else at
    while at < end and (_byte(data, at) == _POINT or _ZERO <= _byte(data, at) <= _NINE):
        if _byte(data, at) == _POINT:
            point = True
        else:
            mantissa = 10 * mantissa + int(_byte(data, at)) - _ZERO
            power -= 1 if point else 0
        if mantissa >= _EXACT:
            return -1, 0.0
        at += 1
    if at < end:
        sign = -1 if _byte(data, at + 1) == _MINUS else 1
        at = at + 2 if _byte(data, at + 1) == _MINUS or _byte(data, at + 1) == _PLUS else at + 1
        if end - at > 3:
            return -1, 0.0
        exponent = 0
        for place in range(at, end):
            exponent = 10 * exponent + int(_byte(data, place)) - _ZERO
        power += sign * exponent
    if not -23 < power < 23:
        return -1, 0.0
    value = float(mantissa)
    value = value * _POWERS[power] if power >= 0 else value / _POWERS[-power]
    return end, -value if negative else value


@compiled
def _member(data, start, end, names, members, node):
    """Return the member of a node whose name is data[start:end]; -1 where there is none."""
    for member in range(node.first, node.last):
        begin, length = members[member].start, members[member].length
        if length != end - start:
            continue
        offset = 0
        while offset < length and names[begin + offset] == _byte(data, start + offset):
            offset += 1
        if offset == length:
            return member
    return -1


@compiled
def scan(data, layout, cells):  # noqa: C901 - one loop is the fastest
    """Fill the cells from uint8[bytes], one object per line, a line end last; return whether it reached the end."""
    # Each access to an array in a tuple counts a reference, so that the loop takes the arrays out of the tuples first.
    names, members, nodes, groups = layout.names, layout.members, layout.nodes, layout.groups
    strings, integers, floats = cells.strings, cells.integers, cells.floats
    booleans, lists, structs, rows = cells.booleans, cells.lists, cells.structs, cells.rows
    open_nodes, open_rows, seen = np.zeros(_DEPTH, np.int64), np.zeros(_DEPTH, np.int64), np.zeros(_DEPTH, np.int64)
    most = structs.shape[1]

    def begin(owner):
        """Return a new row of a row group, all of whose values are null."""
        row = rows[owner]
        rows[owner] += 1
        for other in range(groups[owner], groups[owner + 1]):
            kind, slot = nodes[other].kind, nodes[other].slot
            if kind == STRING:
                strings[slot, row].length = -1
            elif kind == INTEGER:
                integers[slot, row] = NULL
            elif kind == FLOAT:
                floats[slot, row] = np.nan
            elif kind == BOOLEAN:
                booleans[slot, row] = -1
            elif kind == LIST:
                lists[slot, row] = -1
            elif kind == STRUCT:
                structs[slot, row] = False
        return row

    at = 0
    while at < len(data):
        at = _space(data, at)
        if _byte(data, at) != _OPEN or rows[0] == most:
            return False
        open_nodes[0], open_rows[0], seen[0] = ROOT, begin(0), 0
        structs[0, open_rows[0]] = True
        depth, state, at = 0, _FIRST, at + 1
        while depth >= 0:
            node, row = nodes[open_nodes[depth]], open_rows[depth]
            is_list = node.kind == LIST
            at = _space(data, at)
            code = _byte(data, at)
            if code == (_CLOSE_LIST if is_list else _CLOSE):
                if is_list:
                    lists[node.slot, row] = seen[depth]
                depth, state, at = depth - 1, _NEXT, at + 1
                continue
            if state == _NEXT:
                if code != _COMMA:
                    return False
                at = _space(data, at + 1)
                code = _byte(data, at)
            state = _NEXT
            if is_list:
                child = members[node.first].child
                owner = nodes[child].owner
                if code != _OPEN or rows[owner] == most or depth + 1 == _DEPTH:
                    return False
                seen[depth] += 1
                depth, state, at = depth + 1, _FIRST, at + 1
                open_nodes[depth], open_rows[depth], seen[depth] = child, begin(owner), 0
                structs[nodes[child].slot, open_rows[depth]] = True
                continue
            end = _plain(data, at + 1) if code == _QUOTE else -1
            if end < 0:
                return False
            member = _member(data, at + 1, end, names, members, node)
            at = _space(data, end + 1)
            if _byte(data, at) != _COLON:
                return False
            if member < 0:
                at = _skip(data, at + 1)
                if at < 0:
                    return False
                continue
            bit = 1 << (member - node.first)
            if seen[depth] & bit:
                return False
            seen[depth] |= bit
            at = _space(data, at + 1)
            code, child = _byte(data, at), members[member].child
            kind, slot = nodes[child].kind, nodes[child].slot
            if code == 110:  # null
                at = _null(data, at)
            elif kind == STRING and code == _QUOTE:
                start = at + 1
                at, longer = _text(data, start)
                strings[slot, row].start, strings[slot, row].length = (
                    ~start if longer else start,
                    at - 1 - start - longer,
                )
            elif kind == INTEGER:
                at, integers[slot, row] = _integer(data, at)
            elif kind == FLOAT:
                at, floats[slot, row] = _float(data, at)
            elif kind == BOOLEAN:
                at, booleans[slot, row] = _word(data, at), code == 116  # t
            elif ((kind == LIST and code == _OPEN_LIST) or (kind == STRUCT and code == _OPEN)) and depth + 1 < _DEPTH:
                if kind == STRUCT:
                    structs[slot, row] = True
                depth, state, at = depth + 1, _FIRST, at + 1
                open_nodes[depth], open_rows[depth], seen[depth] = child, row, 0
            else:
                return False
            if at < 0:
                return False
        at = _space(data, at)
        if _byte(data, at) != _LINE_END:
            return False
        at += 1
    return True
