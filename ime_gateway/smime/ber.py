"""Walk over BER once, from left to right, without recursion and without copying (ITU-T X.690 section 8).

Mail programs stream: they write CMS with indefinite lengths and cut the content into segments, because they do not
know its size when they begin (RFC 5652 section 5.2 allows BER). An outsider writes whatever he likes into the same
octets. So the walker keeps a position and a stack of what is open, every step is checked against what encloses it,
and depth, elements and segments have limits: its time is linear in the octets read, whatever they say.
"""

from typing import Final

from ime_gateway.base.errors import UnreadableCms
from ime_gateway.base.octets import Buffer
from ime_gateway.smime.structures import CmsLimits, Pieces

END: Final = 0x00
"""What `peek` says where the element that was entered ends; no real element has this tag."""
OCTET_STRING: Final = 0x04
CONSTRUCTED: Final = 0x20

_INDEFINITE: Final = -1
_LONG_TAG: Final = 0x1F
_MOST_LENGTH_OCTETS: Final = 8
_MOST_TAG_OCTETS: Final = 5
_OCTETS_FOR_A_SEGMENT: Final = 512


def unreadable(evidence: str) -> UnreadableCms:
    """The one refusal of the CMS reader: always the same sentence; `evidence` (for the log) says what is wrong."""
    return UnreadableCms("this is no S/MIME object that can be read safely", evidence)


