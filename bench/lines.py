"""The lines that are promised, as data: what is measured, against what, and what it has to come to."""

from collections.abc import Mapping
from dataclasses import dataclass

from bench.measure import Measure, Spread


@dataclass(frozen=True)
class Line:
    """One promise."""

    name: str
    what: str
    subject: str  # the name of what is measured
    target: float
    against: str | None = None  # the name of the reference; None: the value itself has to meet the target
    at_most: bool = False
    unit: str = ""  # of the compared value, where there is no reference

    def judged(self, found: Mapping[str, list[Measure]]) -> "Verdict":
        """What the rounds say: of a ratio, round by round, since both sides of one round had the same weather."""
        values = [measure.value for measure in found[self.subject]]
        if self.against is not None:
            references = [measure.value for measure in found[self.against]]
            values = [value / reference for value, reference in zip(values, references, strict=True)]
        spread = Spread.of(values)
        return Verdict(self, spread, spread.median <= self.target if self.at_most else spread.median >= self.target)


@dataclass(frozen=True)
class Verdict:
    """A line, what came out, and whether the median meets the target."""

    line: Line
    spread: Spread
    met: bool


# Names of what is measured.
PGBENCH = "pgbench, 8 clients"
UNGROUPED = "Python, 8 callers"
GROUPED = "Python, 8 callers, grouped"
CROWD = "Python, 64 callers, grouped"
CROWD_ON_ONE = "Python, 64 callers, grouped, one product"
COUPON_ORDERS = "Python, 8 callers, grouped, one coupon"
COUPON_BARE = "pgbench, 8 clients, the coupon's counter alone"
LONE = "Python, 1 caller"
LONE_GROUPED = "Python, 1 caller, grouped"
LIST = "GET /v1/products?limit=24"
LIST_BARE = "the bare query, Starlette"
HTTP = "POST /v1/checkout, 8 callers"
BESIDE_HTTP = "Python, 8 callers, beside the server"
FILLED = "Python, 8 callers, after many orders"
EMPTY = "Python, 8 callers, in a new shop"
EVENTS = "POST /v1/events, batches of 100"
EVENTS_COPIED = "COPY, batches of 100"
QUEUE = "queue, claim and finish"
QUEUE_PGQUEUER = "pgqueuer, claim and finish"
QUEUE_PROCRASTINATE = "procrastinate, claim and finish"
DRAINED = "the queue drained"
DRAINED_LAST = "the queue drained, the last fifth of the rows"
DRAINED_FIRST = "the queue drained, the first fifth of the rows"
PAYMENTS = "payments, 8 callers"
PAYMENTS_BARE = "pgbench's bare INSERT of the same row, 8 clients"
SIGN_IN = "POST /v1/auth/sign-in"
VERIFY = "argon2, verify alone"
COLD = "storeroom serve, cold"
MEMORY = "server's memory"
IMPORT = "import's memory"

LINES: tuple[Line, ...] = (
    Line("orders", "orders through the Python API, 8 callers", UNGROUPED, 0.9, PGBENCH),
    Line("grouped", "the same, grouped", GROUPED, 2.5, UNGROUPED),
    Line("one-product", "grouped, 64 callers, all on one product", CROWD_ON_ONE, 0.9, CROWD),
    Line("coupon", "orders that use one and the same coupon, grouped", COUPON_ORDERS, 0.4, GROUPED),
    Line("coupon-counter", "the same, against the bare UPDATE that counts a use", COUPON_ORDERS, 0.15, COUPON_BARE),
    Line("one-caller", "grouped, one caller, median latency", LONE_GROUPED, 1.1, LONE, at_most=True),
    Line("list", "GET /v1/products, 24 of 1,000", LIST, 0.7, LIST_BARE),
    Line("http-checkout", "a whole checkout in one request, 8 callers", HTTP, 0.4, BESIDE_HTTP),
    Line("events", "event intake over HTTP, batches of 100", EVENTS, 0.5, EVENTS_COPIED),
    Line("queue-pgqueuer", "queue of 20 tenants, batches of 10, against pgqueuer", QUEUE, 1.5, QUEUE_PGQUEUER),
    Line("queue-procrastinate", "the same, against procrastinate", QUEUE, 1.5, QUEUE_PROCRASTINATE),
    Line("drain", "the last fifth of 100,000 queued rows, a second", DRAINED_LAST, 0.8, DRAINED_FIRST),
    Line("payments", "recording payments from wallets, 8 callers", PAYMENTS, 0.5, PAYMENTS_BARE),
    Line("sign-in", "a whole sign-in over HTTP, 2 callers", SIGN_IN, 0.7, VERIFY),
    Line("five-million", "checkout after five million orders", FILLED, 0.9, EMPTY),
    Line("cold-start", "process start to first answer, PostgreSQL included", COLD, 3.0, at_most=True, unit="s"),
    Line("memory", "the server's processes under load, PSS", MEMORY, 120.0, at_most=True, unit="MB"),
    Line("import", "import of 100,000 rows, peak resident memory", IMPORT, 200.0, at_most=True, unit="MB"),
)
