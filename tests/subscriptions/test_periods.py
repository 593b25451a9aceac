"""Periods count from their anchor, by a rule that knows nothing of the code."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storeroom.subscriptions import INTERVAL_MAX, BillingPeriod, boundary, period_after

MONTH, YEAR, WEEK, DAY = BillingPeriod.MONTH, BillingPeriod.YEAR, BillingPeriod.WEEK, BillingPeriod.DAY
ANCHORS = st.datetimes(datetime(1990, 1, 1), datetime(2090, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001
CYCLES = st.sampled_from(BillingPeriod).flatmap(
    lambda period: st.tuples(st.just(period), st.integers(1, INTERVAL_MAX[period]))
)


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.requirement("CED-SUB-03")
@pytest.mark.parametrize(
    ("period", "interval", "anchor", "then"),
    [
        (MONTH, 1, "2026-01-31", ["2026-02-28", "2026-03-31", "2026-04-30", "2026-05-31"]),
        (MONTH, 1, "2028-01-31", ["2028-02-29", "2028-03-31"]),
        (MONTH, 1, "2026-11-30", ["2026-12-30", "2027-01-30", "2027-02-28", "2027-03-30"]),
        (MONTH, 2, "2026-12-31", ["2027-02-28", "2027-04-30", "2027-06-30", "2027-08-31"]),
        (YEAR, 1, "2028-02-29", ["2029-02-28", "2030-02-28", "2031-02-28", "2032-02-29"]),
        (WEEK, 2, "2026-12-28", ["2027-01-11", "2027-01-25"]),
        (DAY, 10, "2026-02-25", ["2026-03-07", "2026-03-17"]),
    ],
)
def test_each_period_is_counted_from_the_anchor(
    period: BillingPeriod, interval: int, anchor: str, then: list[str]
) -> None:
    start, ends = day(anchor), []
    for _ in then:
        start = period_after(day(anchor), period, interval, start).end
        ends.append(start)
    assert ends == [day(each) for each in then]


@given(ANCHORS, CYCLES, st.integers(0, 200))
def test_a_boundary_is_the_anchors_day_or_the_last_of_its_month(
    anchor: datetime, cycle: tuple[BillingPeriod, int], number: int
) -> None:
    period, interval = cycle
    number = number % (40 if period is YEAR else 200 // interval + 1)
    found = boundary(anchor, period, interval, number)
    assert found.timetz() == anchor.timetz()
    if period in (DAY, WEEK):
        assert (found - anchor) / timedelta(days=7 if period is WEEK else 1) == number * interval
        return
    months = (found.year - anchor.year) * 12 + found.month - anchor.month
    assert months == number * interval * (12 if period is YEAR else 1)
    last_of_month = (found + timedelta(days=1)).day == 1
    assert found.day == anchor.day or (found.day < anchor.day and last_of_month)


@given(ANCHORS, CYCLES, st.timedeltas(timedelta(0), timedelta(days=9000)))
def test_a_period_ends_at_the_first_boundary_after_its_start(
    anchor: datetime, cycle: tuple[BillingPeriod, int], later: timedelta
) -> None:
    period, interval = cycle
    start = anchor + later
    found = period_after(anchor, period, interval, start)
    counted = 0
    while boundary(anchor, period, interval, counted) <= start:  # the slow way
        counted += 1
    assert (found.start, found.end) == (start, boundary(anchor, period, interval, counted))


@given(ANCHORS, CYCLES)
def test_periods_follow_each_other_without_gap_and_do_not_drift(
    anchor: datetime, cycle: tuple[BillingPeriod, int]
) -> None:
    period, interval = cycle
    start = anchor
    for number in range(1, 13):
        following = period_after(anchor, period, interval, start)
        assert following.start == start < following.end == boundary(anchor, period, interval, number)
        start = following.end


def test_before_the_anchor_the_period_ends_there() -> None:
    """A trial: what is paid counts from its end."""
    found = period_after(day("2026-03-31"), MONTH, 1, day("2026-03-17"))
    assert found.end == day("2026-03-31")