class Walker:
    """A position in BER that only moves forward.

    `peek` looks at the next element of the one that is open; `enter` and `leave` open and close an element; `skip`,
    `primitive`, `octets` and `raw` pass over one. All methods raise UnreadableCms for what is cut off, contradicts
    itself or exceeds a limit.
    """

    __slots__ = ("_at", "_bound", "_copied", "_elements", "_indefinite", "_octets", "_opened", "_segments", "limits")

    def __init__(self, data: Buffer, limits: CmsLimits) -> None:
        view = memoryview(data).cast("B")
        self._octets = view
        self._at = 0
        self._bound = len(view)
        """Where the open element must end at the latest; exactly there, unless its length is indefinite."""
        self._indefinite = False
        self._opened: list[tuple[int, bool]] = []
        """Bound and kind of everything that encloses the open element."""
        self.limits = limits
        self._elements = limits.elements
        self._segments = max(limits.segments, len(view) // _OCTETS_FOR_A_SEGMENT)
        self._copied = limits.copied_bytes

    @property
    def at(self) -> int:
        """Offset of the next octet."""
        return self._at

    @property
    def steps(self) -> int:
        """Elements and segments walked so far: what the work is proportional to."""
        limits = self.limits
        segments = max(limits.segments, len(self._octets) // _OCTETS_FOR_A_SEGMENT)
        return limits.elements - self._elements + segments - self._segments

    def peek(self) -> int:
        """The identifier octet of the next element inside the open one, or END where that one ends."""
        at = self._at
        if at == self._bound:
            if self._indefinite:
                raise unreadable(f"end-of-contents is missing at {at}")
            return END
        tag = self._octets[at]
        if tag == END and not (self._indefinite and self._bound - at >= 2 and self._octets[at + 1] == 0):
            raise unreadable(f"end-of-contents where none may be, at {at}")
        return tag

    def enter(self, tag: int) -> None:
        """Open the next element, which must be constructed and have this tag."""
        found, content, end = self._expect(tag)
        if not found & CONSTRUCTED:
            raise unreadable(f"primitive element at {self._at}")
        if len(self._opened) >= self.limits.depth:
            raise unreadable(f"nested too deep at {self._at}")
        self._opened.append((self._bound, self._indefinite))
        self._at = content
        self._indefinite = end == _INDEFINITE
        if end != _INDEFINITE:
            self._bound = end

    def leave(self) -> None:
        """Close the open element, of which nothing may be left."""
        if self.peek() != END:
            raise unreadable(f"an element too many at {self._at}")
        if self._indefinite:
            self._at += 2
        self._bound, self._indefinite = self._opened.pop()

    def primitive(self, tag: int) -> memoryview:
        """The content octets of the next element, which must be primitive and have this tag."""
        found, content, end = self._expect(tag)
        if found & CONSTRUCTED:
            raise unreadable(f"constructed element at {self._at}")
        self._at = end
        return self._octets[content:end]

    def skip(self) -> None:
        """Pass over the next element, whatever it is, also one with a tag of several octets. An element of definite
        length costs one step, whatever is in it."""
        _, content, end = self._expect(None)
        if end != _INDEFINITE:
            self._at = end
            return
        at, depth = content, 1
        while depth:
            self._segments -= 1
            if self._segments < 0:
                raise unreadable(f"too many segments at {at}")
            if self._is_end_of_contents(at, self._bound):
                at, depth = at + 2, depth - 1
                continue
            found, content, end = self._header(at, self._bound)
            if found == END:
                raise unreadable(f"end-of-contents with a length at {at}")
            at, depth = (content, depth + 1) if end == _INDEFINITE else (end, depth)
            if len(self._opened) + depth > self.limits.depth:
                raise unreadable(f"nested too deep at {at}")
        self._at = at

    def raw(self) -> memoryview | None:
        """The whole next element as it stands; None, without moving, when its length is indefinite: then its octets
        are not what the sender meant to be compared (`asn1_values.read_der`)."""
        start = self._at
        _, _, end = self._expect(None)
        if end == _INDEFINITE:
            return None
        self._at = end
        return self._octets[start:end]

    def octets(self, tag: int) -> Pieces:
        """The segments of an octet string: of the next element, which has this tag (primitive) or its constructed form
        (X.690 section 8.7). Segments may be strings of segments; none of them is copied or joined."""
        found, content, end = self._expect(None)
        if found == tag:
            self._at = end
            return (self._octets[content:end],) if end > content else ()
        if found != tag | CONSTRUCTED:
            raise unreadable(f"no octet string at {self._at}")
        pieces: list[memoryview] = []
        self._at = self._gather(content, end, pieces)
        return tuple(pieces)

    def rest(self) -> memoryview:
        """Everything behind the position."""
        return self._octets[self._at :]

    def copied(self, count: int) -> None:
        """Account for octets that the caller copies or joins."""
        self._copied -= count
        if count > self.limits.small_bytes or self._copied < 0:
            raise unreadable(f"more than may be copied at {self._at}")

    def _gather(self, at: int, end: int, pieces: list[memoryview]) -> int:
        """Collect the segments of a constructed string whose content begins at `at`; returns where it ends."""
        octets, header, add, left = self._octets, self._header, pieces.append, self._segments
        opened: list[tuple[int, int]] = []
        bound = self._bound if end == _INDEFINITE else end
        while True:
            if at == end or (end == _INDEFINITE and self._is_end_of_contents(at, bound)):
                at += 2 if end == _INDEFINITE else 0
                if not opened:
                    self._segments = left
                    return at
                bound, end = opened.pop()
                continue
            left -= 1
            if left < 0:
                raise unreadable(f"too many segments at {at}")
            tag, content, inner_end = header(at, bound)
            if tag == OCTET_STRING:
                if inner_end > content:
                    add(octets[content:inner_end])
                at = inner_end
            elif tag == OCTET_STRING | CONSTRUCTED:
                if len(self._opened) + len(opened) >= self.limits.depth:
                    raise unreadable(f"nested too deep at {at}")
                opened.append((bound, end))
                at, end = content, inner_end
                bound = bound if end == _INDEFINITE else end
            else:
                raise unreadable(f"a segment that is no octet string at {at}")

    def _expect(self, tag: int | None) -> tuple[int, int, int]:
        """Header of the next element of the open one: first identifier octet, offset of its content, and its end."""
        found = self.peek()
        if found == END or (tag is not None and (found != tag or tag & _LONG_TAG == _LONG_TAG)):
            raise unreadable(f"another element expected at {self._at}")
        self._elements -= 1
        if self._elements < 0:
            raise unreadable(f"too many elements at {self._at}")
        return self._header(self._at, self._bound)

    def _is_end_of_contents(self, at: int, bound: int) -> bool:
        if bound - at < 2:
            raise unreadable(f"end-of-contents is missing at {at}")
        return self._octets[at] == 0 and self._octets[at + 1] == 0

    def _header(self, at: int, bound: int) -> tuple[int, int, int]:
        """First identifier octet, offset of the content, and its end, which is _INDEFINITE or at most `bound`."""
        octets = self._octets
        if bound - at < 2:
            raise unreadable(f"cut off at {at}")
        tag = octets[at]
        at += 1
        if tag & _LONG_TAG == _LONG_TAG:
            at = self._behind_long_tag(at, bound)
        length = octets[at]
        at += 1
        if length < 0x80:
            end = at + length
        elif length == 0x80:
            if not tag & CONSTRUCTED:
                raise unreadable(f"primitive element of indefinite length at {at}")
            return tag, at, _INDEFINITE
        else:
            count = length & 0x7F
            if count > _MOST_LENGTH_OCTETS or bound - at < count:
                raise unreadable(f"length of {count} octets at {at}")
            end = at + count + int.from_bytes(octets[at : at + count], "big")
            at += count
        if end > bound:
            raise unreadable(f"longer than what encloses it, at {at}")
        return tag, at, end

    def _behind_long_tag(self, at: int, bound: int) -> int:
        """Offset of the length behind the further octets of a tag (X.690 section 8.1.2.4)."""
        for behind in range(at + 1, min(at + _MOST_TAG_OCTETS, bound - 1) + 1):
            if self._octets[behind - 1] < 0x80:
                return behind
        raise unreadable(f"a tag too long at {at}")
