"""Both sessions against models that are naive on purpose: every frame in every order."""

from typing import NamedTuple

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from strategies import headers, strategy_for

from pirate.errors import ProtocolError
from pirate.model import Digest, PeerId
from pirate.wire.frames import HEADER_SIZE, Header, Kind
from pirate.wire.messages import Chain, Find, Hello, List, Read, Request, Roster, Stat, Status
from pirate.wire.session import ClientSession, ServerSession

DIGEST = Digest(bytes(20))
QUESTIONS = [
    Stat(DIGEST),
    List(0, DIGEST, 5),
    Chain(DIGEST, 0, 5),
    Roster(PeerId(bytes(16)), 5, ""),
    Find("*", 5),
    Status(),
]


class Open(NamedTuple):
    """One outstanding request of the model."""

    number: int
    answer: Kind
    owed: int


def verdict(session: ClientSession | ServerSession, header: Header) -> str:
    try:
        return "read" if session.expects(header) else "skip"
    except ProtocolError:
        return "refuse"


class Asking(RuleBasedStateMachine):
    """A client session; after a refusal, as after every one, a new connection."""

    def __init__(self) -> None:
        super().__init__()
        self.connect()

    def connect(self) -> None:
        self.session = ClientSession()
        self.open: list[Open] = []
        self.asked = 0

    @rule(request=st.sampled_from(QUESTIONS))
    def ask(self, request: Request) -> None:
        self._ask(request)

    @rule(length=st.integers(0, 9))
    def ask_for_data(self, length: int) -> None:
        self._ask(Read(DIGEST, 0, length))

    def _ask(self, request: Request) -> None:
        self.asked += 1
        frame = self.session.ask(request)
        assert Header.decode(frame[:HEADER_SIZE])[:3] == (request.KIND, True, self.asked)
        answer = {
            List: Kind.ENTRIES,
            Stat: Kind.ENTRY,
            Read: Kind.DATA,
            Chain: Kind.LINKS,
            Roster: Kind.PEERS,
            Find: Kind.FOUND,
            Status: Kind.STATE,
        }[type(request)]
        self.open.append(
            Open(self.asked, answer, request.length if isinstance(request, Read) else 0)
        )

    @precondition(lambda self: bool(self.open))
    @rule(data=st.data(), error=st.booleans())
    def answer_in_turn(self, data: st.DataObject, error: bool) -> None:  # noqa: FBT001
        first = self.open[0]
        if error:
            self.receive(Header(Kind.ERROR, end=True, request=first.number, length=8))
        elif first.answer == Kind.DATA:
            length = data.draw(st.integers(0, first.owed))
            self.receive(Header(Kind.DATA, length == first.owed, first.number, length))
        else:
            self.receive(Header(first.answer, data.draw(st.booleans()), first.number, 40))

    @rule(header=headers())
    def receive(self, header: Header) -> None:
        expected = self.judge(header)
        assert verdict(self.session, header) == expected
        if expected == "refuse":
            self.connect()
        assert self.session.idle == (not self.open)

    def judge(self, header: Header) -> str:  # noqa: PLR0911 - a rule each
        """What the specification says, rule by rule, and what is outstanding then."""
        if header.kind >= 0x80:
            return "skip"
        if (header.kind, header.request) == (Kind.ERROR, 0):
            return "read" if header.end else "refuse"
        if not self.open or header.request != self.open[0].number:
            return "refuse"
        first = self.open.pop(0)
        if header.kind not in {first.answer, Kind.ERROR}:
            return "refuse"
        if header.kind in {Kind.ENTRY, Kind.STATE, Kind.ERROR}:
            return "read" if header.end else "refuse"
        left = first.owed - header.length
        if header.kind == Kind.DATA and (
            left < 0 or (left == 0) != header.end or (left > 0 and header.length == 0)
        ):
            return "refuse"
        if not header.end:
            self.open.insert(0, first._replace(owed=left))
        return "read"


class Answering(RuleBasedStateMachine):
    """A server session: a HELLO, then nothing but requests."""

    def __init__(self) -> None:
        super().__init__()
        self.session = ServerSession()
        self.introduced = False

    @rule(hello=strategy_for(Hello))
    def hello(self, hello: Hello) -> None:
        frame = hello.frame(0)
        header = Header.decode(frame[:HEADER_SIZE])
        self.receive(header)
        if not self.introduced:
            assert self.session.received(header, frame[HEADER_SIZE:]) == hello
            self.introduced = True

    @rule(
        request=st.one_of(
            [strategy_for(each) for each in (List, Stat, Read, Chain, Roster, Find, Status)]
        ),
        number=st.integers(1, 2**32 - 1),
    )
    def request(self, request: Request, number: int) -> None:
        frame = request.frame(number)
        header = Header.decode(frame[:HEADER_SIZE])
        self.receive(header)
        if self.introduced:
            assert self.session.received(header, frame[HEADER_SIZE:]) == request

    @rule(header=headers())
    def receive(self, header: Header) -> None:
        assert verdict(self.session, header) == self.judge(header)
        assert verdict(self.session, header) == self.judge(header), "asking changes nothing"

    def judge(self, header: Header) -> str:
        if not self.introduced:
            greets = header[:3] == (Kind.HELLO, True, 0)
            return "read" if greets else "refuse"
        if header.kind >= 0x80:
            return "skip"
        if header.request == 0 or not header.end:
            return "refuse"
        if header.kind in {0x10, 0x12, 0x14, 0x16, 0x20, 0x22, 0x24}:
            return "read"
        answers = {0x01, 0x02, 0x11, 0x13, 0x15, 0x17, 0x21, 0x23, 0x25}
        return "refuse" if header.kind in answers else "skip"


TestAsking = Asking.TestCase
TestAnswering = Answering.TestCase
